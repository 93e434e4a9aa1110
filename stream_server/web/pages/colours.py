"""The colours of classes as pages write them."""

from __future__ import annotations

from stream_server.drawing.colours import PALETTE_SIZE, class_colour


def css_palette() -> str:
    """Return the colours of streams, `#rrggbb,…`: that of a class stands at its id, modulo their number."""
    return ",".join(map(_css_colour, range(PALETTE_SIZE)))


def _css_colour(class_id: int) -> str:
    blue, green, red = class_colour(class_id)
    return f"#{red:02x}{green:02x}{blue:02x}"
