"""Wide views: small faces are looked for in overlapping tiles, large ones in the whole view scaled down."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streamd.config import TILE_OVERLAP
from streamd.domain import Box, Detection
from streamd.vision.scaling import smaller
from streamd.vision.window import Window

_SAME_FACE_SHARE = 0.5
"""Overlap, as a share of the smaller box, from which two detections are one face, or part of it."""

Image = NDArray[np.uint8]


def tiles_of(image: Image, columns: int, rows: int) -> list[Window]:
    """The image itself where there is but one tile; else its tiles, and the whole at the size of a tile."""
    if columns * rows == 1:
        return [Window(image)]
    height, width = image.shape[:2]
    lines = [(top, bottom) for top, bottom in _stretches(height, rows)]
    tiles = [
        Window(np.ascontiguousarray(image[top:bottom, left:right]), 1.0, left, top)
        for top, bottom in lines
        for left, right in _stretches(width, columns)
    ]
    most = max(columns, rows)
    scale = 1 / (most - (most - 1) * TILE_OVERLAP)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return [*tiles, Window(smaller(image, size), scale)]


def _stretches(length: int, parts: int) -> list[tuple[int, int]]:
    """Beginnings and ends of overlapping parts of one size."""
    if parts == 1:
        return [(0, length)]
    size = min(length, int(np.ceil(length / (parts - (parts - 1) * TILE_OVERLAP))))
    starts = [round(part * (length - size) / (parts - 1)) for part in range(parts)]
    return [(start, start + size) for start in starts]


def merged(tiles: Sequence[Window], found: Sequence[Sequence[Detection]]) -> list[Detection]:
    """Faces of all tiles in the image's pixels, best first; one that several tiles saw counts once."""
    if len(tiles) == 1:
        return [tiles[0].in_image(detection) for detection in found[0]]
    pooled = [tile.in_image(seen) for tile, row in zip(tiles, found, strict=True) for seen in row]
    return distinct(pooled)


def distinct(detections: Sequence[Detection]) -> list[Detection]:
    """Of detections that overlap, the surest; best first."""
    kept: list[Detection] = []
    for detection in sorted(detections, key=lambda d: -d.score):
        if all(_overlap(detection.box, other.box) < _SAME_FACE_SHARE for other in kept):
            kept.append(detection)
    return kept


def _overlap(a: Box, b: Box) -> float:
    """Intersection as a share of the smaller box, 0..1."""
    width = min(a.x2, b.x2) - max(a.x1, b.x1)
    height = min(a.y2, b.y2) - max(a.y1, b.y1)
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min(a.width * a.height, b.width * b.height)
