"""``streamd bench detectors``: which labelled faces each detector finds, and what a picture costs."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamd.domain import Box, Detection
from streamd.errors import PhotoRefused, UsageError
from streamd.interfaces import Detector
from streamd.vision.photos import read_photo, shrink_for_detection

MIN_IOU = 0.4
"""Overlap from which a detection is the labelled face: detectors draw boxes of different tightness."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """One picture's faces, in its own pixels."""

    path: Path
    faces: tuple[Box, ...]
    ignored: tuple[Box, ...]
    """Neither to be found nor false."""


@dataclass(frozen=True, slots=True)
class DetectorReport:
    """How one detector did."""

    faces: int
    found: int
    false: int
    pictures: int
    ms: float
    """Median, per picture at the size of detection."""
    landmarks: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "recall": round(self.found / self.faces, 4) if self.faces else None,
            "precision": round(self.found / (self.found + self.false), 4) if self.found + self.false else None,
            "faces": self.faces,
            "false": self.false,
            "pictures": self.pictures,
            "ms": round(self.ms, 1),
            "landmarks": self.landmarks,
        }


def read_boxes(file: Path, root: Path) -> list[Labelled]:
    """``{"photo.jpg": [[x, y, width, height], ...]}``; a fifth value of 1, or ``{"box": ..., "ignore": 1}``, marks
    what is neither to be found nor false. The pictures may also lie under a key ``images``.

    Raises:
        UsageError: not such a file, or a picture is missing.
    """
    try:
        body = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    except ValueError as error:
        raise UsageError(f"{file}: not JSON: {error}") from error
    pictures = body.get("images", body) if isinstance(body, dict) else None
    if not isinstance(pictures, dict) or not pictures:
        raise UsageError(f"{file}: must be an object with a list of boxes for each picture")
    return [_labelled(file, root, name, boxes) for name, boxes in pictures.items()]


def _labelled(file: Path, root: Path, name: str, boxes: Any) -> Labelled:
    path = root / name
    if not path.is_file():
        raise UsageError(f"{file}: no picture {path}")
    if isinstance(boxes, Mapping):
        boxes = boxes.get("faces", boxes.get("boxes"))
    if not isinstance(boxes, list):
        raise UsageError(f"{file}: {name}: must be a list of boxes")
    faces: list[Box] = []
    ignored: list[Box] = []
    for entry in boxes:
        box, ignore = _box(file, name, entry)
        (ignored if ignore else faces).append(box)
    return Labelled(path, tuple(faces), tuple(ignored))


def _box(file: Path, name: str, entry: Any) -> tuple[Box, bool]:
    ignore = isinstance(entry, Mapping) and bool(entry.get("ignore", 0))
    sides = entry.get("box") if isinstance(entry, Mapping) else entry
    if not isinstance(sides, list) or len(sides) not in (4, 5) or not all(isinstance(v, int | float) for v in sides):
        raise UsageError(f"{file}: {name}: {entry!r} is not [x, y, width, height]")
    x, y, width, height = (float(value) for value in sides[:4])
    return Box(x, y, x + width, y + height), ignore or (len(sides) == 5 and bool(sides[4]))


def measure(
    detector: Detector, pictures: Sequence[Labelled], *, longer_side_px: int, min_score: float
) -> DetectorReport:
    """Look at every picture, scaled down to ``longer_side_px``. Raises UsageError for one that cannot be read."""
    found = false = 0
    times_s = []
    for picture in pictures:
        try:
            photo = read_photo(picture.path)
        except PhotoRefused as refusal:
            raise UsageError(str(refusal)) from refusal
        small, _ = shrink_for_detection(photo, longer_side_px)
        started_s = time.perf_counter()
        seen = detector.detect([small], min_score=min_score)[0]
        times_s.append(time.perf_counter() - started_s)
        sx, sy = photo.shape[1] / small.shape[1], photo.shape[0] / small.shape[0]
        hits, wrong = _compare([d.scaled(sx, sy) for d in seen], picture)
        found += hits
        false += wrong
    return DetectorReport(
        faces=sum(len(picture.faces) for picture in pictures),
        found=found,
        false=false,
        pictures=len(pictures),
        ms=1000 * float(np.median(times_s)),
        landmarks=detector.has_landmarks,
    )


def _compare(seen: Sequence[Detection], picture: Labelled) -> tuple[int, int]:
    """How many faces were found, each by one detection, best first; and how many detections are no face."""
    left = list(picture.faces)
    wrong = 0
    for detection in seen:
        nearest = max(left, key=lambda face: face.iou(detection.box), default=None)
        if nearest is not None and nearest.iou(detection.box) >= MIN_IOU:
            left.remove(nearest)
        elif not any(box.iou(detection.box) >= MIN_IOU / 2 for box in picture.ignored):
            wrong += 1
    return len(picture.faces) - len(left), wrong
