"""dlib's recognition network (a ResNet of 29 layers on chips of 150 x 150; King, 2017). Needs the extra ``dlib``."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamd.errors import ModelError, NoDirection
from streamd.vision.catalog import Manifest
from streamd.vision.geometry import Alignment


class DlibResnet:
    """Runs in dlib on the CPU; no jitter.

    dlib compares by Euclidean distance; its vectors are nearly of one length, and of unit ones cos = 1 - d^2 / 2.
    """

    provider = "cpu"

    def __init__(self, manifest: Manifest, path: Path) -> None:
        """Raises ModelError: the extra is not installed, or the library cannot read the weights."""
        if manifest.dim is None or manifest.input.size is None:
            raise ModelError(f"model '{manifest.name}': an embedder needs a dim and an input.size")
        library = _library(manifest.name)
        try:
            self._network = library.face_recognition_model_v1(str(path))
        except RuntimeError as error:
            raise ModelError(f"{path}: dlib cannot read it: {error}") from error
        self._colour = manifest.input.colour
        self.model_id = manifest.model_id
        self.dim = manifest.dim
        self.threshold = manifest.threshold
        self.scores = manifest.score_model
        self.alignment = Alignment(*manifest.input.size, manifest.zoom, manifest.rise)

    def embed(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Unit rows of shape (n, dim) from BGR chips of the alignment's shape.

        Raises:
            NoDirection: a row is zero or no number.
            ModelError: dlib gave rows of another length.
            ValueError: the chips have another shape.
        """
        wanted = (self.alignment.height, self.alignment.width, 3)
        if chips.ndim != 4 or chips.shape[1:] != wanted or chips.dtype != np.uint8:
            raise ValueError(f"need uint8 of shape (n, *{wanted}), got {chips.dtype} of shape {chips.shape}")
        if not len(chips):
            return np.empty((0, self.dim), np.float32)
        fed = chips[..., ::-1] if self._colour == "rgb" else chips
        found = self._network.compute_face_descriptor([np.ascontiguousarray(chip) for chip in fed])
        rows = np.array([list(row) for row in found], np.float32)
        if rows.shape != (len(chips), self.dim):
            raise ModelError(f"{self.model_id}: gave shape {rows.shape}, expected {(len(chips), self.dim)}")
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        if not (np.isfinite(lengths) & (lengths > 0)).all():
            raise NoDirection(f"{self.model_id}: gave a vector of length {float(lengths.min())}")
        return np.asarray(rows / lengths, np.float32)


def _library(name: str) -> Any:
    try:
        return importlib.import_module("dlib")
    except ImportError as error:
        raise ModelError(f"embedder '{name}': {error}; pip install 'streamd[dlib]' (compiles for minutes)") from error
