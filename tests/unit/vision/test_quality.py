"""Parts of the judgement on made-up chips; real faces are judged in tests/golden/vision."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamd.domain import Box, Detection
from streamd.vision.geometry import TEMPLATE
from streamd.vision.quality import assess, exposure, frontality, with_confidence
from streamd.vision.sharpness import sharpness

FRAME = (640, 360)
SHOWN = TEMPLATE + np.array([200, 100], np.float32)
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
        (FACE, chip(mean=150, contrast=4), "low_contrast"),
        (FACE, chip(blur_px=6), "blurred"),
        (replace(FACE, box=Box(210, 110, 245, 220)), chip(), "too_small"),
        (replace(FACE, landmarks=turned(yaw_px=30) + np.array([200, 100], np.float32)), chip(), "turned_away"),
        (Detection(Box(-40, 110, 60, 220), 0.9, SHOWN), chip(), "cut_off"),
        (Detection(Box(560, 300, 640, 360), 0.9, SHOWN + np.array([0, 200], np.float32)), chip(), "cut_off"),
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


@pytest.mark.parametrize("mirrored", [False, True])
def test_motion_along_a_diagonal_is_blur(mirrored: bool) -> None:
    kernel = np.eye(15, dtype=np.float32) / 15
    smeared = cv2.filter2D(chip()[..., 0], -1, kernel[::-1] if mirrored else kernel)
    assert sharpness(np.asarray(smeared, np.uint8)) < 0.5 * sharpness(chip()[..., 0])


@pytest.mark.parametrize("pixels", [16, 24])
def test_a_small_face_enlarged_is_not_sharp(pixels: int) -> None:
    small = cv2.resize(chip()[..., 0], (pixels, pixels), interpolation=cv2.INTER_AREA)
    enlarged = cv2.resize(small, (112, 112), interpolation=cv2.INTER_CUBIC)
    assert sharpness(np.asarray(enlarged, np.uint8)) < 0.6 * sharpness(chip()[..., 0])


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
    assert frontality(TEMPLATE[[0, 1, 2, 3, 4]] * np.array([1, -1], np.float32)) == 0


def test_without_points_nobody_knows() -> None:
    assert frontality(None) == 0.5


def test_points_in_one_place_are_no_front() -> None:
    assert frontality(np.zeros((5, 2), np.float32)) == 0


@pytest.mark.parametrize(("mean", "contrast"), [(9, 40), (250, 40), (128, 4)])
def test_black_white_and_fog_are_badly_exposed(mean: float, contrast: float) -> None:
    assert exposure(mean, contrast) < 0.1 < 0.9 < exposure(128, 40)


def test_the_parts_say_where_and_how_the_face_was_seen() -> None:
    quality = assess(FACE, chip(), FRAME, 40)
    assert quality.eyes_px == pytest.approx(35.24, abs=0.1)
    assert (quality.yaw, quality.pitch, quality.roll) == pytest.approx((0, 0, 0), abs=0.01)
    assert quality.inside == 1
    assert quality.grey


def test_a_part_of_the_face_beyond_the_edge_is_told() -> None:
    beyond = Detection(Box(-10, 110, 90, 220), 0.9, TEMPLATE + np.array([5, 100], np.float32))
    quality = assess(beyond, chip(), FRAME, 40)
    assert quality.inside == pytest.approx(0.9)
    assert quality.usable


def test_without_landmarks_there_is_no_pose() -> None:
    quality = assess(Detection(Box(210, 110, 310, 220), 0.9), chip(), FRAME, 40)
    assert (quality.yaw, quality.pitch, quality.roll, quality.eyes_px) == (None, None, None, 0)


def test_a_coloured_face_is_not_grey() -> None:
    coloured = chip().copy()
    coloured[:, 56:, 2] //= 2
    assert not assess(FACE, coloured, FRAME, 40).grey


def test_the_embedders_doubt_makes_a_face_worth_less() -> None:
    before = assess(FACE, chip(), FRAME, 40)
    scores = [with_confidence(before, confidence).score for confidence in (1.0, 0.7, 0.4)]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] < before.score < scores[0]


def test_a_face_that_the_embedder_can_make_nothing_of_may_not_decide() -> None:
    assert with_confidence(assess(FACE, chip(), FRAME, 40), 0.1).reason == "unclear"


def test_the_first_reason_stays_when_the_embedder_doubts_too() -> None:
    blurred = assess(FACE, chip(blur_px=6), FRAME, 40)
    assert with_confidence(blurred, 0.1).reason == "blurred"


def test_an_embedder_without_an_opinion_changes_nothing() -> None:
    quality = assess(FACE, chip(), FRAME, 40)
    assert with_confidence(quality, None) is quality
