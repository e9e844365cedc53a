"""CenterFace: faces as points of a heat map, with five landmarks (Xu et al., "CenterFace", 2019)."""

from __future__ import annotations

import numpy as np

from streamd.vision.decoding import Candidates
from streamd.vision.network import FreeSizeDetector, Outputs

_STRIDE = 4
"""Pixels per cell of the maps."""
_HEAT, _SIZE, _OFFSET, _POINTS = "537", "538", "539", "540"
"""The outputs' names in the published graph."""


class CenterFace(FreeSizeDetector):
    """Four maps, of a quarter of the picture's size."""

    def _decode(self, outputs: Outputs, row: int, width_px: int, min_score: float) -> Candidates:
        """Boxes around the cells of one picture whose heat is enough.

        Sizes are logarithms in cells, the offsets lead from the cell's centre; both have the vertical value first, and
        so have the landmarks, which are shares of the box.
        """
        heat = outputs[_HEAT][row, 0]
        ys, xs = np.nonzero(heat >= min_score)
        height, width = np.exp(outputs[_SIZE][row][:, ys, xs]) * _STRIDE
        down, right = outputs[_OFFSET][row][:, ys, xs]
        left = (xs + right + 0.5) * _STRIDE - width / 2
        top = (ys + down + 0.5) * _STRIDE - height / 2
        boxes = np.stack([left, top, left + width, top + height], axis=1)
        shares = outputs[_POINTS][row][:, ys, xs].reshape(5, 2, -1)
        points = np.stack([shares[:, 1] * width + left, shares[:, 0] * height + top], axis=-1).transpose(1, 0, 2)
        return Candidates(boxes.astype(np.float32), heat[ys, xs].astype(np.float32), points.astype(np.float32))
