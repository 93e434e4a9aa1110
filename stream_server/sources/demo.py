"""A moving scene made of photographs that come with the package: a camera for who has none at hand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import resources

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.detections import BGRImage
from stream_server.config import SourceConfig
from stream_server.errors import SourceError
from stream_server.media.frames import Picture
from stream_server.sources.base import Source
from stream_server.sources.pacing import Pacer

DEFAULT_SIZE_WH = (1280, 720)
DEFAULT_FPS = 25.0

_DESIGN_WH = (1280, 720)
_TOP_LEFT_BGR, _BOTTOM_RIGHT_BGR = (96, 74, 58), (50, 36, 30)
_FRAME_BGR = (236, 240, 242)
_FRAME_PX, _SHADOW_PX, _SHADOW_DEPTH = 12, 26, 0.55


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a photograph hangs and how it sways; sizes and sways in pixels of the 1280x720 design.

    centre: middle of its path as a fraction of the picture's width and height.
    sway, period_s, phase: for x and y; phase in turns.
    """

    photo: str
    size_wh: tuple[int, int]
    centre: tuple[float, float]
    sway: tuple[float, float]
    period_s: tuple[float, float]
    phase: tuple[float, float]


_LAYOUTS = (
    _Layout("astronaut.jpg", (450, 450), (0.235, 0.51), (48, 48), (13.0, 8.6), (0.0, 0.2)),
    _Layout("cat.jpg", (480, 320), (0.73, 0.34), (72, 30), (11.0, 7.4), (0.4, 0.0)),
    _Layout("coffee.jpg", (320, 213), (0.73, 0.81), (140, 14), (17.0, 6.2), (0.1, 0.6)),
)


class DemoScene:
    """Framed photographs swaying over a quiet background; frame n of a size and rate is always the same."""

    def __init__(self, size_wh: tuple[int, int], fps: float) -> None:
        """Prepare all that does not move: 1280x720 then takes about 1 ms a frame on one core."""
        self._fps = fps
        self._background = _gradient(size_wh)
        scale = min(size_wh[0] / _DESIGN_WH[0], size_wh[1] / _DESIGN_WH[1])
        self._cards = [_Card(layout, size_wh, scale) for layout in _LAYOUTS]

    def frame(self, number: int) -> BGRImage:
        """Return frame `number` (0, 1, 2...), (H, W, 3) uint8 BGR, a new array."""
        image = self._background.copy()
        for card in self._cards:
            card.draw(image, number / self._fps)
        return image


class _Card:
    """One framed photograph with its shadow."""

    def __init__(self, layout: _Layout, size_wh: tuple[int, int], scale: float) -> None:
        self._layout = layout
        self._size_wh = size_wh
        self._scale = scale
        self._photo = _framed_photo(layout, scale)
        self._shadow = _shadow(self._photo.shape[:2], max(1, round(_SHADOW_PX * scale)))

    def draw(self, image: BGRImage, time_s: float) -> None:
        """Draw it into `image` where it is at `time_s`."""
        x, y = (self._position(axis, time_s) for axis in (0, 1))
        _paste(image, self._shadow, x, y, multiply=True)
        _paste(image, self._photo, x, y, multiply=False)

    def _position(self, axis: int, time_s: float) -> int:
        """Return where its centre is along x (0) or y (1), in pixels."""
        layout = self._layout
        turn = time_s / layout.period_s[axis] + layout.phase[axis]
        sway = layout.sway[axis] * self._scale * math.sin(2 * math.pi * turn)
        return round(layout.centre[axis] * self._size_wh[axis] + sway)


def _paste(image: BGRImage, card: BGRImage, centre_x: int, centre_y: int, *, multiply: bool) -> None:
    """Copy `card` into `image` around a point, or multiply by its fractions of 255; clip what sticks out."""
    (height, width), (card_height, card_width) = image.shape[:2], card.shape[:2]
    left, top = centre_x - card_width // 2, centre_y - card_height // 2
    x0, y0, x1, y1 = max(0, left), max(0, top), min(width, left + card_width), min(height, top + card_height)
    if x0 >= x1 or y0 >= y1:
        return
    target, part = image[y0:y1, x0:x1], card[y0 - top : y1 - top, x0 - left : x1 - left]
    if multiply:
        cv2.multiply(target, part, dst=target, scale=1 / 255)
    else:
        target[:] = part


def _framed_photo(layout: _Layout, scale: float) -> BGRImage:
    """Return the photograph at its size in the picture, inside a light frame."""
    width, height = (max(2, round(side * scale)) for side in layout.size_wh)
    border = max(1, round(_FRAME_PX * scale))
    shrinks = scale < 1
    photo = cv2.resize(
        _load_photo(layout.photo),
        (width, height),
        interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC,
    )
    return _bgr(
        cv2.copyMakeBorder(photo, border, border, border, border, cv2.BORDER_CONSTANT, value=_FRAME_BGR)
    )


def _shadow(shape_hw: tuple[int, ...], reach: int) -> BGRImage:
    """Return factors (255 = untouched) that darken softly around a card of that shape, more so below it."""
    mask = np.zeros((shape_hw[0] + 4 * reach, shape_hw[1] + 4 * reach), np.float32)
    drop = reach // 3
    mask[2 * reach + drop : -2 * reach + drop, 2 * reach : -2 * reach] = _SHADOW_DEPTH
    soft = cv2.GaussianBlur(mask, (0, 0), reach * 0.6)
    return _bgr(np.repeat((255 * (1 - soft)).astype(np.uint8)[:, :, None], 3, axis=2))


def _gradient(size_wh: tuple[int, int]) -> BGRImage:
    """Return a dark diagonal gradient, with half a level of noise so that no bands show."""
    width, height = size_wh
    x, y = np.linspace(0, 0.5, width, dtype=np.float32), np.linspace(0, 0.5, height, dtype=np.float32)
    along: NDArray[np.float32] = (x[None, :] + y[:, None])[:, :, None]
    start, end = np.array(_TOP_LEFT_BGR, np.float32), np.array(_BOTTOM_RIGHT_BGR, np.float32)
    noise = np.random.default_rng(0).random((height, width, 1), np.float32)
    return _bgr((start + (end - start) * along + noise).astype(np.uint8))


def _load_photo(name: str) -> BGRImage:
    data = resources.files("stream_server").joinpath("assets", "demo", name).read_bytes()
    photo = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if photo is None:
        raise SourceError(f"the demo's picture {name} is damaged; install the package again")
    return _bgr(photo)


def _bgr(array: object) -> BGRImage:
    """Return `array` as the contiguous uint8 image that it is (OpenCV's own types do not say so)."""
    return np.ascontiguousarray(array, dtype=np.uint8)


class DemoSource(Source):
    """The scene at the pace of a real camera."""

    def __init__(self, config: SourceConfig) -> None:
        """Take size and rate from `config`: 1280x720 at 25 frames a second unless it says otherwise."""
        width, height = DEFAULT_SIZE_WH
        if config.width or config.height:  # one side alone keeps the shape
            width = config.width or round((config.height or height) * width / height)
            height = config.height or round(width * DEFAULT_SIZE_WH[1] / DEFAULT_SIZE_WH[0])
        self.size_wh = (width, height)
        self.description = "demo scene"
        self._fps = config.fps or DEFAULT_FPS
        self._scene: DemoScene | None = None
        self._pacer = Pacer()
        self._number = 0

    def open(self) -> None:
        """Prepare the scene."""
        self._scene = DemoScene(self.size_wh, self._fps)
        self._number = 0
        self._pacer.restart()

    def read(self, wanted: bool = True) -> Picture | None:
        """Return the next frame when its time has come, drawn when someone looks; None if it is far off."""
        if self._scene is None:
            raise SourceError("the demo is not open")
        if not self._pacer.wait_until(self._number / self._fps):
            return None
        number, scene = self._number, self._scene
        self._number = max(number + 1, int(self._pacer.position_s * self._fps))
        return Picture(self.size_wh, lambda: scene.frame(number)) if wanted else None

    def close(self) -> None:
        """Forget the scene."""
        self._scene = None

    def interrupt(self) -> None:
        """End a wait for the next frame."""
        self._pacer.stop()
