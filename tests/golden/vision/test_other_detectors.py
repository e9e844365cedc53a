"""Detectors beside the default ones on real photographs: where the faces are, in batches as alone, never stretched."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import unavailable

from streamd.domain import Detection
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


Golden = tuple[list[float], float, list[list[float]]]

GOLDEN: dict[str, list[Golden]] = {
    "centerface": [
        (
            [158.4, 32.4, 260.7, 179.8],
            0.9556,
            [[183.5, 90.9], [234.7, 87.8], [210.8, 116.5], [187.7, 140.4], [232.0, 137.7]],
        ),
        (
            [95.1, 40.5, 155.7, 123.1],
            0.8796,
            [[118.1, 70.4], [146.1, 76.0], [132.8, 89.5], [113.6, 99.4], [137.1, 104.2]],
        ),
        (
            [166.6, 51.7, 254.0, 168.0],
            0.9192,
            [[190.2, 94.3], [232.4, 94.2], [210.8, 116.4], [191.6, 134.9], [227.7, 134.6]],
        ),
    ],
    "opencv": [
        (
            [151.0, 43.0, 268.0, 160.0],
            0.9839,
            [[183.5, 86.7], [232.3, 87.6], [208.7, 115.3], [188.9, 137.3], [230.6, 135.2]],
        ),
        (
            [95.0, 45.0, 163.0, 113.0],
            0.9327,
            [[113.3, 70.0], [144.9, 71.1], [129.9, 88.1], [112.5, 99.6], [139.6, 102.4]],
        ),
        (
            [165.0, 61.0, 255.0, 151.0],
            0.9665,
            [[189.1, 95.6], [230.1, 96.2], [208.2, 117.3], [191.1, 133.9], [226.5, 133.8]],
        ),
    ],
    "mtcnn": [
        (
            [156.9, 34.2, 257.3, 177.0],
            0.9999,
            [[187.3, 90.2], [232.2, 89.8], [209.1, 117.0], [184.2, 135.4], [234.2, 134.5]],
        ),
        (
            [93.6, 36.8, 154.9, 121.8],
            1.0,
            [[116.6, 69.5], [142.5, 75.0], [129.8, 88.7], [112.9, 100.3], [136.0, 104.3]],
        ),
        (
            [164.8, 52.0, 251.0, 162.9],
            0.9998,
            [[190.3, 94.9], [231.2, 96.4], [211.4, 120.1], [189.2, 132.3], [230.2, 132.1]],
        ),
    ],
}
"""Box, score and landmarks of the surest face of each photo; for ``opencv`` the landmarks are YuNet's."""


def test_faces_are_where_they_were(detector: Detector, photos: list[np.ndarray]) -> None:
    name = detector.model_id.partition("@")[0]
    for photo, (box, score, points) in zip(photos, GOLDEN[name], strict=True):
        face = detector.detect([photo], min_score=0.5)[0][0]
        assert sides(face) == pytest.approx(box, abs=0.5)
        assert face.score == pytest.approx(score, abs=1e-3)
        assert face.landmarks is not None
        assert np.abs(face.landmarks - np.array(points)).max() < 0.5


def test_landmarks_are_those_of_the_default_detector(
    detector: Detector, models: Path, photos: list[np.ndarray]
) -> None:
    """Within a sixth of the distance between the eyes, and in the same order."""
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
        assert len(found) == len(alone) > 0
        for one, other in zip(found, alone, strict=True):
            assert sides(one) == pytest.approx(sides(other), abs=1e-2)
            assert one.score == pytest.approx(other.score, abs=1e-4)
            assert one.landmarks == pytest.approx(other.landmarks, abs=1e-2)


def sides(face: Detection) -> list[float]:
    return [face.box.x1, face.box.y1, face.box.x2, face.box.y2]


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
