"""Better landmarks and better vectors for photographs, where a tenth of a second a face does not matter.

One look of a detector puts each landmark a pixel or two beside its place, and an embedder answers a shifted face with a
shifted vector. Five looks at different sizes, averaged, and four cut-outs, averaged, take both errors down; how
much is in ``docs/accuracy.md``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from streamd.domain import Detection
from streamd.interfaces import Detector
from streamd.vision.window import window_around

if TYPE_CHECKING:
    from streamd.domain import Image, Landmarks

_LOOKS_PX = (160, 200, 250, 320, 400)
"""Sides of the square canvases."""
_REACH = 0.75
"""The canvas shows so much around the box, as a share of its longer side: detectors want to see the whole head."""
_MIN_SCORE = 0.5
_MIN_IOU = 0.5
"""A face found elsewhere on the canvas is the neighbour's."""
_ZOOMS = ((1.0, False), (1.0, True), (0.93, True), (1.07, False))
"""Scale of each cut-out against the template's, and whether it is mirrored."""


def refine_landmarks(detector: Detector, photo: Image, detection: Detection) -> Landmarks:
    """The detection's landmarks averaged over further looks at several sizes.

    Args:
        detector: One that gives landmarks.
        photo: BGR, any size.
        detection: In the photo's pixels, with landmarks.

    Raises:
        ValueError: the detection has no landmarks.
    """
    if detection.landmarks is None:
        raise ValueError("a detection without landmarks has none to refine")
    reach_px = max(detection.box.width, detection.box.height) * _REACH
    around = window_around(photo, detection.box, reach_px)
    windows = [around.fitted(side) for side in _LOOKS_PX]
    points = [detection.landmarks]
    for window, row in zip(windows, detector.detect([w.pixels for w in windows], min_score=_MIN_SCORE), strict=True):
        nearest = max(map(window.in_image, row), key=lambda seen: seen.box.iou(detection.box), default=None)
        if nearest is not None and nearest.landmarks is not None and nearest.box.iou(detection.box) >= _MIN_IOU:
            points.append(nearest.landmarks)
    return np.asarray(np.mean(points, axis=0), np.float32)


def cut_outs(landmarks: Landmarks) -> Iterator[tuple[Landmarks, bool]]:
    """The cut-outs whose mean vector stands for a face: landmarks to align by, and whether to mirror the chip."""
    centre = landmarks.mean(axis=0)
    for zoom, mirrored in _ZOOMS:
        # Points drawn together are a face that looks larger.
        yield (centre + (landmarks - centre) / np.float32(zoom)).astype(np.float32), mirrored


def mean_direction(vectors: Sequence[NDArray[np.float32]] | NDArray[np.float32]) -> NDArray[np.float32]:
    """The unit vector along the mean of unit rows."""
    mean = np.mean(np.asarray(vectors), axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), np.float32)
