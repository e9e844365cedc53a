"""Landmarks for detectors that have none: a second detector looks at each box, enlarged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streamd.domain import Box, Detection
from streamd.interfaces import Detector
from streamd.vision.window import Window, window_around

_CANVAS_PX = 160
"""A face fills half of it: the middle of the range of sizes that YuNet sees best."""
_MARGIN_SHARE = 0.5
"""Of the box's longer side, added on every side: detectors want to see the whole head."""
_MIN_SCORE = 0.3
"""A face is known to be there; the question is only where its points are."""
_MIN_IOU = 0.2
"""A face found elsewhere in the enlarged box is the neighbour's."""


class WithLandmarks:
    """A detector whose boxes get five points from another. Boxes that get none keep None."""

    has_landmarks = True

    def __init__(self, boxes: Detector, points: Detector) -> None:
        self._boxes = boxes
        self._points = points
        self.model_id = boxes.model_id
        self.provider = boxes.provider

    def detect(self, images: Sequence[NDArray[np.uint8]], *, min_score: float) -> list[list[Detection]]:
        """Faces per BGR image, in its pixels, best first."""
        found = self._boxes.detect(images, min_score=min_score)
        views = [_window(image, d.box) for image, row in zip(images, found, strict=True) for d in row]
        if not views:
            return found
        seen = self._points.detect([view.pixels for view in views], min_score=_MIN_SCORE)
        candidates = iter([view.in_image(d) for d in row] for view, row in zip(views, seen, strict=True))
        return [[_with_points(d, next(candidates)) for d in row] for row in found]


def landmark_detector(detector: Detector) -> Detector:
    """Whoever finds the landmarks: the detector itself, or the one that looks at its boxes."""
    return detector._points if isinstance(detector, WithLandmarks) else detector


def _window(image: NDArray[np.uint8], box: Box) -> Window:
    """One box, enlarged, fitted into a square."""
    return window_around(image, box, max(box.width, box.height) * _MARGIN_SHARE).fitted(_CANVAS_PX)


def _with_points(detection: Detection, candidates: list[Detection]) -> Detection:
    """The detection with the points of the face that overlaps it most."""
    best = max(candidates, key=lambda candidate: candidate.box.iou(detection.box), default=None)
    if best is None or best.box.iou(detection.box) < _MIN_IOU:
        return detection
    return Detection(detection.box, detection.score, best.landmarks)
