"""The SCRFD family: anchors that are points, distances to the box's sides (Guo et al., "SCRFD", 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from streamd.domain import Detection
from streamd.errors import ModelError
from streamd.vision.blobs import to_blob
from streamd.vision.catalog import AnchorHeads, Manifest
from streamd.vision.decoding import Candidates, Fitted, fit, require_bgr
from streamd.vision.onnx import Session

Array = NDArray[np.float32]


class Scrfd:
    """Any network of the family, as its manifest describes it."""

    def __init__(self, manifest: Manifest, session: Session) -> None:
        if manifest.anchors is None:
            raise ModelError(f"model '{manifest.name}': decoding 'scrfd' needs anchors")
        self._input = manifest.input
        self._anchors = manifest.anchors
        self._session = session
        self.has_landmarks = manifest.landmarks
        self.model_id = manifest.model_id
        self.provider = session.provider
        require_outputs(manifest.name, manifest.anchors, session)

    def detect(self, images: Sequence[NDArray[np.uint8]], *, min_score: float) -> list[list[Detection]]:
        """Faces per BGR image, in its pixels, best first."""
        for image in images:
            require_bgr(image)
        found: list[list[Detection]] = []
        for image in images:
            fitted = fit(image, self._input)
            outputs = self._session.run_rows(self._input.name, to_blob(fitted.canvas[None], self._input))
            found.append(self._decode(outputs, fitted, min_score).detections())
        return found

    def _decode(self, outputs: Mapping[str, Array], fitted: Fitted, min_score: float) -> Candidates:
        parts = [self._decode_head(outputs, index, fitted, min_score) for index in range(len(self._anchors.strides))]
        boxes, scores, points = (np.concatenate(values) for values in zip(*parts, strict=True))
        return Candidates(fitted.undo(boxes), scores, fitted.undo(points) if self.has_landmarks else None)

    def _decode_head(
        self, outputs: Mapping[str, Array], index: int, fitted: Fitted, min_score: float
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


def require_outputs(name: str, anchors: AnchorHeads, session: Session) -> None:
    """Raises ModelError for an output that the manifest names and the graph lacks."""
    for output in (*anchors.scores, *anchors.boxes, *anchors.points):
        if output not in session.outputs:
            raise ModelError(
                f"model '{name}': anchors: the graph has no output '{output}'; it has {', '.join(session.outputs)}"
            )
