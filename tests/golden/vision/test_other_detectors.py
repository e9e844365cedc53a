"""Detectors beside the default ones on real photographs: where the faces are, in batches as alone, never stretched."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import unavailable

from streamd.errors import ModelError
from streamd.interfaces import Detector
from streamd.vision.loading import load_detector
from streamd.vision.modelstore import pull
from streamd.vision.photos import read_photo

NAMES = ("centerface", "opencv", "mtcnn")
PHOTOS = ("obama.jpg", "biden.jpg", "astronaut.png")


@pytest.fixture(scope="module")
def models(models_dir: Path) -> Path:
    try:
        pull(NAMES, models_dir)
    except ModelError as error:
        unavailable(str(error))
    return models_dir


@pytest.fixture(scope="module", params=NAMES)
def detector(request: pytest.FixtureRequest, models: Path) -> Detector:
    return load_detector(request.param, models=models, device="cpu")


@pytest.fixture(scope="module")
def photos(faces_dir: Path) -> list[np.ndarray]:
    """At the size of detection."""
    return [_fitted(read_photo(faces_dir / name), 480) for name in PHOTOS]


def _fitted(photo: np.ndarray, side: int) -> np.ndarray:
    scale = side / max(photo.shape[:2])
    return np.asarray(cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


GOLDEN = {
    "centerface": [
        ([158.4, 32.4, 260.7, 179.8], 0.9556),
        ([95.1, 40.5, 155.7, 123.1], 0.8796),
        ([166.6, 51.7, 254.0, 168.0], 0.9192),
    ],
    "opencv": [
        ([151.0, 43.0, 268.0, 160.0], 0.9839),
        ([95.0, 45.0, 163.0, 113.0], 0.9327),
        ([165.0, 61.0, 255.0, 151.0], 0.9665),
    ],
    "mtcnn": [
        ([156.0, 34.2, 259.9, 179.1], 0.9999),
        ([93.9, 37.9, 155.3, 122.4], 1.0),
        ([165.6, 53.9, 251.9, 163.9], 0.9999),
    ],
}
"""Box and score of the surest face of each photo."""


def test_faces_are_where_they_were(detector: Detector, photos: list[np.ndarray]) -> None:
    name = detector.model_id.partition("@")[0]
    for photo, (box, score) in zip(photos, GOLDEN[name], strict=True):
        face = detector.detect([photo], min_score=0.5)[0][0]
        assert [face.box.x1, face.box.y1, face.box.x2, face.box.y2] == pytest.approx(box, abs=0.6)
        assert face.score == pytest.approx(score, abs=2e-3)


def test_landmarks_are_those_of_the_default_detector(
    detector: Detector, models: Path, photos: list[np.ndarray]
) -> None:
    """Within an eighth of the distance between the eyes, and in the same order."""
    yunet = load_detector("yunet", models=models, device="cpu")
    for photo in photos:
        ours, wanted = (d.detect([photo], min_score=0.5)[0][0].landmarks for d in (detector, yunet))
        assert ours is not None
        assert wanted is not None
        assert float(np.abs(ours - wanted).max()) < float(np.hypot(*(wanted[1] - wanted[0]))) / 6


def test_a_batch_is_what_single_pictures_are(detector: Detector, photos: list[np.ndarray]) -> None:
    together = detector.detect(photos, min_score=0.5)
    for photo, found in zip(photos, together, strict=True):
        (alone,) = detector.detect([photo], min_score=0.5)
        assert [d.box for d in found] == pytest.approx([d.box for d in alone]) or all(
            a.box.iou(b.box) > 0.999 and a.score == pytest.approx(b.score, abs=1e-4)
            for a, b in zip(found, alone, strict=True)
        )


def test_a_face_keeps_its_shape_in_a_very_wide_picture(detector: Detector, photos: list[np.ndarray]) -> None:
    photo = photos[0]
    wide = np.zeros((photo.shape[0], photo.shape[0] * 3, 3), np.uint8)
    wide[:, 200 : 200 + photo.shape[1]] = photo
    (alone,), (within,) = (detector.detect([image], min_score=0.5)[0][:1] for image in (photo, wide))
    assert within.box.width / within.box.height == pytest.approx(alone.box.width / alone.box.height, abs=0.08)
    assert within.box.x1 - 200 == pytest.approx(alone.box.x1, abs=0.1 * alone.box.width)


def test_an_empty_picture_has_no_face(detector: Detector) -> None:
    assert detector.detect([np.zeros((120, 200, 3), np.uint8)], min_score=0.5) == [[]]
    assert detector.detect([], min_score=0.5) == []
