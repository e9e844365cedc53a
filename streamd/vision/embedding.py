"""Faces to vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamd.errors import ModelError
from streamd.vision.blobs import to_blob
from streamd.vision.catalog import Manifest
from streamd.vision.onnx import Session


class OnnxEmbedder:
    """Any network from an aligned face to a vector, fed as its manifest says."""

    def __init__(self, manifest: Manifest, session: Session) -> None:
        if manifest.dim is None:
            raise ModelError(f"model '{manifest.name}': an embedder needs a dim")
        self._input = manifest.input
        self._session = session
        self._output = next(iter(session.outputs))
        self.model_id = manifest.model_id
        self.provider = session.provider
        self.dim = manifest.dim
        self.threshold = manifest.threshold
        self.scores = manifest.score_model
        self._certainty = manifest.certainty

    def embed(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The rows of ``embed_rated`` alone."""
        return self.embed_rated(chips)[0]

    def embed_rated(self, chips: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Unit rows of shape (n, dim) from BGR chips of shape (n, 112, 112, 3).

        Raises:
            ModelError: the network gave something that is not a direction (zero, NaN, another length).
            ValueError: the chips have another shape.
        """
        if chips.ndim != 4 or chips.shape[1:] != (112, 112, 3) or chips.dtype != np.uint8:
            raise ValueError(f"need uint8 of shape (n, 112, 112, 3), got {chips.dtype} of shape {chips.shape}")
        if not len(chips):
            return np.empty((0, self.dim), np.float32), None
        rows = self._session.run_rows(self._input.name, to_blob(chips, self._input))[self._output]
        if rows.shape != (len(chips), self.dim):
            raise ModelError(f"{self.model_id}: gave shape {rows.shape}, expected {(len(chips), self.dim)}")
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        if not (np.isfinite(lengths) & (lengths > 0)).all():
            raise ModelError(f"{self.model_id}: gave a vector of length {float(lengths.min())}")
        return np.asarray(rows / lengths, np.float32), self._rated(lengths[:, 0])

    def _rated(self, lengths: NDArray[np.float32]) -> NDArray[np.float32] | None:
        if self._certainty is None:
            return None
        none, full = self._certainty.none, self._certainty.full
        return np.asarray(np.clip((lengths - none) / (full - none), 0, 1), np.float32)
