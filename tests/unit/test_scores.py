import math
import random
from statistics import NormalDist

import pytest

from streamd.scores import ScoreModel, Spread, comparisons

SCORES = ScoreModel(Spread(0.1, 0.09), Spread(0.7, 0.12), ScoreModel(Spread(0.05, 0.1), Spread(0.6, 0.15)))


@pytest.mark.parametrize("far", [0.3, 1e-2, 1e-4, 1e-7])
@pytest.mark.parametrize("people", [1, 10, 600])
def test_a_threshold_has_the_rate_that_it_was_asked_for(far: float, people: float) -> None:
    threshold = SCORES.threshold(far, people)
    assert SCORES.false_accept_rate(threshold, people) == pytest.approx(far, rel=1e-6)


def test_the_rate_is_that_of_the_nearest_of_so_many_random_similarities() -> None:
    draw = random.Random(3)
    people, trials = 20, 20_000
    threshold = SCORES.threshold(0.05, people)
    nearest = (max(draw.gauss(0.1, 0.09) for _ in range(people)) for _ in range(trials))
    assert sum(similarity >= threshold for similarity in nearest) / trials == pytest.approx(0.05, abs=0.006)


def test_more_people_and_a_smaller_rate_ask_for_more_similarity() -> None:
    asked = [SCORES.threshold(1e-4, n) for n in (1, 10, 100, 1000)]
    assert asked == sorted(asked)
    assert SCORES.threshold(1e-6) > SCORES.threshold(1e-4)


def test_thresholds_stay_possible() -> None:
    assert SCORES.threshold(1e-9, 1e9) < 1
    assert SCORES.threshold(0.5, 1) >= 0.05


def test_the_probability_is_bayes_rule_over_the_two_spreads() -> None:
    at = 0.42
    odds = NormalDist(0.7, 0.12).pdf(at) / NormalDist(0.1, 0.09).pdf(at) / 50
    assert SCORES.probability(at, 50) == pytest.approx(odds / (1 + odds))


def test_the_probability_never_falls_as_the_similarity_grows() -> None:
    values = [SCORES.probability(s / 100, 100) for s in range(-50, 101)]
    assert values == sorted(values)
    assert values[0] < 1e-6
    assert values[-1] > 0.999


def test_a_picture_without_colour_has_its_own_spread() -> None:
    assert SCORES.of(grey=True).impostor.mean == 0.05
    assert SCORES.of(grey=False) is SCORES
    plain = ScoreModel(SCORES.impostor, SCORES.genuine)
    assert plain.of(grey=True) is plain


@pytest.mark.parametrize("pair_threshold", [0.3, 0.6, 0.93, 0.985])
def test_an_unmeasured_model_lets_one_pair_in_a_hundred_pass_at_its_pair_threshold(pair_threshold: float) -> None:
    assumed = ScoreModel.assumed(pair_threshold)
    assert assumed.false_accept_rate(pair_threshold) == pytest.approx(0.01, rel=0.01)
    assert assumed.impostor.mean < pair_threshold < assumed.genuine.mean < 1


def test_a_network_that_finds_everybody_similar_gets_the_threshold_that_its_rate_asks_for() -> None:
    """Such as dlib's: a limit below 1 would let strangers in."""
    dlib = ScoreModel(Spread(0.835, 0.035), Spread(0.951, 0.021))
    assert dlib.threshold(1e-4) == pytest.approx(0.835 + 3.719 * 0.035, abs=1e-3)
    assert dlib.false_accept_rate(dlib.threshold(1e-4)) == pytest.approx(1e-4, rel=1e-3)


def test_where_even_one_would_not_do_nobody_is_named() -> None:
    assert ScoreModel(Spread(0.9, 0.05), Spread(0.95, 0.02)).threshold(1e-6, 1000) == 0.9999


def test_margins_shrink_with_the_distance_between_people() -> None:
    assert ScoreModel(Spread(0.095, 0.089), SCORES.genuine).scale == pytest.approx(1)
    assert ScoreModel(Spread(0.835, 0.035), SCORES.genuine).scale == pytest.approx(0.165 / 0.905)


def test_a_measured_spread_moves_the_grey_one_along() -> None:
    moved = SCORES.with_impostor(Spread(0.15, 0.18))
    assert moved.impostor == Spread(0.15, 0.18)
    assert moved.grey is not None
    assert moved.grey.impostor.mean == pytest.approx(0.1)
    assert moved.grey.impostor.std == pytest.approx(0.2)


def test_several_photos_of_a_person_count_less_than_so_many_people() -> None:
    assert comparisons(100, 100) == 100
    assert 100 < comparisons(100, 300) < 300
    assert comparisons(0, 0) == 1
    assert math.isfinite(comparisons(1, 0))
