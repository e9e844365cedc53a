"""A detector that takes its time, for measuring overload: ``detection: {model: "slow_detector:SlowYunet"}``."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from streamd.domain import Detection
from streamd.interfaces import Detector
from streamd.placement import Placement
from streamd.vision.loading import load_detector


class SlowYunet:
    """YuNet that keeps its core busy for ``STREAMD_SLOW_MS`` (100) a frame."""

    def __init__(self, *, models: Path, **placement: Unpack[Placement]) -> None:
        self._inner: Detector = load_detector("yunet", models=models, **placement)
        self._busy_s = float(os.environ.get("STREAMD_SLOW_MS", "100")) / 1000

    @property
    def model_id(self) -> str:
        return "slow-" + self._inner.model_id

    @property
    def provider(self) -> str:
        return self._inner.provider

    @property
    def has_landmarks(self) -> bool:
        return True

    def detect(self, images: Sequence[NDArray[np.uint8]], *, min_score: float) -> list[list[Detection]]:
        until_s = time.monotonic() + self._busy_s * len(images)
        found = self._inner.detect(images, min_score=min_score)
        while time.monotonic() < until_s:
            pass
        return found
