"""Blackens what must not be looked at, before a picture leaves the camera's process."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from streamd.domain import Yuv420
from streamd.zoneconfig import Point

_BLACK_LUMA, _GREY_CHROMA = 16, 128


class Mask:
    """Polygons in shares of the view; pixels are made for each size once."""

    def __init__(self, polygons: Sequence[Sequence[Point]]) -> None:
        self._polygons = polygons
        self._made: dict[tuple[int, int], NDArray[np.bool_]] = {}

    def __bool__(self) -> bool:
        return bool(self._polygons)

    def on(self, image: NDArray[np.uint8], value: int = 0) -> NDArray[np.uint8]:
        """The image, of shape (h, w) or (h, w, 3), with what is hidden at ``value``; changed in place if it may be."""
        if not self._polygons:
            return image
        image = image if image.flags.writeable else image.copy()
        image[self._pixels(image.shape[1], image.shape[0])] = value
        return image

    def on_yuv420(self, picture: Yuv420) -> Yuv420:
        """The same of a full picture."""
        if not self._polygons:
            return picture
        width, height = picture.size
        planes = picture.planes if picture.planes.flags.writeable else picture.planes.copy()
        self.on(planes[:height], _BLACK_LUMA)
        for plane in planes[height:].reshape(2, height // 2, width // 2):
            self.on(plane, _GREY_CHROMA)
        return Yuv420(planes, picture.matrix, picture.full_range)

    def _pixels(self, width: int, height: int) -> NDArray[np.bool_]:
        size = width, height
        if size not in self._made:
            drawn = np.zeros((height, width), np.uint8)
            for polygon in self._polygons:
                # Outwards: a pixel that is hidden in part is hidden.
                corners = np.array([(x * width - 0.5, y * height - 0.5) for x, y in polygon])
                cv2.fillPoly(drawn, [np.round(corners).astype(np.int32)], 1)
                cv2.polylines(drawn, [np.round(corners).astype(np.int32)], True, 1)
            self._made[size] = drawn.astype(bool)
        return self._made[size]


NO_MASK = Mask(())
