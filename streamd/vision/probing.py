"""Pictures on which two runtimes are compared: drawn faces, in several lights, since no photograph of anybody is
shipped, and a network for faces answers noise with values that it never gives a camera."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from streamd.vision.geometry import CHIP_PX, TEMPLATE

Array = NDArray[np.float32]
Image = NDArray[np.float32]
Colour = tuple[float, ...]

FREE_SIZE = (384, 640)
"""Height and width at which networks for pictures of any size are tried."""
PROBES = 8
_FINE = 8
"""Bits of the sub-pixel coordinates that OpenCV draws at."""


def probe(inputs: Mapping[str, tuple[object, ...]]) -> dict[str, Array]:
    """One fixed picture for each input: coarse shapes and fine grain, 0..255."""
    random = np.random.default_rng(11)
    feed = {}
    for name, shape in inputs.items():
        channels, height, width = _sides(shape)
        coarse = random.uniform(0, 255, (1, channels, math.ceil(height / 16), math.ceil(width / 16)))
        whole = coarse.repeat(16, axis=2).repeat(16, axis=3)[:, :, :height, :width]
        feed[name] = np.asarray(0.7 * whole + 0.3 * random.uniform(0, 255, whole.shape), np.float32)
    return feed


def probes(inputs: Mapping[str, tuple[object, ...]]) -> Iterator[dict[str, Array]]:
    """``probe``, and drawn faces, no two alike: sharp and blurred, bright and dark, clean and noisy."""
    yield probe(inputs)
    if all(_sides(shape)[0] != 3 for shape in inputs.values()):
        return
    for number in range(PROBES - 1):
        yield {name: _drawn(number, *_sides(shape)[1:]) for name, shape in inputs.items()}


def _sides(shape: tuple[object, ...]) -> tuple[int, int, int]:
    """Channels, height and width, free ones filled in."""
    channels, height, width = (side if isinstance(side, int) else None for side in (*shape, None, None, None)[1:4])
    return channels or 3, height or FREE_SIZE[0], width or FREE_SIZE[1]


def _drawn(number: int, height: int, width: int) -> Array:
    """Shape (1, 3, height, width), RGB: one face that fills a square picture, or several of different sizes."""
    random = np.random.default_rng(number)
    ground = random.uniform(20, 235, (max(2, height // 48), max(2, width // 48), 3)).astype(np.float32)
    picture = np.asarray(cv2.resize(ground, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
    if height == width:
        places = [(width / 2, height / 2, min(height, width))]
    else:
        sizes = random.uniform(0.15, 0.6, 4) * min(height, width)
        places = [((i + 0.5) * width / 4, random.uniform(0.35, 0.65) * height, size) for i, size in enumerate(sizes)]
    for x, y, size in places:
        draw_face(picture, random, at=(x - size / 2, y - size / 2), scale=size / CHIP_PX)
    return _seen(picture, random).transpose(2, 0, 1)[None].copy()


def draw_face(picture: Image, random: np.random.Generator, *, at: tuple[float, float], scale: float) -> None:
    """Draw into an RGB picture; ``at`` is where ArcFace's chip of this face begins, ``scale`` its size of CHIP_PX."""
    tone = random.uniform(0.35, 1.0)
    skin = (235 * tone, 190 * tone, 165 * tone)
    hair = tuple(float(v) for v in random.uniform(10, 110) * np.array([1.0, 0.8, 0.6]))
    points = TEMPLATE + random.normal(0, 1.2, (5, 2)).astype(np.float32)
    middle = points.mean(axis=0)

    def ellipse(
        centre: NDArray[np.float32], below: float, radii: tuple[float, float], colour: Colour | tuple[float, ...]
    ) -> None:
        x, y = at[0] + float(centre[0]) * scale, at[1] + (float(centre[1]) + below) * scale
        where = [round(x * 2**_FINE), round(y * 2**_FINE)]
        size = [max(1, round(radius * scale * 2**_FINE)) for radius in radii]
        cv2.ellipse(picture, where, size, 0, 0, 360, colour, -1, cv2.LINE_AA, _FINE)

    ellipse(middle, -14, (45, 58), hair)
    ellipse(middle, 2, (37, 52), skin)
    for eye in points[:2]:
        ellipse(eye, -9, (9, 2.2), hair)
        ellipse(eye, 0, (7.5, 4), (225 * tone + 20,) * 3)
        ellipse(eye, 0, (3.4, 3.6), (40.0, 30.0, 25.0))
    ellipse(points[2], -8, (3, 12), tuple(min(255.0, 1.06 * v) for v in skin))
    ellipse(points[2], 2, (6.5, 3), tuple(0.75 * v for v in skin))
    mouth, reach = points[3:].mean(axis=0), float(points[4, 0] - points[3, 0]) / 2
    ellipse(mouth, 0, (reach, random.uniform(2.5, 6)), (170 * tone, 70 * tone, 75 * tone))


def _seen(picture: Image, random: np.random.Generator) -> Image:
    """As a camera would: light from one side, out of focus, too dark or too bright, with noise."""
    height, width = picture.shape[:2]
    slope = random.uniform(-0.5, 0.5)
    light = random.uniform(0.3, 1.15) * (1 + slope * np.linspace(-1, 1, width, dtype=np.float32))[None, :, None]
    soft = cv2.GaussianBlur(picture * light, (0, 0), random.uniform(0.6, 2.0))
    grain = random.normal(0, random.uniform(1, 12), (height, width, 3))
    return np.asarray(np.clip(soft + grain, 0, 255).round(), np.float32)
