"""From arrays of boxes to detections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from streamd.domain import Box, Detection
from streamd.vision.catalog import ModelInput
from streamd.vision.geometry import letterbox, pad_to_multiple, span_a_face, suppress

_T = TypeVar("_T")

MAX_IOU = 0.3
"""Two detections that overlap by more than this are one face."""
_MOST_CANDIDATES = 1000
"""Suppression takes time in the square of their number; so many never are faces."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Boxes of one picture before suppression, in its pixels."""

    boxes: NDArray[np.float32]
    """Shape (n, 4), corners x1 y1 x2 y2."""
    scores: NDArray[np.float32]
    """Shape (n,)."""
    landmarks: NDArray[np.float32] | None = None
    """Shape (n, 5, 2)."""

    def detections(self) -> list[Detection]:
        """What is left after suppression, best first. Boxes without area or with a NaN are dropped, and landmarks that
        coincide or are no numbers."""
        if not len(self.scores):
            return []
        strongest = np.argsort(-self.scores, kind="stable")[:_MOST_CANDIDATES]
        sides = self.boxes[strongest, 2:] - self.boxes[strongest, :2]
        # A comparison with NaN is false.
        sound = strongest[(sides > 0).all(axis=1) & np.isfinite(self.boxes[strongest]).all(axis=1)]
        kept = sound[suppress(self.boxes[sound], self.scores[sound], MAX_IOU)]
        return [self._detection(int(index)) for index in kept]

    def _detection(self, index: int) -> Detection:
        x1, y1, x2, y2 = (float(value) for value in self.boxes[index])
        points = None if self.landmarks is None else self.landmarks[index].copy()
        if points is not None and not span_a_face(points):
            points = None
        return Detection(Box(x1, y1, x2, y2), float(self.scores[index]), points)


@dataclass(frozen=True, slots=True)
class Fitted:
    """An image as a detector of fixed or strided input takes it."""

    canvas: NDArray[np.uint8]
    """BGR, shape (h, w, 3)."""
    scale: float

    def undo(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Canvas pixels to image pixels, any shape."""
        return np.asarray(points / np.float32(self.scale), np.float32)


def fit(image: NDArray[np.uint8], spec: ModelInput) -> Fitted:
    """Letterbox into a fixed input, or pad to the stride of a free one; never stretched."""
    if spec.size is None:
        return Fitted(pad_to_multiple(image, spec.stride), 1.0)
    canvas, letterboxed = letterbox(image, width=spec.size[0], height=spec.size[1])
    return Fitted(canvas, letterboxed.scale)


def by_size(
    images: Sequence[NDArray[np.uint8]],
    room: Callable[[NDArray[np.uint8]], tuple[int, int]],
    run: Callable[[list[NDArray[np.uint8]], tuple[int, int]], Iterable[_T]],
) -> list[_T]:
    """Call ``run`` once for all images that need one ``room``, and put the answers in the images' order."""
    groups: dict[tuple[int, int], list[int]] = {}
    for index, image in enumerate(images):
        groups.setdefault(room(image), []).append(index)
    answers: dict[int, _T] = {}
    for size, indices in groups.items():
        answers.update(zip(indices, run([images[index] for index in indices], size), strict=True))
    return [answers[index] for index in range(len(images))]


def require_bgr(image: NDArray[np.uint8]) -> None:
    """Raises ValueError for anything but a BGR picture of at least one pixel."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"need uint8 of shape (h, w, 3), got {image.dtype} of shape {image.shape}")
