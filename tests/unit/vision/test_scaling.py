from __future__ import annotations

import cv2
import numpy as np
import pytest

from streamd.vision.scaling import smaller


def test_half_the_size_is_the_mean_of_two_by_two() -> None:
    image = np.arange(64, dtype=np.uint8).reshape(8, 8)
    means = image.reshape(4, 2, 4, 2).mean((1, 3))
    assert np.abs(smaller(image, (4, 4)) - means).max() <= 0.5


@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080), (2304, 1296), (2560, 1440), (3840, 2160), (641, 361)])
def test_it_is_much_like_the_mean_over_areas(size: tuple[int, int]) -> None:
    random = np.random.default_rng(1)
    view = cv2.GaussianBlur(random.integers(0, 255, (size[1] // 4, size[0] // 4)).astype(np.uint8), (0, 0), 1.5)
    view = np.asarray(cv2.resize(view, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    mean = cv2.resize(view, (640, 360), interpolation=cv2.INTER_AREA).astype(int)
    difference = np.abs(smaller(view, (640, 360)) - mean)
    assert difference.mean() < 1.0
    assert difference.max() <= 12


def test_colours_stay_apart_and_nothing_moves() -> None:
    image = np.zeros((1080, 1920, 3), np.uint8)
    image[300:600, 900:1200, 2] = 200
    small = smaller(image, (640, 360))
    assert small[..., :2].max() == 0
    rows, columns = np.nonzero(small[..., 2] > 100)
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (100, 200, 300, 400)


def test_an_image_of_that_size_is_given_back() -> None:
    image = np.zeros((36, 64), np.uint8)
    assert smaller(image, (64, 36)) is image
