"""The boxes from which an SSD measures its offsets.

Liu et al., "SSD: Single Shot MultiBox Detector", 2016, section 2.2, in the order of Caffe's PriorBox layer.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from streamd.vision.caffe_layers import Settings


def prior_boxes(settings: Settings, cells: tuple[int, int]) -> NDArray[np.float32]:
    """Centre x, centre y, width, height in input pixels, shape (rows * columns * boxes per cell, 4)."""
    rows, columns = cells
    step, offset = settings.number("step"), settings.number("offset", 0.5)
    x = (np.arange(columns) + offset) * step
    y = (np.arange(rows) + offset) * step
    sizes = _prior_sizes(settings)
    boxes = np.empty((rows, columns, len(sizes), 4), np.float32)
    boxes[..., 0] = x[None, :, None]
    boxes[..., 1] = y[:, None, None]
    boxes[..., 2:] = sizes
    return boxes.reshape(-1, 4)


def _prior_sizes(settings: Settings) -> list[tuple[float, float]]:
    least, most = settings.number("min_size"), settings.number("max_size")
    sizes = [(least, least), (math.sqrt(least * most),) * 2]
    for ratio in settings.numbers("aspect_ratio"):
        wide = (least * math.sqrt(ratio), least / math.sqrt(ratio))
        sizes += [wide, wide[::-1]] if settings.flag("flip", default=True) else [wide]
    return [(width, height) for width, height in sizes]
