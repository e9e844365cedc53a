"""What holds for any faces, any boxes and any number of rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamd.vision.geometry import TEMPLATE, similarity_to_chip, suppress
from streamd.vision.onnx import BUCKETS, batches

coordinate = st.floats(-2000, 2000, width=32)


@given(st.floats(0.05, 20), st.floats(-3.1, 3.1), coordinate, coordinate, st.integers(0, 2**32 - 1))
def test_alignment_undoes_any_turn_size_and_place(scale: float, turn: float, x: float, y: float, seed: int) -> None:
    rotation = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    shape = TEMPLATE + np.random.default_rng(seed).normal(0, 2, (5, 2))
    moved = (shape @ rotation.T + [x, y]).astype(np.float32)
    plain = np.column_stack([shape, np.ones(5)]) @ similarity_to_chip(shape.astype(np.float32)).T
    back = np.column_stack([moved, np.ones(5)]) @ similarity_to_chip(moved).T
    np.testing.assert_allclose(back, plain, atol=0.05)


@st.composite
def scored_boxes(draw: st.DrawFn) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    n = draw(st.integers(0, 30))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    corner = random.uniform(0, 60, (n, 2))
    boxes = np.concatenate([corner, corner + random.uniform(1, 60, (n, 2))], axis=1)
    return boxes.astype(np.float32), random.uniform(0, 1, n).astype(np.float32)


def iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    sides = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    inter = float(sides.prod())
    return inter / (float((a[2:] - a[:2]).prod()) + float((b[2:] - b[:2]).prod()) - inter)


@given(scored_boxes(), st.floats(0.1, 0.9))
def test_what_suppression_keeps_does_not_overlap_and_what_it_drops_does(
    found: tuple[NDArray[np.float32], NDArray[np.float32]], most: float
) -> None:
    boxes, scores = found
    kept = suppress(boxes, scores, most).tolist()
    assert scores[kept].tolist() == sorted(scores[kept].tolist(), reverse=True)
    near = 1e-5
    assert all(iou(boxes[a], boxes[b]) <= most + near for a in kept for b in kept if a != b)
    for dropped in set(range(len(boxes))) - set(kept):
        better = [k for k in kept if scores[k] >= scores[dropped]]
        assert any(iou(boxes[k], boxes[dropped]) > most - near for k in better)


@given(st.integers(0, 300), st.sampled_from(BUCKETS), st.booleans())
def test_batches_cover_every_row_once_in_sizes_that_are_allowed(count: int, largest: int, pad: bool) -> None:
    rows = []
    for start, stop, size in batches(count, largest, pad=pad):
        assert size in BUCKETS
        assert stop - start <= size <= largest
        assert pad or stop - start == size
        rows += range(start, stop)
    assert rows == list(range(count))
