"""Whether a picture has no colour: a black-and-white photograph, or a camera that sees by infra-red at night."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from streamd.domain import Image

_MOST_SPREAD = 2.1
"""Standard deviation of the two colour-difference planes in a well-lit picture, apart from what follows brightness.
Of 307 colour portraits the dullest has 3.0, at a quarter of the light 2.2 in proportion; without colour, but compressed
and with a tint, one in a hundred has more than 1.9."""
_MOST_TINT = 0.12
"""A tint may grow with brightness by so much of it. Skin is brighter and redder than what is around it, by more."""
_WELL_LIT, _LEAST_LIGHT = 100.0, 0.3
"""In a darker picture colours differ less, in proportion to its mean luma."""
_BLACK = 16
_SCALE = 0.25
"""Compression mixes the colours of neighbours, noise is as large as the colour of one pixel: averages tell more."""


def is_grey(picture: Image) -> bool:
    """Whether what differs from pixel to pixel is brightness alone. A tint over everything does not count as colour.

    Args:
        picture: BGR, any size; a chip takes 0.05 ms.
    """
    small = cv2.resize(picture, None, fx=_SCALE, fy=_SCALE, interpolation=cv2.INTER_AREA)
    smooth = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2YCrCb), np.uint8).reshape(-1, 3)
    # What is black has no colour, and beyond the photo's edge everything is.
    lit = smooth[smooth[:, 0] > _BLACK].astype(np.float32)
    if len(lit) < len(smooth) // 10:
        return False
    mean = lit.mean(axis=0)
    light = float(np.clip(mean[0] / _WELL_LIT, _LEAST_LIGHT, 1.0))
    return _spread(lit - mean) < _MOST_SPREAD * light


def _spread(differences: NDArray[np.float32]) -> float:
    """Of the two colours, the larger deviation from a straight line over brightness; columns Y, Cr, Cb, mean 0."""
    covariance = differences.T @ differences / len(differences)
    slopes = np.clip(covariance[0, 1:] / max(float(covariance[0, 0]), 1.0), -_MOST_TINT, _MOST_TINT)
    variances = covariance.diagonal()[1:] - 2 * slopes * covariance[0, 1:] + slopes**2 * covariance[0, 0]
    return math.sqrt(max(0.0, float(variances.max())))
