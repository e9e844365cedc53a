"""Parts of the judgement on made-up chips; real faces are judged in tests/golden/vision."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamd.domain import Box, Detection
from streamd.vision.geometry import TEMPLATE
from streamd.vision.quality import assess, exposure, frontality, sharpness

FRAME = (640, 360)
SHOWN = TEMPLATE + np.float32([200, 100])
FACE = Detection(Box(210, 110, 310, 220), 0.9, SHOWN)


def chip(mean: float = 128, contrast: float = 40, blur_px: float = 0) -> NDArray[np.uint8]:
    """Texture of all sizes, the larger the stronger, as photographs have it."""
    random = np.random.default_rng(5)
    grain = np.zeros((112, 112), np.float32)
    for size_px in (0.7, 1.5, 3, 6, 12):
        layer = cv2.GaussianBlur(random.normal(0, 1, (112, 112)), (0, 0), size_px)
        grain += layer / layer.std() * size_px**0.5
    if blur_px:
        grain = np.asarray(cv2.GaussianBlur(grain, (0, 0), blur_px), np.float32)
    grey = (mean + contrast * grain / grain.std()).clip(0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def turned(yaw_px: float = 0, pitch_px: float = 0) -> NDArray[np.float32]:
    points = TEMPLATE.copy()
    points[2] += [yaw_px, pitch_px]
    return points


def test_a_clear_face_may_decide() -> None:
    quality = assess(FACE, chip(), FRAME, 40)
    assert quality.usable
    assert quality.score > 0.8
    assert quality.size_px == 100


@pytest.mark.parametrize(
    ("face", "seen", "reason"),
    [
        (FACE, chip(mean=20, contrast=5), "dark"),
        (FACE, chip(mean=245, contrast=5), "bright"),
        (FACE, chip(blur_px=6), "blurred"),
        (replace(FACE, box=Box(210, 110, 245, 220)), chip(), "too_small"),
        (replace(FACE, landmarks=turned(yaw_px=30) + np.float32([200, 100])), chip(), "turned_away"),
        (Detection(Box(-40, 110, 60, 220), 0.9, SHOWN), chip(), "cut_off"),
        (Detection(Box(560, 300, 640, 360), 0.9, SHOWN + np.float32([0, 200])), chip(), "cut_off"),
    ],
)
def test_a_bad_view_has_its_reason(face: Detection, seen: NDArray[np.uint8], reason: str) -> None:
    assert assess(face, seen, FRAME, 40).reason == reason


def test_all_parts_stay_between_nothing_and_everything() -> None:
    wild = Detection(Box(-1e6, -1e6, 1e6, 1e6), 7.0, np.full((5, 2), -3e5, np.float32))
    quality = assess(wild, np.zeros((112, 112, 3), np.uint8), FRAME, 40)
    parts = (quality.score, quality.sharpness, quality.frontality, quality.exposure, quality.detector)
    assert all(0 <= part <= 1 for part in parts)


def test_more_blur_is_less_sharp() -> None:
    values = [sharpness(chip(blur_px=sigma)[..., 0]) for sigma in (0, 1, 2, 3)]
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1] + 0.5


def test_sharpness_does_not_depend_on_contrast() -> None:
    assert sharpness(chip(contrast=15)[..., 0]) == pytest.approx(sharpness(chip(contrast=45)[..., 0]), abs=0.1)


def test_motion_in_one_direction_is_blur() -> None:
    smeared = cv2.blur(chip(), (21, 1))
    assert sharpness(np.asarray(smeared[..., 0], np.uint8)) < 0.5 * sharpness(chip()[..., 0])


def test_sensor_noise_is_not_detail() -> None:
    blurred = chip(blur_px=6)[..., 0].astype(np.float32)
    noise = np.random.default_rng(6).normal(0, 4, blurred.shape)
    assert sharpness((blurred + noise).clip(0, 255).astype(np.uint8)) < 0.35


def test_a_flat_picture_has_no_detail() -> None:
    assert sharpness(np.full((80, 72), 128, np.uint8)) == 0


def test_the_template_is_seen_from_the_front() -> None:
    assert frontality(TEMPLATE) > 0.9


def test_a_head_tilted_to_the_shoulder_is_still_frontal() -> None:
    turn = np.array([[np.cos(0.7), -np.sin(0.7)], [np.sin(0.7), np.cos(0.7)]])
    assert frontality((TEMPLATE @ turn.T).astype(np.float32)) == pytest.approx(frontality(TEMPLATE), abs=0.01)


@pytest.mark.parametrize("side", [-1, 1])
def test_frontality_falls_as_the_nose_turns_to_either_side(side: int) -> None:
    values = [frontality(turned(yaw_px=side * px)) for px in (0, 5, 10, 20)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.4


@pytest.mark.parametrize("pitch_px", [-18, 20])
def test_looking_up_or_down_costs(pitch_px: float) -> None:
    assert frontality(turned(pitch_px=pitch_px)) < 0.7


def test_a_face_upside_down_is_no_front() -> None:
    assert frontality(TEMPLATE[[0, 1, 2, 3, 4]] * np.float32([1, -1])) == 0


def test_without_points_nobody_knows() -> None:
    assert frontality(None) == 0.5


def test_points_in_one_place_are_no_front() -> None:
    assert frontality(np.zeros((5, 2), np.float32)) == 0


@pytest.mark.parametrize(("mean", "contrast"), [(9, 40), (250, 40), (128, 4)])
def test_black_white_and_fog_are_badly_exposed(mean: float, contrast: float) -> None:
    assert exposure(mean, contrast) < 0.1 < 0.9 < exposure(128, 40)
