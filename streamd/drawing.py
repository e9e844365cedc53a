"""Boxes and labels, drawn into pictures: straight into the planes of 4:2:0, without a detour over BGR.

Labels are drawn by Pillow with the font that matplotlib carries, which has Latin, Greek and Cyrillic letters; each is
made once and copied into the pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from streamd.domain import Box, Yuv420
from streamd.overlays import FaceMark, State

if TYPE_CHECKING:
    from streamd.sources.avframe import Matrix

Bgr = tuple[int, int, int]
COLOURS: dict[State, Bgr] = {"known": (80, 200, 80), "unknown": (60, 160, 240), "deciding": (205, 205, 205)}
_INK: Bgr = (16, 16, 16)
_LONGEST_LABEL = 60
"""Letters."""
_WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}
"""Of red and blue in luma, ITU-R BT.601 and BT.709."""


def draw_marks(picture: Yuv420, marks: Sequence[FaceMark], full_size: tuple[int, int]) -> Yuv420:
    """A copy of the picture with boxes and labels; ``marks`` are in pixels of ``full_size``."""
    planes = picture.planes.copy()
    width, height = picture.size
    scaled = [(mark, mark.box.scaled(width / full_size[0], height / full_size[1])) for mark in marks]
    canvas = _Canvas(planes, picture.matrix, picture.full_range)
    for mark, box in scaled:
        canvas.frame(box, COLOURS[mark.state])
    for mark, box in scaled:
        canvas.label(mark.reason, box, COLOURS[mark.state])
    return Yuv420(planes, picture.matrix, picture.full_range)


def letter_height(size: tuple[int, int]) -> int:
    """Pixels of a label's font in a picture of this width and height."""
    return max(11, round(min(size) / 30))


@lru_cache(maxsize=256)
def label(text: str, letter_px: int, colour: Bgr) -> NDArray[np.uint8]:
    """A text on a coloured ground: (h, w, 3), BGR, even sides, to be copied and not to be written to."""
    font = _font(letter_px)
    shown = text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "…"
    left, _, right, _ = font.getbbox(shown)
    ascent, descent = font.getmetrics()
    margin = max(2, letter_px // 4)
    size = (int(right - left) + 2 * margin + 1) & ~1, (ascent + descent + 1) & ~1
    image = Image.new("RGB", size, colour[::-1])
    ImageDraw.Draw(image).text((margin - left, 0), shown, font=font, fill=_INK)
    pixels = np.ascontiguousarray(np.asarray(image)[:, :, ::-1], np.uint8)
    pixels.flags.writeable = False
    return pixels


@lru_cache(maxsize=8)
def _font(letter_px: int) -> ImageFont.FreeTypeFont:
    found = find_spec("matplotlib")  # not imported: it is large
    if found is None or found.origin is None:
        raise FileNotFoundError("matplotlib, whose font is needed, is not installed")
    return ImageFont.truetype(str(Path(found.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf"), letter_px)


@lru_cache(maxsize=256)
def _planar_label(text: str, letter_px: int, colour: Bgr, matrix: Matrix, full_range: bool) -> Yuv420:
    pixels = label(text, letter_px, colour)
    height, width = pixels.shape[:2]
    values = _yuv(pixels, matrix, full_range)
    planes = np.empty((height * 3 // 2, width), np.uint8)
    planes[:height] = values[:, :, 0]
    chroma = planes[height:].reshape(2, height // 2, width // 2)
    quarters = values.reshape(height // 2, 2, width // 2, 2, 3).mean(axis=(1, 3))
    chroma[0], chroma[1] = quarters[:, :, 1], quarters[:, :, 2]
    return Yuv420(planes, matrix, full_range)


def _yuv(pixels: NDArray[np.uint8], matrix: Matrix, full_range: bool) -> NDArray[np.float32]:
    """(..., 3) BGR as Y, U, V in 0..255."""
    red_weight, blue_weight = _WEIGHTS[matrix]
    blue, green, red = (pixels[..., i].astype(np.float32) / 255 for i in range(3))
    luma = red_weight * red + (1 - red_weight - blue_weight) * green + blue_weight * blue
    u, v = (blue - luma) / (2 - 2 * blue_weight), (red - luma) / (2 - 2 * red_weight)
    scale, base, chroma = (255, 0, 255) if full_range else (219, 16, 224)
    return np.stack([base + scale * luma, 128 + chroma * u, 128 + chroma * v], axis=-1).round().clip(0, 255)


class _Canvas:
    """Planes that are drawn into. Everything lies on even pixels, so that colours keep within the lines."""

    def __init__(self, planes: NDArray[np.uint8], matrix: Matrix, full_range: bool) -> None:
        self._matrix, self._full_range = matrix, full_range
        self._width, self._height = planes.shape[1], planes.shape[0] * 2 // 3
        self._luma = planes[: self._height]
        self._chroma = planes[self._height :].reshape(2, self._height // 2, self._width // 2)
        self._letter_px = letter_height((self._width, self._height))
        self._line = max(2, round(min(self._width, self._height) / 360) * 2)

    def frame(self, box: Box, colour: Bgr) -> None:
        x1, y1, x2, y2 = (round(side / 2) * 2 for side in (box.x1, box.y1, box.x2, box.y2))
        t = self._line
        for left, top, right, bottom in (
            (x1 - t, y1 - t, x2 + t, y1),
            (x1 - t, y2, x2 + t, y2 + t),
            (x1 - t, y1, x1, y2),
            (x2, y1, x2 + t, y2),
        ):
            self._fill(left, top, right, bottom, colour)

    def label(self, text: str, box: Box, colour: Bgr) -> None:
        """Above the box, or below its upper edge where there is no room; moved in where it would stick out."""
        patch = _planar_label(text, self._letter_px, colour, self._matrix, self._full_range)
        width, height = patch.size
        top = round(box.y1 / 2) * 2 - self._line - height
        left = round(box.x1 / 2) * 2 - self._line
        self._copy(patch, max(0, min(left, (self._width - width) & ~1)), top if top >= 0 else top + height)

    def _fill(self, left: int, top: int, right: int, bottom: int, colour: Bgr) -> None:
        left, right = max(0, left), min(self._width, right)
        top, bottom = max(0, top), min(self._height, bottom)
        if left >= right or top >= bottom:
            return
        y, u, v = _yuv(np.array([colour], np.uint8), self._matrix, self._full_range)[0]
        self._luma[top:bottom, left:right] = y
        self._chroma[0, top // 2 : bottom // 2, left // 2 : right // 2] = u
        self._chroma[1, top // 2 : bottom // 2, left // 2 : right // 2] = v

    def _copy(self, patch: Yuv420, left: int, top: int) -> None:
        top = max(0, top)
        width, height = patch.size
        width, height = min(width, self._width - left), min(height, self._height - top)
        if width <= 0 or height <= 0:
            return
        rows = patch.size[1]
        self._luma[top : top + height, left : left + width] = patch.planes[:height, :width]
        chroma = patch.planes[rows:].reshape(2, rows // 2, -1)[:, : height // 2, : width // 2]
        self._chroma[:, top // 2 : (top + height) // 2, left // 2 : (left + width) // 2] = chroma
