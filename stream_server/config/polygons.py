"""Polygons on a picture: points as parts of its width and height, and what makes them one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

Point = tuple[float, float]
Polygon = tuple[Point, ...]
"""Three points or more: x and y in 0..1 of the picture's width and height, the last joined to the first."""

MIN_AREA = 1e-9
"""Of the picture; a pixel of an 8K picture is 3e-8. Points on one line enclose less, by rounding alone."""


def check_polygon(points: Sequence[Point]) -> None:
    """Raise ValueError, saying why, for points that enclose no area or whose edges cross one another.

    Crossing edges are nearly always points in the wrong order, and what they would mean differs from tool to
    tool. Edges may touch.
    """
    if len(points) < 3:
        raise ValueError(f"expected 3 points or more, there are {len(points)}")
    if not all(0 <= value <= 1 for point in points for value in point):
        raise ValueError("expected points of the picture: x and y from 0 to 1")
    edges = [(point, points[(at + 1) % len(points)]) for at, point in enumerate(points)]
    for (first, edge), (second, other) in combinations(enumerate(edges, start=1), 2):
        if _cross(*edge, *other):
            raise ValueError(f"expected points in order around the region; edges {first} and {second} cross")
    if _area(points) < MIN_AREA:
        raise ValueError("expected points that enclose an area")


def _area(points: Sequence[Point]) -> float:
    """Return what the points enclose, 0..1 of the picture (the shoelace formula)."""
    following = (*points[1:], points[0])
    return abs(sum(x * to_y - to_x * y for (x, y), (to_x, to_y) in zip(points, following, strict=True))) / 2


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Return whether the lines from a to b and from c to d cross in a point that is an end of neither."""
    return _side(a, b, c) * _side(a, b, d) < 0 and _side(c, d, a) * _side(c, d, b) < 0


def _side(a: Point, b: Point, point: Point) -> float:
    """Return on which side of the line from a to b the point is: above 0, below 0, or 0 on the line."""
    return (b[0] - a[0]) * (point[1] - a[1]) - (b[1] - a[1]) * (point[0] - a[0])
