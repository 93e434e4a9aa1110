"""FFmpeg's decoded frames as pictures: right colours, upright, converted only when someone looks."""

from __future__ import annotations

import struct
import threading
from typing import Any, cast

import av
import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from detector.detections import BGRImage
from stream_server.errors import ImageError
from stream_server.media.frames import GreyImage, Picture
from stream_server.media.orientation import UPRIGHT, of_matrix, turn, turned_wh

_MATRICES = {1: Colorspace.ITU709, 4: Colorspace.FCC, 7: Colorspace.SMPTE240M, 9: Colorspace.BT2020}
"""AVColorSpace (libavutil/pixfmt.h) to swscale's matrices; 5 and 6 are BT.601, 2 is "unspecified"."""
_UNSPECIFIED, _FULL_RANGE = 2, 2

_WITH_LUMA_PLANE = ("yuv4", "yuvj4", "nv12", "nv21", "gray")
"""How the names of formats begin whose first plane is the brightness (libavutil/pixdesc.c)."""

_DISPLAY_MATRIX = struct.Struct("=9i")


def _unnamed(value: object) -> Type:
    """Return a member for a kind of side data that PyAV has no name for."""
    member: Any = object.__new__(Type)
    member._name_, member._value_ = f"UNNAMED_{value}", value
    return cast("Type", member)


# FFmpeg has kinds that PyAV 18.1 does not know, EXIF data among them: a frame that has one could be asked for
# none of its side data (ValueError).
Type._missing_ = _unnamed  # type: ignore[method-assign]


class PictureMaker:
    """Makes the pictures of one source; they may be decoded from any thread, also after the source is closed.

    swscale, its context kept, takes 0.26 ms for 1280x720 on one core and knows ranges and matrices;
    OpenCV's `YUV2BGR_I420` takes 0.31 with the copy it needs and knows limited-range BT.601 only: up to 20
    levels off for a full-range camera, 39 for BT.709.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards _reformatter, which is not thread-safe
        self._reformatter = VideoReformatter()

    def picture(self, frame: VideoFrame, size_wh: tuple[int, int] | None = None) -> Picture:
        """Return `frame` as a picture, turned and mirrored the way it, or its container, says.

        size_wh: before it is turned, in pixels; default: that of the frame.
        """
        orientation = orientation_of(frame)
        before_wh = size_wh or (frame.width, frame.height)
        return Picture(
            turned_wh(before_wh, orientation),
            lambda: turn(self._image(frame, before_wh), orientation),
            # Of the frame's own size: who looks at brightness alone makes it smaller anyway.
            decode_grey=(lambda: turn(_luma(frame), orientation)) if _has_luma_plane(frame) else None,
        )

    def _image(self, frame: VideoFrame, size_wh: tuple[int, int]) -> BGRImage:
        try:
            with self._lock:
                converted = self._reformatter.reformat(
                    frame,
                    *size_wh,
                    format="bgr24",
                    src_colorspace=matrix_of(frame),
                    src_color_range=ColorRange.JPEG if is_full_range(frame) else ColorRange.MPEG,
                    dst_color_range=ColorRange.JPEG,
                    threads=1,
                )
            image = _pixels(converted)
        except (av.FFmpegError, ValueError) as exc:
            raise ImageError(f"the camera's pixel format {frame.format.name} cannot be shown") from exc
        return np.ascontiguousarray(image)  # a copy only where swscale padded the lines


def orientation_of(frame: VideoFrame) -> int:
    """Return how the frame lies, 1 to 8, by the display matrix of its container, EXIF data or SEI message."""
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    return UPRIGHT if matrix is None else of_matrix(_DISPLAY_MATRIX.unpack(matrix))


def _pixels(frame: VideoFrame) -> BGRImage:
    """Return the (H, W, 3) pixels where they are; PyAV's `to_ndarray` copies them (1 ms for 1920x1080)."""
    plane = frame.planes[0]
    lines = np.frombuffer(memoryview(plane), np.uint8)[: plane.line_size * frame.height]
    return lines.reshape(frame.height, plane.line_size)[:, : 3 * frame.width].reshape(
        frame.height, frame.width, 3
    )


def _has_luma_plane(frame: VideoFrame) -> bool:
    return frame.format.name.startswith(_WITH_LUMA_PLANE) and frame.format.components[0].bits == 8


def _luma(frame: VideoFrame) -> GreyImage:
    """Return the brightness as it lies in the frame's memory, nothing converted."""
    plane = frame.planes[0]
    lines = np.frombuffer(memoryview(plane), np.uint8)[: plane.line_size * frame.height]
    return lines.reshape(frame.height, plane.line_size)[:, : frame.width]


def is_full_range(frame: VideoFrame) -> bool:
    """Return whether black is 0 and white 255, rather than 16 and 235."""
    return frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")


def matrix_of(frame: VideoFrame) -> Colorspace:
    """Return the frame's YUV matrix; what says nothing is taken as players do: BT.709 from 720 lines on."""
    is_jpeg = frame.format.name.startswith("yuvj")
    if frame.colorspace == _UNSPECIFIED and not is_jpeg and max(frame.width, frame.height) >= 1280:
        return Colorspace.ITU709
    return _MATRICES.get(frame.colorspace, Colorspace.ITU601)
