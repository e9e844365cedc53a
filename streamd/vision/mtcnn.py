"""MTCNN: three small networks that look ever closer (Zhang et al., "Joint Face Detection and Alignment", 2016).

The first proposes boxes over a pyramid of sizes, the second refuses most of them, the third decides and gives five
landmarks. The networks were trained on transposed pictures: they take (n, width, height, 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from streamd.domain import Detection
from streamd.vision.catalog import Manifest
from streamd.vision.decoding import Candidates, require_bgr
from streamd.vision.geometry import suppress
from streamd.vision.onnx import Session

_PYRAMID = 0.709
"""Each level has half the area of the one before."""
_SMALLEST_PX = 20
_CELL_PX, _CELL_STRIDE = 12, 2
_PROPOSE, _REFINE = 0.6, 0.7
"""Scores that a box needs to pass the first and the second network; the third's is the caller's."""
_MOST_PER_LEVEL = 2000
"""Cells of one size that are weighed against each other, which takes time in the square of their number."""
_MOST_PROPOSALS = 300
"""That the second network looks at, best first: a picture full of texture proposes thousands."""

Array = NDArray[np.float32]
Image = NDArray[np.uint8]


class Mtcnn:
    """The three networks, one picture after the other."""

    has_landmarks = True

    def __init__(self, manifest: Manifest, sessions: Mapping[str, Session]) -> None:
        self._input = manifest.input
        self._propose, self._refine, self._decide = (sessions[name] for name in ("pnet", "rnet", "onet"))
        self.model_id = manifest.model_id
        self.provider = self._decide.provider

    def detect(self, images: Sequence[Image], *, min_score: float) -> list[list[Detection]]:
        """Faces per BGR image, in its pixels, best first."""
        return [self._detect_one(image, min_score) for image in images]

    def _detect_one(self, image: Image, min_score: float) -> list[Detection]:
        require_bgr(image)
        boxes = self._proposals(image)
        boxes = self._refined(image, boxes)
        return self._decided(image, boxes, min_score).detections()

    def _proposals(self, image: Image) -> Array:
        """Square boxes, shape (n, 4)."""
        levels = [self._level(image, scale) for scale in _scales(image.shape[0], image.shape[1])]
        boxes = np.concatenate([boxes for boxes, _ in levels]) if levels else np.empty((0, 4), np.float32)
        scores = np.concatenate([scores for _, scores in levels]) if levels else np.empty(0, np.float32)
        return _squared(boxes[suppress(boxes, scores, 0.7)[:_MOST_PROPOSALS]])

    def _level(self, image: Image, scale: float) -> tuple[Array, Array]:
        """What the first network finds at one size: every cell is a box of 12 pixels there, corrected."""
        size = (int(np.ceil(image.shape[1] * scale)), int(np.ceil(image.shape[0] * scale)))
        small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        shifts, scores = _run(self._propose, self._blob(small[None]))
        heat = scores[0, ..., 1]
        xs, ys = np.nonzero(heat >= _PROPOSE)
        strongest = np.argsort(-heat[xs, ys], kind="stable")[:_MOST_PER_LEVEL]
        xs, ys = xs[strongest], ys[strongest]
        corner = np.stack([xs, ys], axis=1) * _CELL_STRIDE
        boxes = np.concatenate([corner, corner + _CELL_PX], axis=1) / scale
        found = _corrected(boxes.astype(np.float32), shifts[0, xs, ys])
        kept = suppress(boxes.astype(np.float32), heat[xs, ys], 0.5)
        return found[kept], heat[xs, ys][kept]

    def _refined(self, image: Image, boxes: Array) -> Array:
        if not len(boxes):
            return boxes
        shifts, scores = _run(self._refine, self._blob(_cut(image, boxes, 24)))
        good = scores[:, 1] >= _REFINE
        boxes, shifts, likely = boxes[good], shifts[good], scores[good, 1]
        kept = suppress(boxes, likely, 0.7)
        return _squared(_corrected(boxes[kept], shifts[kept]))

    def _decided(self, image: Image, boxes: Array, min_score: float) -> Candidates:
        if not len(boxes):
            return Candidates(boxes, np.empty(0, np.float32), np.empty((0, 5, 2), np.float32))
        shifts, points, scores = _run(self._decide, self._blob(_cut(image, boxes, 48)))
        good = scores[:, 1] >= min_score
        boxes, sides = boxes[good], (boxes[:, 2:] - boxes[:, :2])[good]
        # All abscissae come first, as shares of the box.
        shares = points[good].reshape(-1, 2, 5).transpose(0, 2, 1)
        landmarks = shares * sides[:, None] + boxes[:, None, :2]
        return Candidates(_corrected(boxes, shifts[good]), scores[good, 1], landmarks.astype(np.float32))

    def _blob(self, pictures: Image) -> Array:
        """BGR of shape (n, h, w, 3) to what the networks take, shape (n, w, h, 3)."""
        mean, scale = np.array(self._input.mean, np.float32), np.float32(self._input.scale)
        blob = (pictures[..., ::-1].astype(np.float32) - mean) * scale
        return np.ascontiguousarray(blob.transpose(0, 2, 1, 3))


def _run(session: Session, blob: Array) -> tuple[Array, ...]:
    outputs = session.run_rows(next(iter(session.inputs)), blob)
    return tuple(outputs[name] for name in session.outputs)


def _scales(height: int, width: int) -> list[float]:
    """Of the pyramid: from faces of the least size to one that fills the picture."""
    scale = _CELL_PX / _SMALLEST_PX
    found = []
    while min(height, width) * scale >= _CELL_PX:
        found.append(scale)
        scale *= _PYRAMID
    return found


def _corrected(boxes: Array, shifts: Array) -> Array:
    """Boxes with each side moved by a share of the box's own size."""
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    return np.asarray(boxes + shifts * sides, np.float32)


def _squared(boxes: Array) -> Array:
    """The squares with the boxes' centres and longer sides, on whole pixels: what is cut is what is measured from."""
    boxes = boxes[np.isfinite(boxes).all(axis=1)]  # else there is no whole pixel
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    sides = np.maximum(1, np.round((boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0, keepdims=True)))
    corners = np.round(centres - sides / 2)
    return np.concatenate([corners, corners + sides], axis=1).astype(np.float32)


def _cut(image: Image, boxes: Array, side_px: int) -> Image:
    """Each square scaled to ``side_px``, black beyond the picture's edge; shape (n, side_px, side_px, 3)."""
    cuts = [_cut_one(image, box, side_px) for box in boxes]
    return np.stack(cuts)


def _cut_one(image: Image, box: Array, side_px: int) -> Image:
    left, top, right, _ = (round(float(value)) for value in box)
    side = right - left
    height, width = image.shape[:2]
    x1, y1, x2, y2 = max(0, left), max(0, top), min(width, left + side), min(height, top + side)
    whole = np.zeros((side, side, 3), np.uint8)
    if x2 > x1 and y2 > y1:
        whole[y1 - top : y2 - top, x1 - left : x2 - left] = image[y1:y2, x1:x2]
    return np.asarray(cv2.resize(whole, (side_px, side_px), interpolation=cv2.INTER_AREA), np.uint8)
