"""Whether a picture has no colour: a black-and-white photograph, or a camera that sees by infra-red at night."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from streamd.domain import Image

_MOST_SPREAD = 3.0
"""Standard deviation of the two colour-difference planes in a well-lit picture. A constant tint has none, compression
adds up to 1.8; the dullest of 300 colour portraits has 3.5."""
_WELL_LIT, _LEAST_LIGHT = 100.0, 0.3
"""In a darker picture colours differ less, in proportion to its mean luma."""


def is_grey(picture: Image) -> bool:
    """Whether what differs from pixel to pixel is brightness alone. A tint over everything does not count as colour.

    Args:
        picture: BGR, any size; a chip takes 0.05 ms.
    """
    ycrcb = cv2.cvtColor(picture, cv2.COLOR_BGR2YCrCb)
    # What is black has no colour, and beyond the photo's edge everything is.
    lit = cv2.inRange(cv2.extractChannel(ycrcb, 0), np.array([17.0]), np.array([255.0]))
    if cv2.countNonZero(lit) < lit.size // 10:
        return False
    mean, spread = cv2.meanStdDev(cv2.blur(ycrcb, (5, 5)), mask=lit)
    light = float(np.clip(mean[0, 0] / _WELL_LIT, _LEAST_LIGHT, 1.0))
    return float(spread[1:].max()) < _MOST_SPREAD * light
