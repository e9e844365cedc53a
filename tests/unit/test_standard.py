import pytest

from streamd.domain import Match, Population, Verdict
from streamd.scores import ScoreModel, Spread
from streamd.standard import LOOKALIKE_GAP, LOOKALIKE_MOST, Standard

SCORES = ScoreModel(Spread(0.1, 0.09), Spread(0.7, 0.12), ScoreModel(Spread(0.2, 0.09), Spread(0.6, 0.15)))


def match(person: str, similarity: float) -> Match:
    return Match(person, person.title(), similarity, 1)


def standard(people: int = 10, *, fixed: float | None = None, nearest: float | None = None) -> Standard:
    return Standard(SCORES, 1e-4, 0.08, Population(people, people), fixed, lambda person: nearest)


def test_the_threshold_follows_from_the_rate_and_the_population() -> None:
    assert standard(10).threshold() == SCORES.threshold(1e-4, 10)
    assert standard(1000).threshold() > standard(10).threshold()


def test_a_threshold_of_the_user_takes_the_place_of_the_rate() -> None:
    fixed = standard(fixed=0.31, nearest=0.9)
    assert fixed.threshold() == fixed.threshold_for("ann") == 0.31


def test_a_person_with_a_lookalike_has_a_stricter_threshold_up_to_a_limit() -> None:
    least = standard().threshold()
    assert standard(nearest=0.2).threshold_for("ann") == least
    assert standard(nearest=least).threshold_for("ann") == pytest.approx(least + LOOKALIKE_GAP * SCORES.scale)
    assert standard(nearest=0.9).threshold_for("ann") == pytest.approx(least + LOOKALIKE_MOST * SCORES.scale)


def test_a_grey_picture_is_held_against_its_own_threshold() -> None:
    assert standard().threshold(grey=True) == SCORES.of(grey=True).threshold(1e-4, 10)


def test_a_match_above_threshold_and_margin_is_known_with_its_evidence() -> None:
    decision = standard().judge([match("ann", 0.7), match("bob", 0.3)])
    assert decision.verdict is Verdict.KNOWN
    assert decision.identity is not None
    assert decision.identity.threshold == standard().threshold()
    assert decision.identity.margin == pytest.approx(0.4)
    assert decision.identity.probability > 0.999


def test_two_people_equally_near_are_ambiguous() -> None:
    decision = standard().judge([match("ann", 0.7), match("bob", 0.65)])
    assert decision.verdict is Verdict.AMBIGUOUS
    assert decision.identity is None


def test_nobody_near_enough_is_unknown() -> None:
    assert standard().judge([match("ann", 0.3)]).verdict is Verdict.UNKNOWN
    assert standard().judge([]).verdict is Verdict.UNKNOWN
