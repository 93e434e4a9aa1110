"""One video on its way: its frames from the detector to the drawing, the encoder and the files beside it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from detector.detections import BGRImage
from detector.pool import DetectorPool
from stream_server.errors import OptionError
from stream_server.media.frames import Picture
from stream_server.video.detecting import DetectedFrame, FrameDetector
from stream_server.video.formats import kind_of
from stream_server.video.input.footage import VideoReader
from stream_server.video.journal import Answer, Journal
from stream_server.video.options import Options, SideOutput
from stream_server.video.output import clips
from stream_server.video.output.contact_sheet import Sheet
from stream_server.video.output.earlier import Earlier
from stream_server.video.output.encoding import AnnotatedFrame, Encoding
from stream_server.video.output.side_files import Coco, Csv, Json, SideFile, Srt
from stream_server.video.output.writing import VideoWriter
from stream_server.video.pixels import Pixels
from stream_server.video.scene import Follower, Scene, draw
from stream_server.video.summary import Progress, Summary

_SIDES: dict[SideOutput, type[SideFile]] = {
    "json": Json,
    "csv": Csv,
    "srt": Srt,
    "coco": Coco,
    "contact-sheet": Sheet,
}


@dataclass(slots=True)
class _Tally:
    """What is counted on the way. labels: of the objects, by track id."""

    frames: int = 0
    analysed: int = 0
    failed: list[int] = field(default_factory=list)
    labels: dict[int, str] = field(default_factory=dict)
    position_s: float = 0.0
    end_s: float = 0.0

    def count(self, scene: Scene, labels: Mapping[int, str], end_s: float) -> None:
        seen, objects = scene.seen, scene.objects
        self.frames += 1
        self.analysed += seen.found is not None
        self.position_s, self.end_s = seen.shot.time_s, end_s
        if seen.error:
            self.failed.append(seen.shot.number)
        for track_id, class_id in zip(objects.track_ids.tolist(), objects.class_ids.tolist(), strict=True):
            if track_id:
                self.labels.setdefault(track_id, labels.get(class_id, str(class_id)))


class VideoAnnotator:
    """Annotates one video. `run` once."""

    def __init__(
        self,
        footage: VideoReader,
        out: Path,
        options: Options,
        pool: DetectorPool,
        labels: Mapping[int, str],
        *,
        weight: float,
        on_progress: Callable[[Progress], None],
        is_stopped: Callable[[], bool],
    ) -> None:
        """As `annotate` has it. Raises OutputError and OptionError."""
        self._footage, self._out, self._options, self._labels = footage, out, options, labels
        self._pool, self._weight = pool, weight
        self._on_progress, self._is_stopped = on_progress, is_stopped
        self._kind = kind_of(out)
        if "clips" in options.side and self._kind.muxer == "gif":
            raise OptionError("clips", "a GIF cannot be cut; write another kind of file")
        self._pixels = Pixels(footage.look, options.crop)
        self._part = out.with_name(f"{out.name}.part")
        self._tally = _Tally()
        self._spans = clips.Spans()
        self._sides: list[SideFile] = []

    def run(self, journal: Journal, *, go_on: bool) -> Summary:
        """Do it, and return what was done. Raises OutputError, SourceError, DetectorError."""
        began = time.monotonic()
        earlier = Earlier(self._out, self._part, self._kind, go_on=go_on)
        notes = self._write(journal, earlier)
        is_complete = not self._is_stopped()
        if is_complete:
            self._part.replace(self._out)
            earlier.remove()
            journal.remove()
        else:
            self._keep_stopped(earlier)
        if "clips" in self._options.side and self._out.exists():
            clips.cut(self._out, self._kind, self._spans.spans)
        return self._summary(notes, time.monotonic() - began, is_complete)

    def _keep_stopped(self, earlier: Earlier) -> None:
        """Let the result be what has more frames: this run's, or what it was to go on from."""
        if self._tally.frames <= self._copied and earlier.put_back():
            self._part.unlink()
        elif self._tally.frames:
            self._part.replace(self._out)
            earlier.remove()
        else:
            self._part.unlink()

    def _write(self, journal: Journal, earlier: Earlier) -> list[str]:
        footage, look = self._footage, self._pixels.look_in(self._kind)
        follower = Follower(self._options, self._labels)
        with ExitStack() as stack:
            writer = VideoWriter(self._part, self._kind, look, footage.copied)
            encoding = stack.enter_context(Encoding(writer, self._pixels, self._kind, earlier.frames()))
            self._open_sides(stack)
            looker = FrameDetector(
                footage, self._pixels, self._pool, self._options, weight=self._weight, known=journal.known
            )
            with looker:
                for item in looker.seen(self._is_stopped):
                    if isinstance(item, DetectedFrame):
                        self._note(journal, item)
                        self._take(follower.follow(item), encoding)
                    else:
                        encoding.put(item)
            encoding.finish()
            self._copied = encoding.copied
            for side in self._sides:
                side.finish()
        return writer.notes

    def _open_sides(self, stack: ExitStack) -> None:
        for name, kind in _SIDES.items():
            if name in self._options.side:
                side = kind(self._out, self._labels, self._footage.look.time_base, self._pixels.image_wh)
                stack.callback(side.close)
                self._sides.append(side)

    @staticmethod
    def _note(journal: Journal, seen: DetectedFrame) -> None:
        if not seen.is_known and (seen.found is not None or seen.error):
            journal.note(seen.shot.number, Answer(seen.found, seen.error))

    def _take(self, scene: Scene, encoding: Encoding) -> None:
        shot, tally = scene.seen.shot, self._tally
        drawn = self._draw(scene)
        encoding.put(drawn)
        for side in self._sides:
            side.add(scene, partial(self._picture, drawn))
        at_s = float(shot.pts * self._footage.look.time_base)
        self._spans.add(scene, at_s)
        tally.count(scene, self._labels, at_s + float(shot.duration * self._footage.look.time_base))
        self._on_progress(
            Progress(tally.frames, self._footage.expected_frames, len(tally.labels), tally.position_s)
        )

    def _draw(self, scene: Scene) -> AnnotatedFrame:
        seen, shot = scene.seen, scene.seen.shot
        if scene.is_plain and self._pixels.can_pass(shot.frame, self._kind):
            return AnnotatedFrame(shot.frame, None, shot.pts, shot.duration)
        picture = Picture(self._pixels.image_wh, partial(self._paint, scene))
        if not seen.is_known:  # else it is most likely encoded already, and nobody will look
            _ = picture.image
        return AnnotatedFrame(shot.frame, picture, shot.pts, shot.duration)

    def _paint(self, scene: Scene) -> BGRImage:
        seen = scene.seen
        image = self._pixels.image(seen.shot.frame) if seen.image is None else seen.image
        return image if scene.is_plain else draw(scene, image, self._labels, self._options)

    def _picture(self, drawn: AnnotatedFrame) -> BGRImage:
        return self._pixels.image(drawn.frame) if drawn.picture is None else drawn.picture.image

    def _summary(self, notes: list[str], took_s: float, is_complete: bool) -> Summary:
        tally = self._tally
        return Summary(
            path=self._out,
            frames=tally.frames,
            analysed=tally.analysed,
            failed=tuple(tally.failed),
            objects=Counter(tally.labels.values()),
            duration_s=tally.end_s,
            took_s=took_s,
            is_complete=is_complete,
            notes=(*self._footage.notes, *self._pixels.notes(self._kind), *notes),
        )
