"""YuNet: anchor-free detection with five landmarks (Wu, Peng and Yu, "YuNet", 2023)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from streamd.domain import Detection
from streamd.vision.blobs import to_blob
from streamd.vision.catalog import Manifest
from streamd.vision.decoding import Candidates, by_size, require_bgr
from streamd.vision.geometry import pad_to_multiple
from streamd.vision.onnx import Session

_STRIDES = (8, 16, 32)

Array = NDArray[np.float32]


class YuNet:
    """Takes pictures of any size as they are: the caller scales them."""

    has_landmarks = True

    def __init__(self, manifest: Manifest, session: Session) -> None:
        self._input = manifest.input
        self._session = session
        self.model_id = manifest.model_id
        self.provider = session.provider

    def detect(self, images: Sequence[NDArray[np.uint8]], *, min_score: float) -> list[list[Detection]]:
        """Faces per BGR image, in its pixels, best first; images of one size share a run."""
        for image in images:
            require_bgr(image)
        return by_size(images, lambda alike: self._detect_alike(alike, min_score))

    def _detect_alike(self, images: list[NDArray[np.uint8]], min_score: float) -> list[list[Detection]]:
        padded = np.stack([pad_to_multiple(image, self._input.stride) for image in images])
        heads = self._session.run_rows(self._input.name, to_blob(padded, self._input))
        columns = padded.shape[2]
        return [_decode(heads, row, columns, min_score).detections() for row in range(len(images))]


def _decode(heads: Mapping[str, Array], row: int, width_px: int, min_score: float) -> Candidates:
    """Candidates of one picture of the batch, over all strides."""
    parts = [_decode_stride(heads, row, (stride, width_px // stride), min_score) for stride in _STRIDES]
    boxes, scores, points = (np.concatenate(values) for values in zip(*parts, strict=True))
    return Candidates(boxes, scores, points)


def _decode_stride(
    heads: Mapping[str, Array], row: int, grid: tuple[int, int], min_score: float
) -> tuple[Array, Array, Array]:
    """Boxes, scores and landmarks of one stride.

    Offsets count in cells of ``stride`` pixels from the cell's corner; sizes are logarithms. The score is
    the geometric mean of class and objectness.
    """
    stride, columns = grid
    product = np.clip(heads[f"cls_{stride}"][row, :, 0], 0, 1) * np.clip(heads[f"obj_{stride}"][row, :, 0], 0, 1)
    cells = np.flatnonzero(product >= min_score * min_score)
    scores = np.sqrt(product[cells])
    corner = np.stack([cells % columns, cells // columns], axis=1).astype(np.float32)
    raw = heads[f"bbox_{stride}"][row, cells]
    centre = (corner + raw[:, :2]) * stride
    half = np.exp(raw[:, 2:]) * (stride / 2)
    boxes = np.concatenate([centre - half, centre + half], axis=1)
    points = (heads[f"kps_{stride}"][row, cells].reshape(-1, 5, 2) + corner[:, None]) * stride
    return boxes.astype(np.float32), scores.astype(np.float32), points.astype(np.float32)
