from __future__ import annotations

import cv2
import numpy as np
import pytest

from streamd.domain import Bgr, Box, Detection
from streamd.vision.crops import cut_chip
from streamd.vision.geometry import TEMPLATE, Alignment
from streamd.vision.refining import cut_outs, mean_direction, refine_landmarks

POINTS = (TEMPLATE * 2 + np.float32([100, 40])).astype(np.float32)
PHOTO = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (400, 400, 3), dtype=np.uint8), (0, 0), 3)


class Shifted:
    """Finds one face in every canvas, its points beside their place by so many of the canvas's pixels."""

    model_id, provider, has_landmarks = "shifted", "cpu", True

    def __init__(self, face: Detection, by_px: float, corner: tuple[int, int]) -> None:
        self._face, self._by_px, self._corner = face, by_px, np.array(corner, np.float32)

    def detect(self, images: list[np.ndarray], *, min_score: float) -> list[list[Detection]]:
        assert self._face.landmarks is not None
        found = []
        for number, image in enumerate(images):
            scale = image.shape[0] / 226
            box, sign = self._face.box, 1 if number % 2 else -1
            moved = Box(
                box.x1 - self._corner[0], box.y1 - self._corner[1], box.x2 - self._corner[0], box.y2 - self._corner[1]
            )
            points = (self._face.landmarks - self._corner) * scale + sign * self._by_px * scale
            found.append([Detection(moved.scaled(scale, scale), 0.9, points.astype(np.float32))])
        return found


def test_points_of_several_looks_are_averaged_in_the_photos_pixels() -> None:
    face = Detection(Box(150, 130, 240, 220), 0.9, POINTS)
    detector = Shifted(face, 3.0, (82, 62))
    refined = refine_landmarks(detector, PHOTO, face)  # type: ignore[arg-type]
    # Six looks: the first, and five of which two lie 3 pixels to one side and three to the other.
    np.testing.assert_allclose(refined, POINTS - 3 / 6, atol=0.6)


def test_a_detection_without_landmarks_cannot_be_refined() -> None:
    with pytest.raises(ValueError, match="without landmarks"):
        refine_landmarks(Shifted(Detection(Box(0, 0, 1, 1), 1), 0, (0, 0)), PHOTO, Detection(Box(0, 0, 9, 9), 1))  # type: ignore[arg-type]


def test_the_first_cut_out_is_the_plain_chip_and_the_second_is_mirrored() -> None:
    cuts = list(cut_outs(POINTS))
    np.testing.assert_allclose(cuts[0][0], POINTS, atol=1e-4)
    assert [mirrored for _, mirrored in cuts] == [False, True, True, False]


def test_a_cut_out_at_107_percent_shows_the_face_larger() -> None:
    larger = list(cut_outs(POINTS))[3][0]
    plain, zoomed = cut_chip(Bgr(PHOTO), POINTS), cut_chip(Bgr(PHOTO), larger)
    middle = TEMPLATE.mean(axis=0)
    matrix = cv2.getRotationMatrix2D((float(middle[0]), float(middle[1])), 0, 1.07)
    wanted = cv2.warpAffine(plain, matrix, (112, 112))
    inner = (slice(20, 92), slice(20, 92))
    assert np.abs(zoomed[inner].astype(int) - wanted[inner].astype(int)).mean() < 3


def test_another_alignment_is_arcfaces_scaled_about_the_centre() -> None:
    plain = cut_chip(Bgr(PHOTO), POINTS)
    large = cut_chip(Bgr(PHOTO), POINTS, Alignment(224, 224))
    assert large.shape == (224, 224, 3)
    small = cv2.resize(large, (112, 112), interpolation=cv2.INTER_AREA)
    assert np.abs(small[8:104, 8:104].astype(int) - plain[8:104, 8:104].astype(int)).mean() < 4
    assert cut_chip(Bgr(PHOTO), POINTS, Alignment(47, 55, 1.2)).shape == (55, 47, 3)


def test_the_mean_direction_has_unit_length() -> None:
    mean = mean_direction(np.eye(4, dtype=np.float32)[:2])
    assert float(np.linalg.norm(mean)) == pytest.approx(1)
    assert mean.tolist() == pytest.approx([0.5**0.5, 0.5**0.5, 0, 0])
