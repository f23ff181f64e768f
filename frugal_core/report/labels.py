"""Where to write the names of points, so that they cover neither each other nor the points."""

from __future__ import annotations

import math
from collections.abc import Sequence

Place = tuple[float, float]
"""x and y in pixels, y upwards."""

_DIRECTIONS = 16
_DISTANCES = (
    12,
    18,
    26,
    36,
    48,
    62,
)  # pixels from a point to the middle of its name's nearest side


def place_labels(
    points: Sequence[Place],
    sizes: Sequence[tuple[float, float]],
    obstacles: Sequence[Place],
    area: tuple[float, float],
) -> list[Place]:
    """Middles of the names of points, chosen greedily, each as near to its point as is free.

    Args:
        points: What is named.
        sizes: Width and height of each name.
        obstacles: Other places that should stay visible.
        area: Width and height of the plot, which names should not leave.
    """
    taken: list[tuple[Place, tuple[float, float]]] = []
    for point, size in zip(points, sizes, strict=True):

        def cost(candidate: tuple[Place, float], size: tuple[float, float] = size) -> float:
            middle, distance = candidate
            overlap = sum(_overlap(middle, size, *other) for other in taken)
            covered = sum(_covers(middle, size, other) for other in points)
            hidden = sum(_covers(middle, size, other) for other in obstacles)
            outside = _outside(middle, size, area)
            return 5 * overlap + 400 * covered + 60 * hidden + 50 * outside + distance

        middle, _ = min(_candidates(point, size), key=cost)
        taken.append((middle, size))
    return [middle for middle, _ in taken]


def _candidates(point: Place, size: tuple[float, float]) -> list[tuple[Place, float]]:
    """Middles for a name around its point, the right side first, with their distances."""
    (x, y), (width, height) = point, size
    places = []
    for distance in _DISTANCES:
        for k in range(_DIRECTIONS):
            angle = 2 * math.pi * k / _DIRECTIONS
            along, up = math.cos(angle), math.sin(angle)
            middle = x + along * (distance + width / 2), y + up * (distance + height / 2)
            places.append((middle, float(distance)))
    return places


def _overlap(a: Place, a_size: tuple[float, float], b: Place, b_size: tuple[float, float]) -> float:
    """Area that two boxes share."""
    wide = (a_size[0] + b_size[0]) / 2 - abs(a[0] - b[0])
    high = (a_size[1] + b_size[1]) / 2 - abs(a[1] - b[1])
    return max(wide, 0.0) * max(high, 0.0)


def _covers(middle: Place, size: tuple[float, float], point: Place) -> bool:
    near_x = abs(middle[0] - point[0]) < size[0] / 2 + 5
    return near_x and abs(middle[1] - point[1]) < size[1] / 2 + 5


def _outside(middle: Place, size: tuple[float, float], area: tuple[float, float]) -> float:
    """How far a box sticks out of the plot, in pixels."""
    return sum(
        max(0.0, half - at, at + half - whole)
        for at, half, whole in zip(middle, (size[0] / 2, size[1] / 2), area, strict=True)
    )
