from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.bench import rates

SCORES = st.lists(st.floats(-1, 1, allow_nan=False), min_size=1, max_size=60).map(lambda v: np.array(v, np.float64))


@given(SCORES, st.sampled_from([0.5, 0.1, 1e-2, 1e-3]))
def test_no_more_impostors_than_the_rate_pass_its_threshold(impostor: np.ndarray, far: float) -> None:
    threshold = rates.threshold_at_far(impostor, far)
    assert (impostor >= threshold).sum() <= far * len(impostor) + 1e-9


@given(SCORES, st.sampled_from([0.5, 0.1, 1e-2]))
def test_a_lower_threshold_would_let_too_many_pass(impostor: np.ndarray, far: float) -> None:
    threshold = rates.threshold_at_far(impostor, far)
    if math.isfinite(threshold):
        below = impostor[impostor < threshold].max()
        assert (impostor >= below).sum() > int(far * len(impostor) + 1e-9)


@given(SCORES, SCORES)
def test_the_roc_is_counted(genuine: np.ndarray, impostor: np.ndarray) -> None:
    thresholds, far, tar = rates.roc(genuine, impostor)
    for threshold, f, t in zip(thresholds, far, tar, strict=True):
        assert f == pytest.approx((impostor >= threshold).mean())
        assert t == pytest.approx((genuine >= threshold).mean())


@given(SCORES, SCORES)
def test_the_area_is_the_chance_that_a_genuine_score_is_higher(genuine: np.ndarray, impostor: np.ndarray) -> None:
    pairs = (genuine[:, None] > impostor[None]).mean() + (genuine[:, None] == impostor[None]).mean() / 2
    assert rates.area_under(genuine, impostor) == pytest.approx(pairs)


@given(SCORES, st.integers(0, 2**31))
def test_no_threshold_judges_more_pairs_rightly_than_the_best(scores: np.ndarray, seed: int) -> None:
    same = np.random.default_rng(seed).random(len(scores)) < 0.5
    best = rates.best_threshold(scores, same)
    right = ((scores >= best) == same).mean()
    for threshold in (*scores, -2.0, 2.0):
        assert right >= ((scores >= threshold) == same).mean()


def test_a_threshold_lies_between_neighbouring_floats() -> None:
    for upper in (5e-324, float(np.nextafter(0.5, 1))):
        lower = float(np.nextafter(upper, -1))
        assert lower < rates.best_threshold(np.array([upper, lower]), np.array([True, False])) <= upper


def test_tar_at_far_counts_genuine_scores_above_the_strangers() -> None:
    impostor = np.arange(100) / 100
    assert rates.tar_at_far(np.array([0.985, 0.995, 0.5]), impostor, 0.01) == pytest.approx(2 / 3)
    assert rates.tar_at_far(np.array([0.99, 0.991]), impostor, 0.001) == 0.5


def test_where_errors_are_equal() -> None:
    assert rates.equal_error_rate(np.array([0.6, 0.8, 0.9, 0.3]), np.array([0.1, 0.2, 0.5, 0.7])) == 0.25


def test_separated_scores_have_no_errors() -> None:
    scores = np.concatenate([np.linspace(0.6, 0.9, 50), np.linspace(0, 0.4, 50)])
    same = np.arange(100) < 50
    folded = rates.folded_accuracy(scores, same, rates.assign_folds(same))
    assert folded.accuracy == 1
    assert 0.4 < folded.threshold < 0.6


def test_the_threshold_of_a_fold_comes_from_the_others() -> None:
    """One fold whose scores lie elsewhere is judged by the others' threshold, and fails."""
    same = np.tile([True, False], 50)
    scores = np.where(same, 0.8, 0.2)
    folds = np.arange(100) // 10
    scores[:10] = np.where(same[:10], 0.4, 0.3)
    assert rates.folded_accuracy(scores, same, folds).accuracy == pytest.approx(0.95)


def test_a_file_in_lfws_order_keeps_its_ten_folds() -> None:
    same = np.tile(np.repeat([True, False], 300), 10)
    np.testing.assert_array_equal(rates.assign_folds(same), np.repeat(np.arange(10), 600))


def test_a_file_with_all_same_pairs_first_is_dealt_out() -> None:
    folds = rates.assign_folds(np.repeat([True, False], 100))
    for fold in range(10):
        assert (folds[:100] == fold).sum() == 10
        assert (folds[100:] == fold).sum() == 10


def test_somebody_else_first_is_a_miss_at_every_threshold() -> None:
    rate, threshold = rates.identification_rate(np.array([0.9, -math.inf]), np.array([]), 0.01)
    assert rate == 0.5
    assert threshold == -math.inf


def test_identification_counts_the_known_above_the_nearest_strangers() -> None:
    unmated = np.linspace(0, 0.99, 100)
    rate, threshold = rates.identification_rate(np.array([0.97, 0.985, 0.99]), unmated, 0.01)
    assert threshold == pytest.approx(0.98)
    assert rate == pytest.approx(2 / 3)


def test_the_interval_of_a_rate() -> None:
    low, high = rates.interval(10, 1000)
    assert (low, high) == (pytest.approx(0.00544, abs=1e-4), pytest.approx(0.0183, abs=1e-4))
    assert rates.interval(0, 100)[0] == 0
