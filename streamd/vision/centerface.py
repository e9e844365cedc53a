"""CenterFace: faces as points of a heat map, with five landmarks (Xu et al., "CenterFace", 2019)."""

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

_STRIDE = 4
"""Pixels per cell of the maps."""
_HEAT, _SIZE, _OFFSET, _POINTS = "537", "538", "539", "540"
"""The outputs' names in the published graph."""

Array = NDArray[np.float32]


class CenterFace:
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
        maps = self._session.run_rows(self._input.name, to_blob(padded, self._input))
        return [_decode(maps, row, min_score).detections() for row in range(len(images))]


def _decode(maps: Mapping[str, Array], row: int, min_score: float) -> Candidates:
    """Boxes around the cells of one picture whose heat is enough.

    Sizes are logarithms in cells, the offsets lead from the cell's centre; both have the vertical value first, and so
    have the landmarks, which are shares of the box.
    """
    heat = maps[_HEAT][row, 0]
    ys, xs = np.nonzero(heat >= min_score)
    height, width = np.exp(maps[_SIZE][row][:, ys, xs]) * _STRIDE
    down, right = maps[_OFFSET][row][:, ys, xs]
    left = (xs + right + 0.5) * _STRIDE - width / 2
    top = (ys + down + 0.5) * _STRIDE - height / 2
    boxes = np.stack([left, top, left + width, top + height], axis=1)
    shares = maps[_POINTS][row][:, ys, xs].reshape(5, 2, -1)
    points = np.stack([shares[:, 1] * width + left, shares[:, 0] * height + top], axis=-1).transpose(1, 0, 2)
    return Candidates(boxes.astype(np.float32), heat[ys, xs].astype(np.float32), points.astype(np.float32))
