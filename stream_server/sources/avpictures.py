"""FFmpeg's decoded frames as pictures: right colours, upright, converted only when someone looks."""

from __future__ import annotations

import threading

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from detector.detections import BGRImage
from stream_server.errors import ImageError
from stream_server.frames import GreyImage, Picture

_MATRICES = {1: Colorspace.ITU709, 4: Colorspace.FCC, 7: Colorspace.SMPTE240M, 9: Colorspace.BT2020}
"""AVColorSpace (libavutil/pixfmt.h) to swscale's matrices; 5 and 6 are BT.601, 2 is "unspecified"."""
_UNSPECIFIED, _FULL_RANGE = 2, 2

_WITH_LUMA_PLANE = ("yuv4", "yuvj4", "nv12", "nv21", "gray")
"""How the names of formats begin whose first plane is the brightness (libavutil/pixdesc.c)."""

_ROTATIONS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}


class PictureMaker:
    """Makes the pictures of one source; they may be decoded from any thread, also after the source is closed.

    swscale, its context kept, takes 0.26 ms for 1280x720 on one core and knows ranges and matrices;
    OpenCV's `YUV2BGR_I420` takes 0.31 with the copy it needs and knows limited-range BT.601 only: up to 20
    levels off for a full-range camera, 39 for BT.709.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards _reformatter, which is not thread-safe
        self._reformatter = VideoReformatter()

    def picture(self, frame: VideoFrame) -> Picture:
        """Return `frame` as a picture, turned the way its container says."""
        width, height = frame.width, frame.height
        turn = round(frame.rotation / 90) * 90 % 360
        size_wh = (height, width) if turn in (90, 270) else (width, height)
        decode_grey = (lambda: _luma(frame, turn)) if _has_luma_plane(frame) else None
        return Picture(size_wh, lambda: self._image(frame, turn), decode_grey=decode_grey)

    def _image(self, frame: VideoFrame, turn: int) -> BGRImage:
        try:
            with self._lock:
                converted = self._reformatter.reformat(
                    frame,
                    format="bgr24",
                    src_colorspace=matrix_of(frame),
                    src_color_range=ColorRange.JPEG if is_full_range(frame) else ColorRange.MPEG,
                    dst_color_range=ColorRange.JPEG,
                    threads=1,
                )
            image = _pixels(converted)
        except (av.FFmpegError, ValueError) as exc:
            raise ImageError(f"the camera's pixel format {frame.format.name} cannot be shown") from exc
        upright = cv2.rotate(image, _ROTATIONS[turn]) if turn else image
        return np.ascontiguousarray(upright, dtype=np.uint8)  # a copy only where swscale padded the lines


def _pixels(frame: VideoFrame) -> BGRImage:
    """Return the (H, W, 3) pixels where they are; PyAV's `to_ndarray` copies them (1 ms for 1920x1080)."""
    plane = frame.planes[0]
    lines = np.frombuffer(memoryview(plane), np.uint8)[: plane.line_size * frame.height]
    return lines.reshape(frame.height, plane.line_size)[:, : 3 * frame.width].reshape(
        frame.height, frame.width, 3
    )


def _has_luma_plane(frame: VideoFrame) -> bool:
    return frame.format.name.startswith(_WITH_LUMA_PLANE) and frame.format.components[0].bits == 8


def _luma(frame: VideoFrame, turn: int) -> GreyImage:
    """Return the brightness as it lies in the frame's memory, nothing converted."""
    plane = frame.planes[0]
    lines = np.frombuffer(memoryview(plane), np.uint8)[: plane.line_size * frame.height]
    luma = lines.reshape(frame.height, plane.line_size)[:, : frame.width]
    return np.asarray(cv2.rotate(luma, _ROTATIONS[turn]), np.uint8) if turn else luma


def is_full_range(frame: VideoFrame) -> bool:
    """Return whether black is 0 and white 255, rather than 16 and 235."""
    return frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")


def matrix_of(frame: VideoFrame) -> Colorspace:
    """Return the frame's YUV matrix; what says nothing is taken as players do: BT.709 from 720 lines on."""
    is_jpeg = frame.format.name.startswith("yuvj")
    if frame.colorspace == _UNSPECIFIED and not is_jpeg and max(frame.width, frame.height) >= 1280:
        return Colorspace.ITU709
    return _MATRICES.get(frame.colorspace, Colorspace.ITU601)
