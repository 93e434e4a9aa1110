"""What is written beside a video: one class for each kind of file."""

from __future__ import annotations

import csv
import json
from abc import ABC, abstractmethod
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, ClassVar

from detector.detections import BGRImage
from stream_server.base.file_names import readable
from stream_server.video.formats import OutputError
from stream_server.video.scene import Scene

Labels = Mapping[int, str]


class SideFile(ABC):
    """A file that grows with the video, and gets its name when it is whole."""

    suffix: ClassVar[str]

    def __init__(self, out: Path, labels: Labels, time_base: Fraction, size_wh: tuple[int, int]) -> None:
        """out: the video. time_base: of the frames' time stamps. size_wh: of the pictures."""
        self.path = out.with_suffix(self.suffix)
        self._part = self.path.with_name(f"{self.path.name}.part")
        self._labels, self._time_base, self._size_wh = labels, time_base, size_wh
        self._video = out
        with self._reasons():
            self._file: IO[str] = self._part.open("w", encoding="utf-8", newline="")
        self._begin()

    def add(self, scene: Scene, picture: Callable[[], BGRImage]) -> None:
        """Take in the next frame; `picture` returns it with what is drawn on it. Raises OutputError."""
        with self._reasons():
            self._add(scene, picture)

    def finish(self) -> None:
        """Write the end. Raises OutputError."""
        with self._reasons():
            self._end()
            self._file.close()
            self._part.replace(self.path)

    def close(self) -> None:
        """Close it as it is; may be called twice."""
        self._file.close()

    def _begin(self) -> None:  # noqa: B027 - optional
        """Write what comes first."""

    @abstractmethod
    def _add(self, scene: Scene, picture: Callable[[], BGRImage]) -> None:
        """Take in the next frame."""

    def _end(self) -> None:  # noqa: B027 - optional
        """Write what comes last."""

    def _label(self, class_id: int) -> str:
        return self._labels.get(class_id, str(class_id))

    def _at_s(self, scene: Scene) -> float:
        """Return when the frame is shown in what is written, in seconds."""
        return float(scene.seen.shot.pts * self._time_base)

    @contextmanager
    def _reasons(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise OutputError.of(self._part, exc) from exc


def _objects(scene: Scene) -> Iterator[tuple[list[float], float, int, int]]:
    """Yield box, score, class id and track id of each object."""
    objects = scene.objects
    yield from zip(
        objects.boxes.tolist(),
        objects.scores.tolist(),
        objects.class_ids.tolist(),
        objects.track_ids.tolist(),
        strict=True,
    )


class Json(SideFile):
    """NDJSON: an object a line and frame."""

    suffix = ".ndjson"

    def _add(self, scene: Scene, picture: Callable[[], BGRImage]) -> None:
        seen = scene.seen
        line: dict[str, Any] = {
            "frame": seen.shot.number,
            "time_s": round(seen.shot.time_s, 6),
            "analysed": seen.found is not None,
            "objects": [
                {
                    "track_id": track_id or None,
                    "label": self._label(class_id),
                    "class_id": class_id,
                    "score": round(score, 4),
                    "box": [round(side, 2) for side in box],
                }
                for box, score, class_id, track_id in _objects(scene)
            ],
        }
        if seen.error:
            line["error"] = seen.error
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")


class Csv(SideFile):
    """A line an object and frame."""

    suffix = ".csv"

    def _begin(self) -> None:
        self._rows = csv.writer(self._file)
        names = ("frame", "time_s", "track_id", "label", "score", "x_min", "y_min", "x_max", "y_max")
        self._rows.writerow(names)

    def _add(self, scene: Scene, picture: Callable[[], BGRImage]) -> None:
        shot = scene.seen.shot
        for box, score, class_id, track_id in _objects(scene):
            sides = [f"{side:.2f}" for side in box]
            label = self._label(class_id)
            self._rows.writerow(
                [shot.number, f"{shot.time_s:.6f}", track_id or "", label, f"{score:.4f}", *sides]
            )


class Srt(SideFile):
    """Subtitles: what is in the picture, a new one when that changes."""

    suffix = ".srt"
    LEAST_S: ClassVar[float] = 0.5
    """Subtitles that change faster cannot be read."""

    def _begin(self) -> None:
        self._count = 0
        self._text, self._since_s, self._until_s = "", 0.0, 0.0

    def _add(self, scene: Scene, picture: Callable[[], BGRImage]) -> None:
        at_s = self._at_s(scene)
        self._until_s = at_s + float(scene.seen.shot.duration * self._time_base)
        counts = Counter(self._label(class_id) for class_id in scene.objects.class_ids.tolist())
        text = ", ".join(f"{count} {label}" for label, count in sorted(counts.items()))
        if text != self._text and (not self._text or at_s - self._since_s >= self.LEAST_S):
            self._show(at_s)
            self._text, self._since_s = text, at_s

    def _end(self) -> None:
        self._show(self._until_s)

    def _show(self, until_s: float) -> None:
        if self._text:
            self._count += 1
            times = f"{_srt_time(self._since_s)} --> {_srt_time(until_s)}"
            self._file.write(f"{self._count}\n{times}\n{self._text}\n\n")


def _srt_time(seconds: float) -> str:
    ms = round(1000 * seconds)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02},{ms % 1000:03}"


class Coco(SideFile):
    """COCO's JSON (cocodataset.org, "Data format"): analysed frames are images; `track_id` is added."""

    suffix = ".coco.json"

    def _begin(self) -> None:
        self._numbers = array("q")  # 8 bytes a frame: the images stand behind the annotations
        self._count = 0
        self._file.write('{"annotations": [')

    def _add(self, scene: Scene, picture: Callable[[], BGRImage]) -> None:
        if scene.seen.found is None:
            return
        number = scene.seen.shot.number
        self._numbers.append(number)
        for (left, top, right, bottom), score, class_id, track_id in _objects(scene):
            width, height = right - left, bottom - top
            annotation = {
                "id": self._count + 1,
                "image_id": number,
                "category_id": class_id,
                "bbox": [round(side, 2) for side in (left, top, width, height)],
                "area": round(width * height, 2),
                "iscrowd": 0,
                "score": round(score, 4),
                "track_id": track_id,
            }
            self._file.write((",\n" if self._count else "\n") + json.dumps(annotation))
            self._count += 1

    def _end(self) -> None:
        categories = [{"id": class_id, "name": label} for class_id, label in sorted(self._labels.items())]
        self._file.write(f'],\n"categories": {json.dumps(categories)},\n"images": [')
        width, height = self._size_wh
        for index, number in enumerate(self._numbers):
            name = f"{readable(self._video.stem)}-{number:06}.jpg"
            image = {"id": number, "file_name": name, "width": width, "height": height}
            self._file.write((",\n" if index else "\n") + json.dumps(image))
        self._file.write("]}\n")
