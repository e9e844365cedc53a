"""How sharp a picture of a face is, whatever its contrast."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_SMOOTHING_PX = 1.0
"""Sigma of the blur before sharpness is measured: sensor noise would count as detail."""
_REBLUR_PX = 9
_DIAGONAL_PX = 7
"""Steps along a diagonal are longer."""
_NO_DETAIL, _FULL_DETAIL = 0.16, 0.40
"""Share of gradients that vanish by reblurring. Portraits 0.35-0.49; blurred by sigma 3: 0.18-0.32, by 5: 0.10-0.23;
smeared over 17 px: 0.17-0.30; a face of 28 px enlarged: 0.18-0.31 (nine in ten each)."""

_Luma = NDArray[np.float32]
_DIAGONAL = np.eye(_DIAGONAL_PX, dtype=np.float32) / _DIAGONAL_PX


def sharpness(luma: NDArray[np.uint8]) -> float:
    """0..1 by how much of the detail another blur would take; independent of contrast.

    After Crete et al., "The blur effect", 2007, on gradients over two pixels, and along the diagonals too. The worst
    of the four directions counts, so that motion shows.
    """
    smooth = np.asarray(cv2.GaussianBlur(luma, (0, 0), _SMOOTHING_PX), np.float32)
    least = min(
        _lost_share(smooth, np.asarray(cv2.blur(smooth, (_REBLUR_PX, 1)), np.float32), (0, 1)),
        _lost_share(smooth, np.asarray(cv2.blur(smooth, (1, _REBLUR_PX)), np.float32), (1, 0)),
        _lost_share(smooth, np.asarray(cv2.filter2D(smooth, -1, _DIAGONAL), np.float32), (1, 1)),
        _lost_share(smooth, np.asarray(cv2.filter2D(smooth, -1, _DIAGONAL[::-1]), np.float32), (1, -1)),
    )
    return min(1.0, max(0.0, (least - _NO_DETAIL) / (_FULL_DETAIL - _NO_DETAIL)))


def _lost_share(picture: _Luma, blurred: _Luma, step: tuple[int, int]) -> float:
    """How much of the gradients in one direction is gone after blurring in that direction."""
    before, after = _gradients(picture, step), _gradients(blurred, step)
    total = float(before.sum())
    # Half a grey level per pixel is the rounding of the smoothed picture, not detail.
    lost = float(np.maximum(before - after, 0).sum())
    return lost / max(total, 0.5 * before.size)


def _gradients(picture: _Luma, step: tuple[int, int]) -> _Luma:
    """Differences between the neighbours on either side; ``step``: rows 0 or 1, columns -1, 0 or 1."""
    down, across = 2 * step[0], 2 * step[1]
    height, width = picture.shape
    ahead = picture[down:, max(0, across) : width + min(0, across)]
    behind = picture[: height - down, max(0, -across) : width - max(0, across)]
    return np.asarray(cv2.absdiff(ahead, behind), np.float32)
