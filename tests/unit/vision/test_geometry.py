from __future__ import annotations

import numpy as np
import pytest

from streamd.vision.geometry import (
    TEMPLATE,
    align,
    letterbox,
    pad_to_multiple,
    similarity_to_chip,
    suppress,
)


def test_the_template_stays_where_it_is() -> None:
    np.testing.assert_allclose(similarity_to_chip(TEMPLATE), [[1, 0, 0], [0, 1, 0]], atol=1e-4)


def test_a_turned_shifted_enlarged_face_comes_back_to_the_template() -> None:
    turn = 2.5 * np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    points = (TEMPLATE @ turn.T + [300, 40]).astype(np.float32)
    back = np.column_stack([points, np.ones(5)]) @ similarity_to_chip(points).T
    np.testing.assert_allclose(back, TEMPLATE, atol=1e-3)


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((5, 2), np.nan), np.full((5, 2), np.inf)])
def test_points_that_span_nothing_are_refused(points: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
    with pytest.raises(ValueError, match="do not span a face"), np.errstate(invalid="ignore"):
        similarity_to_chip(points.astype(np.float32))


def test_a_chip_is_black_beyond_the_pictures_edge() -> None:
    image = np.full((112, 112, 3), 200, np.uint8)
    chip = align(image, TEMPLATE + np.float32([60, 0]))
    assert chip[:, :40].min() == 200
    assert chip[:, 60:].max() == 0


def test_letterbox_keeps_the_aspect_and_undoes_itself() -> None:
    image = np.full((100, 400, 3), 255, np.uint8)
    canvas, fit = letterbox(image, width=200, height=200)
    assert canvas[:50].min() == 255
    assert canvas[50:].max() == 0
    np.testing.assert_allclose(fit.undo(np.array([[200, 50]], np.float32)), [[400, 100]])


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1)])
def test_letterbox_takes_the_smallest_and_the_thinnest(size: tuple[int, int]) -> None:
    canvas, _ = letterbox(np.ones((*size, 3), np.uint8), width=300, height=300)
    assert canvas.shape == (300, 300, 3)
    assert canvas[0, 0].tolist() == [1, 1, 1]


def test_padding_adds_black_below_and_on_the_right_only() -> None:
    padded = pad_to_multiple(np.ones((33, 64, 3), np.uint8), 32)
    assert padded.shape == (64, 64, 3)
    assert padded[:33].min() == 1
    assert padded[33:].max() == 0


def test_suppression_keeps_the_best_of_each_heap_best_first() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60], [0, 0, 10, 10]], np.float32)
    scores = np.array([0.7, 0.9, 0.95, 0.8], np.float32)
    assert suppress(boxes, scores, 0.3).tolist() == [2, 1]


def test_suppression_of_nothing_is_nothing() -> None:
    assert suppress(np.empty((0, 4), np.float32), np.empty(0, np.float32), 0.3).tolist() == []
