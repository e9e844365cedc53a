"""Faces to vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streamd.errors import ModelError, NoDirection
from streamd.interfaces import Embedder, embed_rated
from streamd.vision.blobs import to_blob
from streamd.vision.catalog import Manifest
from streamd.vision.engines import GPU_BUCKETS
from streamd.vision.geometry import ARCFACE, CHIP_PX, Alignment
from streamd.vision.onnx import Session


def alignment_of(embedder: Embedder) -> Alignment:
    """How the embedder wants its faces; ArcFace's where it does not say."""
    alignment: Alignment = getattr(embedder, "alignment", ARCFACE)
    return alignment


def embed_each(embedder: Embedder, chips: NDArray[np.uint8]) -> tuple[NDArray[np.float32], Sequence[float | None]]:
    """As ``embed_rated``; a face of which the embedder makes nothing does not spoil the others: its row is NaN."""
    try:
        rows, confidences = embed_rated(embedder, chips)
    except NoDirection:
        if len(chips) == 1:
            return np.full((1, embedder.dim), np.nan, np.float32), [None]
        each = [embed_each(embedder, chips[i : i + 1]) for i in range(len(chips))]
        return np.concatenate([row for row, _ in each]), [confidence for _, (confidence,) in each]
    is_unit = np.abs(np.linalg.norm(rows, axis=1, keepdims=True) - 1) < 1e-3  # also false of NaN
    return np.where(is_unit, rows, np.float32(np.nan)), confidences


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
        width, height = manifest.input.size or (CHIP_PX, CHIP_PX)
        self.alignment = Alignment(width, height, manifest.zoom, manifest.rise)

    def warm_up(self) -> None:
        size = (self.alignment.height, self.alignment.width)
        sides = (*size, 3) if self._input.layout == "NHWC" else (3, *size)
        batches = [batch for batch in GPU_BUCKETS if batch <= self._session.largest_batch]
        self._session.warm_up(self._input.name, ((batch, *sides) for batch in batches))

    def embed(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The rows of ``embed_rated`` alone."""
        return self.embed_rated(chips)[0]

    def embed_rated(self, chips: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Unit rows of shape (n, dim), and confidences 0..1, from BGR chips of the alignment's shape.

        Raises:
            NoDirection: a row is zero or no number.
            ModelError: the network failed, or gave rows of another length.
            ValueError: the chips have another shape.
        """
        wanted = (self.alignment.height, self.alignment.width, 3)
        if chips.ndim != 4 or chips.shape[1:] != wanted or chips.dtype != np.uint8:
            raise ValueError(f"need uint8 of shape (n, *{wanted}), got {chips.dtype} of shape {chips.shape}")
        if not len(chips):
            return np.empty((0, self.dim), np.float32), None
        rows = self._session.run_rows(self._input.name, to_blob(chips, self._input))[self._output]
        if rows.shape != (len(chips), self.dim):
            raise ModelError(f"{self.model_id}: gave shape {rows.shape}, expected {(len(chips), self.dim)}")
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        if not (np.isfinite(lengths) & (lengths > 0)).all():
            raise NoDirection(f"{self.model_id}: gave a vector of length {float(lengths.min())}")
        return np.asarray(rows / lengths, np.float32), self._rated(lengths[:, 0])

    def _rated(self, lengths: NDArray[np.float32]) -> NDArray[np.float32] | None:
        if self._certainty is None:
            return None
        none, full = self._certainty.none, self._certainty.full
        return np.asarray(np.clip((lengths - none) / (full - none), 0, 1), np.float32)
