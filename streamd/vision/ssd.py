"""Single-shot detectors with prior boxes, such as OpenCV's res10. No landmarks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streamd.domain import Detection
from streamd.errors import ModelError
from streamd.vision.blobs import to_blob
from streamd.vision.catalog import Manifest
from streamd.vision.decoding import Candidates, require_bgr
from streamd.vision.geometry import letterbox
from streamd.vision.network import NetworkDetector
from streamd.vision.onnx import Session


class Ssd(NetworkDetector):
    """Fits every picture into the model's fixed input, letterboxed."""

    def __init__(self, manifest: Manifest, session: Session) -> None:
        super().__init__(manifest, session)
        if manifest.input.size is None:
            raise ModelError(f"model '{manifest.name}': decoding 'ssd' needs an input size")
        self._width, self._height = manifest.input.size

    def detect(self, images: Sequence[NDArray[np.uint8]], *, min_score: float) -> list[list[Detection]]:
        """Faces per BGR image of any size, in its pixels, best first; one run for all."""
        for image in images:
            require_bgr(image)
        if not images:
            return []
        fitted = [letterbox(image, width=self._width, height=self._height) for image in images]
        blob = to_blob(np.stack([canvas for canvas, _ in fitted]), self._input)
        outputs = self._session.run_rows(self._input.name, blob)
        size = np.array([self._width, self._height] * 2, np.float32)
        found = []
        for (_, fit), boxes, scores in zip(fitted, outputs["boxes"], outputs["scores"], strict=True):
            good = np.flatnonzero(scores >= min_score)
            found.append(Candidates(fit.undo(boxes[good] * size), scores[good]).detections())
        return found
