"""dlib's frontal faces (histograms of oriented gradients; King, "Max-margin object detection", 2015). An extra."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamd.domain import Detection
from streamd.errors import ModelError
from streamd.vision.catalog import Manifest
from streamd.vision.decoding import Candidates, require_bgr

_UPSAMPLED = 1
"""Doublings of the picture: the detector was trained on faces of 80 pixels, and sees none below."""
_LOWEST = -0.5
"""Margin from which detections are reported; 0 is the detector's own."""


class DlibHog:
    """Runs on the CPU; its weights are in the library. No landmarks."""

    has_landmarks = False
    provider = "cpu"

    def __init__(self, manifest: Manifest) -> None:
        """Raises ModelError: the extra is not installed."""
        library = _library()
        self._detector = library.get_frontal_face_detector()
        self.model_id = f"{manifest.name}@{library.__version__}"

    def detect(self, images: Sequence[NDArray[np.uint8]], *, min_score: float) -> list[list[Detection]]:
        """Faces per BGR image, in its pixels, best first."""
        return [self._detect_one(image, min_score) for image in images]

    def _detect_one(self, image: NDArray[np.uint8], min_score: float) -> list[Detection]:
        require_bgr(image)
        rgb = np.ascontiguousarray(image[..., ::-1])
        found, margins, _ = self._detector.run(rgb, _UPSAMPLED, _LOWEST)
        # dlib's right and bottom are the last pixels inside.
        sides = [(box.left(), box.top(), box.right() + 1, box.bottom() + 1) for box in found]
        boxes = np.array(sides, np.float32).reshape(-1, 4)
        scores = np.array([score_of(float(margin)) for margin in margins], np.float32)
        good = scores >= min_score
        return Candidates(boxes[good], scores[good]).detections()


def score_of(margin: float) -> float:
    """0..1 by a logistic curve, 0.5 at the detector's own threshold.

    Of 107 faces that it found in labelled photographs the margins were 0.0 to 3.1 (median 1.6), of 8 mistakes -0.5 to
    -0.2.
    """
    return 1 / (1 + math.exp(-4 * margin))


def _library() -> Any:
    try:
        return importlib.import_module("dlib")
    except ImportError as error:
        raise ModelError(f"detector 'dlib': {error}; pip install 'streamd[dlib]' (compiles for ten minutes)") from error
