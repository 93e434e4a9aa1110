"""The colours that boxes, labels and messages are drawn in."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from stream_server.drawing.text import Colour

BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)
GREY: Colour = (190, 190, 190)

PALETTE_SIZE = 96


def class_colour(class_id: int) -> Colour:
    """Return the colour of a class; the same one in every picture and every run."""
    return _palette()[class_id % PALETTE_SIZE]


@lru_cache(maxsize=1)
def _palette() -> tuple[Colour, ...]:
    """Return colours of which each is as far as can be, in CIELAB, from all before it.

    Only vivid ones of middle lightness, which stand out from bright and dark pictures. The first 20 are 33
    apart or more, the first 80 still 15 (a just noticeable difference is about 2.3).
    """
    steps = np.linspace(0, 1, 9, dtype=np.float32)
    colours = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    lab = cv2.cvtColor(colours, cv2.COLOR_BGR2Lab)[0]
    is_vivid = (lab[:, 0] > 50) & (lab[:, 0] < 92) & (np.hypot(lab[:, 1], lab[:, 2]) > 40)
    colours, lab = colours[0, is_vivid], lab[is_vivid]
    chosen = [int(np.abs(colours - (0.25, 0.625, 1)).sum(axis=1).argmin())]  # class 0, mostly persons: orange
    distances = np.full(len(lab), np.inf)
    while len(chosen) < PALETTE_SIZE:
        distances = np.minimum(distances, np.linalg.norm(lab - lab[chosen[-1]], axis=1))
        chosen.append(int(distances.argmax()))
    return tuple((int(blue), int(green), int(red)) for blue, green, red in 255 * colours[chosen])


def text_on(colour: Colour) -> Colour:
    """Return black or white, whichever has more contrast on `colour` (by its Rec. 601 luma)."""
    blue, green, red = colour
    return BLACK if 0.114 * blue + 0.587 * green + 0.299 * red > 110 else WHITE
