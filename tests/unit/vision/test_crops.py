from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamd.domain import Bgr, Box, Yuv420
from streamd.vision.crops import crop_bgr, cut_chip
from streamd.vision.geometry import TEMPLATE, align

Matrix = Literal["bt601", "bt709"]


def smooth_picture(height: int = 360, width: int = 640) -> NDArray[np.uint8]:
    """Coarse random colours without sharp edges, which 4:2:0 would not keep."""
    cells = np.random.default_rng(3).integers(30, 226, (height // 40, width // 40, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def to_yuv(image: NDArray[np.uint8], matrix: Matrix, *, full_range: bool) -> Yuv420:
    """By the definition of the standards, in floating point, chroma averaged over 2 x 2."""
    kr, kb = (0.299, 0.114) if matrix == "bt601" else (0.2126, 0.0722)
    b, g, r = image.astype(np.float64).transpose(2, 0, 1)
    y = kr * r + (1 - kr - kb) * g + kb * b
    u, v = (b - y) / (2 * (1 - kb)), (r - y) / (2 * (1 - kr))
    if not full_range:
        y, u, v = 16 + y * 219 / 255, u * 224 / 255, v * 224 / 255
    h, w = y.shape
    small = [c.reshape(h // 2, 2, w // 2, 2).mean(axis=(1, 3)) + 128 for c in (u, v)]
    rows = np.concatenate([y.ravel(), small[0].ravel(), small[1].ravel()]).reshape(h * 3 // 2, w)
    return Yuv420(rows.round().clip(0, 255).astype(np.uint8), matrix, full_range)


def face_at(x: float, y: float, scale: float, turn: float = 0.0) -> NDArray[np.float32]:
    rotation = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return ((TEMPLATE - 56) @ rotation.T + [x, y]).astype(np.float32)


def difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
    return int(np.abs(a.astype(int) - b).max())


@pytest.mark.parametrize(("x", "y"), [(300, 150), (20, 20), (625, 350)])
def test_chip_from_a_region_is_the_chip_from_the_whole_picture(x: float, y: float) -> None:
    image = np.random.default_rng(0).integers(0, 256, (360, 640, 3)).astype(np.uint8)
    points = face_at(x, y, 1.3, turn=0.5)
    assert difference(cut_chip(Bgr(image), points), align(image, points)) <= 1


@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
@pytest.mark.parametrize("full_range", [False, True])
def test_chip_from_planes_has_the_pictures_colours(matrix: Matrix, full_range: bool) -> None:
    image = smooth_picture()
    points = face_at(301, 151, 1.1, turn=-0.3)
    chip = cut_chip(to_yuv(image, matrix, full_range=full_range), points)
    expected = cut_chip(Bgr(image), points)
    assert np.abs(chip.astype(int) - expected).mean() < 2


@pytest.mark.parametrize(("matrix", "full_range"), [("bt709", False), ("bt601", True)], ids=["matrix", "range"])
def test_the_wrong_matrix_or_range_shows(matrix: Matrix, full_range: bool) -> None:
    image = smooth_picture()
    planes = to_yuv(image, "bt601", full_range=False).planes
    points = face_at(301, 151, 1.1)
    wrong = cut_chip(Yuv420(planes, matrix, full_range), points)
    assert np.abs(wrong.astype(int) - cut_chip(Bgr(image), points)).mean() > 4


def test_a_large_face_is_averaged_not_sampled() -> None:
    board = (np.indices((1200, 1200)).sum(axis=0) % 2 * 255).astype(np.uint8)
    image = np.repeat(board[..., None], 3, axis=2)
    chip = cut_chip(Bgr(image), face_at(600, 600, 8))
    assert (chip.min(), chip.max()) >= (100, 100)
    assert chip.max() <= 155


def test_a_large_face_lies_where_a_small_one_does() -> None:
    small = smooth_picture(240, 320)
    large = np.asarray(cv2.resize(small, None, fx=5, fy=5, interpolation=cv2.INTER_CUBIC), np.uint8)
    points = face_at(160, 120, 1.0)
    scaled = (points + 0.5) * 5 - 0.5
    assert difference(cut_chip(Bgr(large), scaled.astype(np.float32)), align(small, points)) <= 4


def test_a_face_outside_the_picture_is_black() -> None:
    picture = to_yuv(smooth_picture(), "bt601", full_range=False)
    assert cut_chip(picture, face_at(-500, -500, 1)).max() == 0


def test_crop_has_whole_pixels_and_only_those_inside() -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)
    np.testing.assert_array_equal(crop_bgr(Bgr(image), Box(11, 13, 40, 57)), image[13:57, 11:40])
    np.testing.assert_array_equal(crop_bgr(Bgr(image), Box(-5, 80.5, 7.2, 300)), image[80:, :8])
    assert crop_bgr(Bgr(image), Box(200, 200, 220, 220)).shape == (0, 0, 3)


def test_crop_from_planes_is_the_crop_from_the_picture() -> None:
    image = smooth_picture()
    box = Box(101, 33, 190, 121)
    crop = crop_bgr(to_yuv(image, "bt709", full_range=False), box)
    assert crop.shape == (88, 89, 3)
    assert np.abs(crop.astype(int) - image[33:121, 101:190]).mean() < 2


def test_a_crop_does_not_hold_on_to_the_picture() -> None:
    image = smooth_picture()
    crop = crop_bgr(Bgr(image), Box(0, 0, 10, 10))
    image[:] = 0
    assert crop.min() > 0


def test_odd_photographs_are_cut_to_their_last_pixel() -> None:
    image = np.random.default_rng(0).integers(0, 256, (91, 121, 3)).astype(np.uint8)
    np.testing.assert_array_equal(crop_bgr(Bgr(image), Box(115, 85, 121, 91)), image[85:, 115:])
