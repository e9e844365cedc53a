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

from streamd.domain import Box, Detection
from streamd.interfaces import Detector
from streamd.vision.geometry import letterbox

if TYPE_CHECKING:
    from streamd.domain import Image, Landmarks

_LOOKS_PX = (160, 200, 250, 320, 400)
"""Sides of the square canvases."""
_FRAMED = 2.5
"""The canvas shows so many times the face's longer side: detectors want to see the whole head."""
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
    region, left, top = _framed(photo, detection.box)
    canvases, scales = [], []
    for side in _LOOKS_PX:
        canvas, fit = letterbox(region, width=side, height=side)
        canvases.append(canvas)
        scales.append(fit.scale)
    points = [detection.landmarks]
    for row, scale in zip(detector.detect(canvases, min_score=_MIN_SCORE), scales, strict=True):
        found = (_in_photo(seen, scale, (left, top)) for seen in row)
        nearest = max(found, key=lambda seen: seen.box.iou(detection.box), default=None)
        if nearest is not None and nearest.landmarks is not None and nearest.box.iou(detection.box) >= _MIN_IOU:
            points.append(nearest.landmarks)
    return np.asarray(np.mean(points, axis=0), np.float32)


def _framed(photo: Image, box: Box) -> tuple[Image, int, int]:
    """The part of the photo around a face, and where it begins."""
    height, width = photo.shape[:2]
    reach = max(box.width, box.height) * _FRAMED / 2
    x, y = box.centre
    left, top = max(0, int(x - reach)), max(0, int(y - reach))
    right, bottom = min(width, int(x + reach) + 1), min(height, int(y + reach) + 1)
    return photo[top:bottom, left:right], left, top


def _in_photo(detection: Detection, scale: float, corner: tuple[int, int]) -> Detection:
    scaled = detection.scaled(1 / scale, 1 / scale)
    (left, top), box = corner, scaled.box
    moved = Box(box.x1 + left, box.y1 + top, box.x2 + left, box.y2 + top)
    points = None if scaled.landmarks is None else scaled.landmarks + np.array(corner, np.float32)
    return Detection(moved, detection.score, points)


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
