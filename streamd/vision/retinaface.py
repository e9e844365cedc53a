"""The RetinaFace family: prior boxes, corrected (Deng et al., "RetinaFace", 2019)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from streamd.errors import ModelError
from streamd.vision.catalog import AnchorHeads
from streamd.vision.decoding import Candidates, Fitted
from streamd.vision.network import AnchorDetector, Array, Outputs


class RetinaFace(AnchorDetector):
    """Any network of the family with one output each of boxes, scores and landmarks, as its manifest describes it."""

    def _decode(self, outputs: Outputs, fitted: Fitted, min_score: float) -> Candidates:
        """Offsets in prior sizes times the first variance, sizes as logarithms times the second."""
        height, width = fitted.canvas.shape[:2]
        every = prior_boxes(self._anchors, width, height)
        scores = outputs[self._anchors.scores[0]].reshape(-1, 2)
        if len(scores) != len(every):
            raise ModelError(
                f"{self.model_id}: gives {len(scores)} boxes at {width}x{height}, its manifest {len(every)}"
            )
        good = np.flatnonzero(scores[:, 1] >= min_score)
        near, far = self._anchors.variances
        centres, sides = every[good, :2], every[good, 2:]
        raw = outputs[self._anchors.boxes[0]].reshape(-1, 4)[good]
        middle = centres + raw[:, :2] * near * sides
        half = sides * np.exp(raw[:, 2:] * far) / 2
        boxes = np.concatenate([middle - half, middle + half], axis=1)
        points = None
        if self.has_landmarks:
            shifts = outputs[self._anchors.points[0]].reshape(-1, 5, 2)[good]
            points = fitted.undo(centres[:, None] + shifts * near * sides[:, None])
        return Candidates(fitted.undo(boxes), scores[good, 1], points)


@lru_cache(maxsize=16)
def prior_boxes(anchors: AnchorHeads, width: int, height: int) -> Array:
    """Centres and sizes in canvas pixels, shape (n, 4): stride by stride, row by row, size by size."""
    parts: list[Array] = []
    for stride, sizes in zip(anchors.strides, anchors.sizes_px, strict=True):
        rows, columns = -(-height // stride), -(-width // stride)
        y, x = np.mgrid[:rows, :columns].astype(np.float32)
        centres = (np.stack([x, y], axis=-1).reshape(-1, 1, 2) + 0.5) * stride
        squares = np.array(sizes, np.float32).reshape(1, -1, 1)
        priors = np.empty((len(centres), len(sizes), 4), np.float32)
        priors[..., :2], priors[..., 2:] = centres, squares
        parts.append(priors.reshape(-1, 4))
    every = np.concatenate(parts)
    every.setflags(write=False)
    return every
