"""The SCRFD family: anchors that are points, distances to the box's sides (Guo et al., "SCRFD", 2021)."""

from __future__ import annotations

import numpy as np

from streamd.vision.decoding import Candidates, Fitted
from streamd.vision.network import AnchorDetector, Array, Outputs


class Scrfd(AnchorDetector):
    """Any network of the family, as its manifest describes it."""

    def _decode(self, outputs: Outputs, fitted: Fitted, min_score: float) -> Candidates:
        parts = [self._decode_head(outputs, index, fitted, min_score) for index in range(len(self._anchors.strides))]
        boxes, scores, points = (np.concatenate(values) for values in zip(*parts, strict=True))
        return Candidates(fitted.undo(boxes), scores, fitted.undo(points) if self.has_landmarks else None)

    def _decode_head(
        self, outputs: Outputs, index: int, fitted: Fitted, min_score: float
    ) -> tuple[Array, Array, Array]:
        """Boxes, scores and landmarks of one stride: distances in strides from the cell's corner."""
        anchors, stride = self._anchors, self._anchors.strides[index]
        scores = outputs[anchors.scores[index]].reshape(-1)
        good = np.flatnonzero(scores >= min_score)
        cells = good // anchors.per_cell
        columns = fitted.canvas.shape[1] // stride
        centre = np.stack([cells % columns, cells // columns], axis=1).astype(np.float32) * stride
        sides = outputs[anchors.boxes[index]].reshape(-1, 4)[good] * stride
        boxes = np.concatenate([centre - sides[:, :2], centre + sides[:, 2:]], axis=1)
        if not self.has_landmarks:
            return boxes, scores[good], np.empty((len(good), 5, 2), np.float32)
        points = outputs[anchors.points[index]].reshape(-1, 5, 2)[good] * stride + centre[:, None]
        return boxes, scores[good], points
