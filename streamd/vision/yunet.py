"""YuNet: anchor-free detection with five landmarks (Wu, Peng and Yu, "YuNet", 2023)."""

from __future__ import annotations

import numpy as np

from streamd.vision.decoding import Candidates
from streamd.vision.network import Array, FreeSizeDetector, Outputs

_STRIDES = (8, 16, 32)
_NOTHING = (np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty((0, 5, 2), np.float32))


class YuNet(FreeSizeDetector):
    """Three strides with twelve heads."""

    def _decode(self, outputs: Outputs, row: int, width_px: int, min_score: float) -> Candidates:
        """Candidates of one picture of the batch, over all strides."""
        found = [_decode_stride(outputs, row, (stride, width_px // stride), min_score) for stride in _STRIDES]
        parts = [part for part in found if part is not _NOTHING] or [_NOTHING]
        if len(parts) == 1:
            return Candidates(*parts[0])
        boxes, scores, points = (np.concatenate(values) for values in zip(*parts, strict=True))
        return Candidates(boxes, scores, points)


def _decode_stride(heads: Outputs, row: int, grid: tuple[int, int], min_score: float) -> tuple[Array, Array, Array]:
    """Boxes, scores and landmarks of one stride.

    Offsets count in cells of ``stride`` pixels from the cell's corner; sizes are logarithms. The score is
    the geometric mean of class and objectness.
    """
    stride, columns = grid
    # Both are sigmoids' outputs, so that few cells are left before anything else is computed.
    product = heads[f"cls_{stride}"][row, :, 0] * heads[f"obj_{stride}"][row, :, 0]
    cells = np.flatnonzero(product >= min_score * min_score)
    if not len(cells):
        return _NOTHING
    scores = np.sqrt(np.minimum(product[cells], 1.0))
    corner = np.stack([cells % columns, cells // columns], axis=1).astype(np.float32)
    raw = heads[f"bbox_{stride}"][row, cells]
    centre = (corner + raw[:, :2]) * stride
    half = np.exp(raw[:, 2:]) * (stride / 2)
    boxes = np.concatenate([centre - half, centre + half], axis=1)
    points = (heads[f"kps_{stride}"][row, cells].reshape(-1, 5, 2) + corner[:, None]) * stride
    return boxes.astype(np.float32), scores.astype(np.float32), points.astype(np.float32)
