"""Cutting faces out of full-resolution pictures. Only the region that is needed is converted to BGR."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from streamd.domain import Bgr, Box, Picture, Yuv420
from streamd.vision.geometry import ARCFACE, Affine, Alignment, corners_of_chip, similarity_to_chip, warp

if TYPE_CHECKING:
    from streamd.domain import Image, Landmarks

_MARGIN_PX = 2
"""Bilinear interpolation looks one pixel further; chroma, at half the resolution, two."""


@dataclass(frozen=True, slots=True)
class _Region:
    """Whole pixels of a picture, clipped to it; x2 and y2 are exclusive. Empty where nothing is inside."""

    x1: int
    y1: int
    x2: int
    y2: int

    @property
    def empty(self) -> bool:
        return self.x2 <= self.x1 or self.y2 <= self.y1

    @property
    def size(self) -> tuple[int, int]:
        return self.x2 - self.x1, self.y2 - self.y1


def cut_chip(picture: Picture, landmarks: Landmarks, alignment: Alignment = ARCFACE) -> Image:
    """The aligned face, BGR, shape (height, width, 3) of the alignment; black beyond the picture's edge.

    A face much larger than the chip is averaged down first: bilinear interpolation alone would pick
    single pixels and turn fine texture into noise.

    Args:
        picture: Full resolution.
        landmarks: Five points in the picture's pixels.
        alignment: How the face is to lie.

    Raises:
        ValueError: the landmarks coincide, or are not numbers.
    """
    to_chip, chip_size = similarity_to_chip(landmarks), (alignment.width, alignment.height)
    if alignment != ARCFACE:
        to_chip = (alignment.from_arcface() @ np.vstack([to_chip, [0, 0, 1]]))[:2]
    corners = corners_of_chip(to_chip, chip_size)
    region = _region(picture.size, Box(*corners.min(axis=0), *corners.max(axis=0)))
    if region.empty:
        return np.zeros((alignment.height, alignment.width, 3), np.uint8)
    width, height = region.size
    shrink = max(1, math.floor(1 / math.hypot(to_chip[0, 0], to_chip[1, 0])))
    size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    pixels = _convert(picture, region, size)
    return warp(pixels, to_chip @ _from_region(region, size), chip_size)


def crop_bgr(picture: Picture, box: Box) -> Image:
    """The part of the picture inside ``box``, BGR, owned by the caller; shape (0, 0, 3) where there is none."""
    region = _region(picture.size, box, margin=0)
    if region.empty:
        return np.zeros((0, 0, 3), np.uint8)
    pixels = _convert(picture, region, region.size)
    left, top = max(0, math.floor(box.x1)) - region.x1, max(0, math.floor(box.y1)) - region.y1
    right, bottom = math.ceil(box.x2) - region.x1, math.ceil(box.y2) - region.y1
    return pixels[top:bottom, left:right].copy()


def _region(size: tuple[int, int], box: Box, *, margin: int = _MARGIN_PX) -> _Region:
    """The box with a margin, grown to even pixels (where chroma has samples), inside the picture."""
    width, height = size
    x1, y1 = math.floor(box.x1) - margin, math.floor(box.y1) - margin
    x2, y2 = math.ceil(box.x2) + margin, math.ceil(box.y2) + margin
    return _Region(max(0, x1 & ~1), max(0, y1 & ~1), min(width, (x2 + 1) & ~1), min(height, (y2 + 1) & ~1))


def _from_region(region: _Region, size: tuple[int, int]) -> Affine:
    """Pixels of the converted region, whose size is ``size``, to pixels of the picture, shape (3, 3).

    Pixels are squares with their centres at whole numbers: hence the halves.
    """
    sx, sy = region.size[0] / size[0], region.size[1] / size[1]
    return np.array([[sx, 0, region.x1 + (sx - 1) / 2], [0, sy, region.y1 + (sy - 1) / 2], [0, 0, 1]], np.float64)


def _convert(picture: Picture, region: _Region, size: tuple[int, int]) -> Image:
    if isinstance(picture, Bgr):
        return _resized(picture.pixels[region.y1 : region.y2, region.x1 : region.x2], size)
    return _yuv_to_bgr(picture, region, size)


def _yuv_to_bgr(picture: Yuv420, region: _Region, size: tuple[int, int]) -> Image:
    return bgr_of_planes(_planes(picture, region), size, matrix=picture.matrix, full_range=picture.full_range)


def bgr_of_planes(
    planes: Sequence[NDArray[np.uint8]], size: tuple[int, int], *, matrix: str, full_range: bool
) -> Image:
    """The picture of three planes Y, U and V, which may have different sizes, as BGR of ``size`` (width, height).

    Each plane is scaled by itself, averaged where it becomes smaller. At half the size of 4:2:0, chroma is as it was.
    """
    scaled = [_resized(plane, size) for plane in planes]
    return np.asarray(cv2.transform(cv2.merge(scaled), _bgr_matrix(matrix, full_range)), np.uint8)


def _planes(picture: Yuv420, region: _Region) -> tuple[NDArray[np.uint8], ...]:
    """Views of the region's luma, U and V. The quarter planes follow the luma, packed."""
    width, height = picture.size
    rows = picture.planes
    chroma = rows[height:].reshape(2, height // 2, width // 2)
    quarter = chroma[:, region.y1 // 2 : region.y2 // 2, region.x1 // 2 : region.x2 // 2]
    return rows[region.y1 : region.y2, region.x1 : region.x2], quarter[0], quarter[1]


def _resized(plane: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    if plane.shape[1::-1] == size:
        return plane
    smaller = size[0] < plane.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(plane, size, interpolation=method), np.uint8)


@cache
def _bgr_matrix(matrix: str, full_range: bool) -> NDArray[np.float32]:
    """(Y, U, V, 1) to (B, G, R), shape (3, 4). ITU-R BT.601-7 section 2.5, BT.709-6 section 3."""
    red, blue = (0.299, 0.114) if matrix == "bt601" else (0.2126, 0.0722)
    green = 1 - red - blue
    luma, chroma, black = (1.0, 1.0, 0.0) if full_range else (255 / 219, 255 / 224, 16.0)
    cr, cb = 2 * (1 - red) * chroma, 2 * (1 - blue) * chroma
    rows = [[luma, cb, 0.0], [luma, -cb * blue / green, -cr * red / green], [luma, 0.0, cr]]
    return np.array([[y, u, v, -(black * y + 128 * (u + v))] for y, u, v in rows], np.float32)
