"""Chips are those of OpenCV to the last bit; so are the vectors' assumptions about them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamd.domain import Bgr
from streamd.vision.crops import cut_chip
from streamd.vision.geometry import TEMPLATE, align


@pytest.fixture(scope="module")
def recogniser(models_dir: Path) -> cv2.FaceRecognizerSF:
    original = models_dir / "sources" / "face_recognition_sface_2021dec_int8bq.onnx"
    return cv2.FaceRecognizerSF.create(str(original), "")


def opencv_chip(
    recogniser: cv2.FaceRecognizerSF, image: NDArray[np.uint8], points: NDArray[np.float32]
) -> NDArray[np.uint8]:
    row = np.concatenate([[0, 0, 1, 1], points.ravel(), [1]]).astype(np.float32)
    return np.asarray(recogniser.alignCrop(image, row[None]), np.uint8)


def faces(count: int) -> list[NDArray[np.float32]]:
    """Turned, scaled, shifted, and imprecise as detections are; some reach beyond the picture."""
    random = np.random.default_rng(4)
    found = []
    for _ in range(count):
        turn, scale = random.uniform(-0.8, 0.8), random.uniform(0.3, 3)
        rotation = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        place = random.uniform([0, 0], [640, 360]) + random.normal(0, 2 * scale, (5, 2))
        found.append(((TEMPLATE - 56) @ rotation.T + place).astype(np.float32))
    return found


@pytest.fixture(scope="module")
def noise() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (360, 640, 3)).astype(np.uint8)


def test_alignment_is_opencvs_to_the_last_bit(recogniser: cv2.FaceRecognizerSF, noise: NDArray[np.uint8]) -> None:
    for points in faces(60):
        np.testing.assert_array_equal(align(noise, points), opencv_chip(recogniser, noise, points))


def test_landmarks_shifted_by_a_pixel_would_show(recogniser: cv2.FaceRecognizerSF, noise: NDArray[np.uint8]) -> None:
    for points in faces(10):
        shifted = align(noise, points + np.float32([1, 0]))
        assert (shifted != opencv_chip(recogniser, noise, points)).mean() > 0.2


def test_a_chip_cut_from_a_region_is_opencvs_within_a_grey_level(
    recogniser: cv2.FaceRecognizerSF, noise: NDArray[np.uint8]
) -> None:
    enlarging = [points for points in faces(80) if np.ptp(points[:, 0]) < 55]
    assert len(enlarging) > 20
    for points in enlarging:
        chip = cut_chip(Bgr(noise), points).astype(int)
        assert np.abs(chip - opencv_chip(recogniser, noise, points)).max() <= 3
