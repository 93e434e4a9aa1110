"""A contact sheet: one picture of each object, when it was seen best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from detector.detections import BGRImage
from stream_server.drawing.text import pen
from stream_server.media.encode import encode_jpeg, fit
from stream_server.video.output.side_files import SideFile
from stream_server.video.scene import Scene

TILE_WH = (320, 180)
COLUMNS = 4
MAX_TILES = 60
_BETTER = 0.1
_TEXT_PX = 14


@dataclass(slots=True)
class _Tile:
    """The best look at an object so far."""

    at_s: float
    score: float
    image: BGRImage


class Sheet(SideFile):
    """The first `MAX_TILES` objects that were followed, in the order in which they came."""

    suffix: ClassVar[str] = ".sheet.jpg"

    def _begin(self) -> None:
        self._tiles: dict[int, _Tile] = {}

    def _add(self, scene: Scene, picture: Callable[[], BGRImage]) -> None:
        objects, small = scene.objects, None
        for track_id, score in zip(objects.track_ids.tolist(), objects.scores.tolist(), strict=True):
            if track_id and self._is_better(track_id, score):
                small = _small(picture()) if small is None else small
                self._tiles[track_id] = _Tile(scene.seen.shot.time_s, score, small)

    def _is_better(self, track_id: int, score: float) -> bool:
        tile = self._tiles.get(track_id)
        return len(self._tiles) < MAX_TILES if tile is None else score > tile.score + _BETTER

    def _end(self) -> None:
        tiles = [_titled(tile) for _, tile in sorted(self._tiles.items())] or [_blank()]
        tiles += [_blank()] * (-len(tiles) % min(COLUMNS, len(tiles)))
        columns = min(COLUMNS, len(tiles))
        rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
        self._part.write_bytes(encode_jpeg(np.ascontiguousarray(np.vstack(rows)), 90))


def _small(image: BGRImage) -> BGRImage:
    """Return a copy in a tile's size."""
    return fit(image, TILE_WH).copy()


def _blank() -> BGRImage:
    return np.zeros((TILE_WH[1], TILE_WH[0], 3), np.uint8)


def _titled(tile: _Tile) -> BGRImage:
    minutes, seconds = divmod(int(tile.at_s), 60)
    text = f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    writer = pen(_TEXT_PX)
    cv2.rectangle(tile.image, (0, 0), (writer.width(text), writer.line_height), (0, 0, 0), -1)
    writer.write(tile.image, text, (0, 0), (255, 255, 255))
    return tile.image
