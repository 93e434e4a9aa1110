"""From a decoded frame to the picture that is drawn into, and back into what is encoded."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from detector.detections import BGRImage
from stream_server.media.av_pictures import PictureMaker, is_full_range, matrix_of
from stream_server.media.encode import fit
from stream_server.media.orientation import UPRIGHT, back, is_sideways, turn, turned_wh
from stream_server.video.formats import Kind
from stream_server.video.input.footage import VideoInfo
from stream_server.video.options import Crop

_SPARE_BYTES = 9_000_000
_BYTES_PER_PIXEL = 4.5  # decoded, and as a picture


class Pixels:
    """Knows how frames of one video become pictures, upright and cropped, and these the frames of another.

    `image` is for one thread, `frame` for another.
    """

    def __init__(self, look: VideoInfo, crop: Crop | None) -> None:
        """Raises OptionError for a crop that reaches out of the picture."""
        self._upright_wh = look.upright_wh
        self._look = look
        self._crop = crop.within(look.upright_wh) if crop else None
        self._maker = PictureMaker()
        self._reformatter = VideoReformatter()

    @property
    def image_wh(self) -> tuple[int, int]:
        """Width and height of the pictures."""
        return (self._crop.width, self._crop.height) if self._crop else self._upright_wh

    def image(self, frame: VideoFrame) -> BGRImage:
        """Return the picture of a frame; one that has another size than the first is made to fit.

        Raises ImageError for a pixel format that cannot be shown.
        """
        image = self._maker.picture(frame).image
        if image.shape[1::-1] != self._upright_wh:
            image = fit(image, self._upright_wh)
        if self._crop:
            crop = self._crop
            image = np.ascontiguousarray(image[crop.y : crop.y + crop.height, crop.x : crop.x + crop.width])
        return image

    @property
    def spare_frames(self) -> int:
        """How many frames may wait where that makes for a steadier flow; none of large ones."""
        width, height = self.image_wh
        return int(_SPARE_BYTES / (_BYTES_PER_PIXEL * width * height))

    def look_in(self, kind: Kind) -> VideoInfo:
        """Return the look of the video that is written."""
        orientation = self._orientation_in(kind)
        width, height = self._stored_wh(kind)
        size_wh = (width + width % 2, height + height % 2) if kind.is_even else (width, height)
        aspect = self._look.aspect
        if is_sideways(self._look.orientation) and not is_sideways(orientation):
            aspect = 1 / aspect
        return replace(self._look, size_wh=size_wh, orientation=orientation, aspect=aspect)

    def notes(self, kind: Kind) -> list[str]:
        """Return what cannot be kept in a file of `kind`."""
        notes = []
        width, height = self.look_in(kind).size_wh
        if kind.is_even and (odd := self._odd_wh(kind)):
            notes.append(f"{odd[0]}x{odd[1]} becomes {width}x{height}: the sides of H.264 are even")
        if not kind.holds_times:
            notes.append(f"{kind.name} has one frame rate, {float(self._look.rate):g}")
        return notes

    def _odd_wh(self, kind: Kind) -> tuple[int, int] | None:
        width, height = self._stored_wh(kind)
        return (width, height) if width % 2 or height % 2 else None

    def _stored_wh(self, kind: Kind) -> tuple[int, int]:
        return turned_wh(self.image_wh, back(self._orientation_in(kind)))

    def _orientation_in(self, kind: Kind) -> int:
        return self._look.orientation if kind.holds_turn and not self._crop else UPRIGHT

    def can_pass(self, frame: VideoFrame, kind: Kind) -> bool:
        """Whether a frame that nothing is drawn on can be encoded without becoming a picture."""
        is_same = self._crop is None and self._orientation_in(kind) == self._look.orientation
        return is_same and (frame.width, frame.height) == self.look_in(kind).size_wh

    def passed(self, frame: VideoFrame, kind: Kind) -> VideoFrame:
        """Return `frame` in the pixel format of `kind`, nothing drawn on it."""
        is_other = kind.is_jpeg and matrix_of(frame) != Colorspace.ITU601
        if frame.format.name == kind.pixels and not is_other:
            return frame
        return self._convert(frame, kind, frame, matrix_of(frame), is_full_range(frame))

    def frame(self, image: BGRImage, like: VideoFrame, kind: Kind) -> VideoFrame:
        """Return a picture as a frame of the video that is written, in the colour space of `like`."""
        image = turn(image, back(self._orientation_in(kind)))
        height, width = image.shape[:2]
        if kind.is_even and (width % 2 or height % 2):
            image = np.asarray(
                cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE), np.uint8
            )
        whole = VideoFrame.from_numpy_buffer(np.ascontiguousarray(image), format="bgr24")
        return self._convert(whole, kind, like, None, True)

    def _convert(
        self, frame: VideoFrame, kind: Kind, like: VideoFrame, matrix: Colorspace | None, is_full: bool
    ) -> VideoFrame:
        to_full = kind.is_jpeg or is_full_range(like)
        return self._reformatter.reformat(
            frame,
            format="bgr24" if kind.pixels == "pal8" else kind.pixels,
            src_colorspace=matrix,
            src_color_range=ColorRange.JPEG if is_full else ColorRange.MPEG,
            dst_colorspace=Colorspace.ITU601 if kind.is_jpeg else matrix_of(like),
            dst_color_range=ColorRange.JPEG if to_full or kind.pixels == "pal8" else ColorRange.MPEG,
            threads=1,
        )
