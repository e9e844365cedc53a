"""Haar cascades: OpenCV's classic frontal faces (Viola and Jones, 2001). No landmarks, no GPU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from streamd.domain import Detection
from streamd.errors import ModelError
from streamd.vision.catalog import Manifest
from streamd.vision.decoding import Candidates, require_bgr

_SCALE_STEP = 1.1
_LEAST_NEIGHBOURS = 3
_SMALLEST_PX = 20
"""The cascade was trained at this size."""
_EVEN_WEIGHT, _WEIGHT_SCALE = 54.9, 0.5
"""Level weight at which the score is 0.5, and how fast it grows; of the cascade ``alt2``. Of 100 faces that it found in
labelled photographs the weights were 54.8 to 57.4 (median 56.4), of 8 mistakes 55.0 to 55.7."""


class Haar:
    """Slides over the grey picture at all sizes."""

    has_landmarks = False
    provider = "cpu"

    def __init__(self, manifest: Manifest, path: Path) -> None:
        self._cascade = read_cascade(path)
        self.model_id = manifest.model_id

    def detect(self, images: Sequence[NDArray[np.uint8]], *, min_score: float) -> list[list[Detection]]:
        """Faces per BGR image, in its pixels, best first."""
        return [self._detect_one(image, min_score) for image in images]

    def _detect_one(self, image: NDArray[np.uint8], min_score: float) -> list[Detection]:
        require_bgr(image)
        grey = cv2.equalizeHist(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
        found, _, weights = self._cascade.detectMultiScale3(
            grey,
            scaleFactor=_SCALE_STEP,
            minNeighbors=_LEAST_NEIGHBOURS,
            minSize=(_SMALLEST_PX, _SMALLEST_PX),
            outputRejectLevels=True,
        )
        if not len(found):
            return []
        corners = np.asarray(found, np.float32).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        scores = np.array([score_of(float(weight)) for weight in np.ravel(weights)], np.float32)
        good = scores >= min_score
        return Candidates(corners[good], scores[good]).detections()


def score_of(level_weight: float) -> float:
    """0..1 from the sum of the last stage's votes, by a logistic curve."""
    return 1 / (1 + math.exp(-(level_weight - _EVEN_WEIGHT) / _WEIGHT_SCALE))


def read_cascade(path: Path) -> cv2.CascadeClassifier:
    """Raises ModelError where the file is no cascade."""
    cascade = cv2.CascadeClassifier()
    try:
        loaded = cascade.load(str(path))
    except cv2.error as error:
        raise ModelError(f"{path}: not a cascade that OpenCV {cv2.__version__} can read: {error}") from error
    if not loaded or cascade.empty():
        raise ModelError(f"{path}: not a cascade that OpenCV {cv2.__version__} can read")
    return cascade
