"""Whether something moves in a camera's picture, so that still pictures need no detection.

A small grey picture is compared with a running background: for each pixel its mean and how much it usually
differs from that (Wren et al., "Pfinder: Real-Time Tracking of the Human Body", PAMI 19 (7), 1997, with the
mean deviation in place of the variance). What changes slowly becomes background; what flickers is allowed to.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_server.config import MotionConfig
from stream_server.detection.regions import Regions
from stream_server.media.frames import GreyImage, Picture

WIDTH = 160
"""Of the small picture's longer side: a person 50 pixels high in 1280x720 is 6 pixels high there."""
HOLD_S = 1.0
"""Frames count as moving for so long after the last motion: what stopped is analysed where it stands."""

_BACKGROUND_S = 10.0  # in which the background takes over 63 % of a change
_FLICKER_S = 30.0  # the same for what a pixel usually differs by
_FLICKER = 2.0  # times its usual difference a pixel has to differ more: what is on half of the time does not
_SPARED_S = 60.0  # where an object was, what changes is not taken for flicker for so long
_EVERYWHERE = 0.6  # part of the picture that changes at once: exposure, infrared light, a turned camera
_MARGIN = 0.04  # around regions, in parts of the picture's width

_Floats = NDArray[np.float32]
_Bools = NDArray[np.bool_]


class MotionGate:
    """Says which frames of a camera are worth analysing; for one thread."""

    def __init__(self, config: MotionConfig, regions: Regions | None = None) -> None:
        """regions: motion outside of them does not count; default: it counts everywhere."""
        self._config = config
        self._regions = regions or Regions()
        self._background: _Background | None = None
        self._moved_at = -math.inf
        self._analysed_at = -math.inf
        self._has_objects = False

    def opens(self, picture: Picture, captured_at: float) -> bool:
        """Whether to analyse this picture: something moves or has since the last one, or a refresh is due.

        captured_at: seconds, more than at the last call. Takes 0.1 to 0.25 ms for 1280x720, 0.7 for a JPEG.

        Raises ImageError for a broken picture.
        """
        if self._is_moving(small_grey(picture), captured_at):
            self._moved_at = captured_at
        is_refresh = self._has_objects and captured_at - self._analysed_at >= self._config.refresh_s
        is_missed = self._analysed_at < self._moved_at  # nobody has had time for it
        return is_refresh or is_missed or captured_at - self._moved_at <= HOLD_S

    def learn(self, boxes: NDArray[np.float32], size_wh: tuple[int, int], captured_at: float) -> None:
        """Take in where objects are in the picture analysed last: boxes (N, 4) in pixels of its `size_wh`.

        As long as there are any, still pictures are analysed now and then. Objects that move are not taken
        for flicker, however often they pass.
        """
        self._analysed_at = captured_at
        self._has_objects = len(boxes) > 0
        if self._background:
            self._background.spare(
                np.divide(boxes, np.array(size_wh * 2, np.float32), dtype=np.float32), captured_at
            )

    def _is_moving(self, grey: _Floats, captured_at: float) -> bool:
        if self._background is None or self._background.shape_hw != grey.shape:
            mask = self._regions.mask(grey.shape, _MARGIN)
            self._background = _Background(grey, mask, self._config.threshold, captured_at)
            return True
        changed = self._background.update(grey, captured_at)
        return changed >= max(self._config.min_area, 1 / grey.size)


def small_grey(picture: Picture) -> _Floats:
    """Return the picture's brightness, (H, W) float32 in 0..255, a little softened; longer side: `WIDTH`."""
    width, height = picture.size_wh
    scale = WIDTH / max(width, height)
    size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(_thinned(picture.grey), size_wh, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.blur(small, (3, 3)), np.float32)


def _thinned(grey: GreyImage) -> GreyImage:
    """Return every n-th line, where there are more than make a difference: half the time at 1280x720."""
    return grey[:: max(1, grey.shape[0] // 360)]


class _Background:
    """What the small picture usually looks like, and how much each pixel usually differs from that."""

    def __init__(self, grey: _Floats, mask: _Bools, threshold: float, captured_at: float) -> None:
        self.shape_hw: tuple[int, ...] = grey.shape
        self._mean = grey.copy()
        self._flicker = np.zeros_like(grey)
        self._mask = mask
        self._spared_until = np.full(grey.shape, -math.inf)
        self._threshold = threshold
        self._updated_at = captured_at

    def update(self, grey: _Floats, captured_at: float) -> float:
        """Return which part of the picture has changed, 0..1, and learn from it.

        A change of all of it counts once: the new picture becomes the background.
        """
        difference = grey - self._mean
        difference -= np.median(difference[::4, ::4])  # a cloud before the sun is no motion
        np.abs(difference, out=difference)
        differs = (difference > self._threshold + _FLICKER * self._flicker) & self._mask
        changed = cv2.medianBlur(differs.view(np.uint8), 3)  # single pixels are noise
        part = float(cv2.countNonZero(changed) / changed.size)
        if part > _EVERYWHERE * np.count_nonzero(self._mask) / changed.size:
            self._mean[:] = grey
        else:
            self._learn(grey, difference, captured_at)
        self._updated_at = captured_at
        return part

    def spare(self, boxes: _Floats, captured_at: float) -> None:
        """Learn no flicker for a while where objects are: boxes (N, 4) in parts of the picture."""
        height, width = self.shape_hw
        for left, top, right, bottom in (boxes * (width, height, width, height)).tolist():
            rows = slice(max(0, math.floor(top) - 2), max(0, math.ceil(bottom) + 2))
            columns = slice(max(0, math.floor(left) - 2), max(0, math.ceil(right) + 2))
            self._spared_until[rows, columns] = captured_at + _SPARED_S

    def _learn(self, grey: _Floats, difference: _Floats, captured_at: float) -> None:
        elapsed_s = captured_at - self._updated_at
        spared = self._spared_until > captured_at
        cv2.accumulateWeighted(grey, self._mean, 1 - math.exp(-elapsed_s / _BACKGROUND_S))
        difference[spared] = self._flicker[spared]
        cv2.accumulateWeighted(difference, self._flicker, 1 - math.exp(-elapsed_s / _FLICKER_S))
