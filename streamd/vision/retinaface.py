"""The RetinaFace family: prior boxes, corrected (Deng et al., "RetinaFace", 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from streamd.domain import Detection
from streamd.errors import ModelError
from streamd.vision.blobs import to_blob
from streamd.vision.catalog import AnchorHeads, Manifest
from streamd.vision.decoding import Candidates, Fitted, fit, require_bgr
from streamd.vision.onnx import Session
from streamd.vision.scrfd import require_outputs

Array = NDArray[np.float32]


class RetinaFace:
    """Any network of the family with one output each of boxes, scores and landmarks, as its manifest describes it."""

    def __init__(self, manifest: Manifest, session: Session) -> None:
        if manifest.anchors is None or not manifest.anchors.sizes_px:
            raise ModelError(f"model '{manifest.name}': decoding 'retinaface' needs anchors with sizes_px")
        require_outputs(manifest.name, manifest.anchors, session)
        self._input = manifest.input
        self._anchors = manifest.anchors
        self._session = session
        self.has_landmarks = manifest.landmarks
        self.model_id = manifest.model_id
        self.provider = session.provider

    def detect(self, images: Sequence[NDArray[np.uint8]], *, min_score: float) -> list[list[Detection]]:
        """Faces per BGR image, in its pixels, best first."""
        for image in images:
            require_bgr(image)
        return [self._detect_one(image, min_score) for image in images]

    def _detect_one(self, image: NDArray[np.uint8], min_score: float) -> list[Detection]:
        fitted = fit(image, self._input)
        outputs = self._session.run_rows(self._input.name, to_blob(fitted.canvas[None], self._input))
        height, width = fitted.canvas.shape[:2]
        priors = prior_boxes(self._anchors, width, height)
        scores = outputs[self._anchors.scores[0]].reshape(-1, 2)
        if len(scores) != len(priors):
            raise ModelError(
                f"{self.model_id}: gives {len(scores)} boxes at {width}x{height}, its manifest {len(priors)}"
            )
        good = np.flatnonzero(scores[:, 1] >= min_score)
        return self._decode(outputs, priors[good], good, fitted, scores[good, 1]).detections()

    def _decode(
        self, outputs: dict[str, Array], priors: Array, good: NDArray[np.intp], fitted: Fitted, scores: Array
    ) -> Candidates:
        """Offsets in prior sizes times the first variance, sizes as logarithms times the second."""
        near, far = self._anchors.variances
        centres, sides = priors[:, :2], priors[:, 2:]
        raw = outputs[self._anchors.boxes[0]].reshape(-1, 4)[good]
        middle = centres + raw[:, :2] * near * sides
        half = sides * np.exp(raw[:, 2:] * far) / 2
        boxes = np.concatenate([middle - half, middle + half], axis=1)
        points = None
        if self.has_landmarks:
            shifts = outputs[self._anchors.points[0]].reshape(-1, 5, 2)[good]
            points = fitted.undo(centres[:, None] + shifts * near * sides[:, None])
        return Candidates(fitted.undo(boxes), scores, points)


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
