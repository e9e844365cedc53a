import numpy as np
import pytest

from streamd.config import RecognitionConfig
from streamd.domain import Decision, Identity, Match, Verdict
from streamd.recognition import SURE_RECHECKS, Evidence, Policy, View, one_place_each
from streamd.scores import ScoreModel
from streamd.standard import Standard

POLICY = Policy.of(RecognitionConfig(min_views=2, unknown_after_views=4, max_views=5))
STANDARD = Standard(ScoreModel.assumed(0.36), target_far=1e-4, margin=0.08, fixed=0.45)


def match(person: str, similarity: float) -> Match:
    return Match(person, person.title(), similarity, 1)


def view(best: Match | None, *, quality: float = 0.8, at_s: float = 0.0) -> View:
    vector = np.zeros(4, np.float32)
    vector[0] = 1
    return View(vector, quality, at_s, best)


def evidence(*bests: Match | None) -> Evidence:
    found = Evidence(POLICY)
    for best in bests:
        found.add(view(best))
    return found


def test_one_view_is_not_enough_for_a_name() -> None:
    assert evidence(match("ann", 0.9)).decide([match("ann", 0.9)], STANDARD).verdict is Verdict.PENDING


def test_two_agreeing_views_above_the_threshold_give_a_name() -> None:
    decision = evidence(match("ann", 0.6), match("ann", 0.5)).decide([match("ann", 0.6), match("bob", 0.2)], STANDARD)
    assert decision.verdict is Verdict.KNOWN
    assert decision.identity == Identity("ann", "Ann", 0.6, 0.45, pytest.approx(0.4), pytest.approx(1.0, abs=0.01))


def test_views_that_disagree_give_no_name() -> None:
    decision = evidence(match("ann", 0.6), match("bob", 0.6)).decide([match("ann", 0.6), match("bob", 0.3)], STANDARD)
    assert decision.verdict is Verdict.PENDING


def test_a_second_person_who_is_nearly_as_similar_prevents_a_name() -> None:
    decision = evidence(match("ann", 0.6), match("ann", 0.6)).decide([match("ann", 0.6), match("bob", 0.55)], STANDARD)
    assert decision.verdict is Verdict.PENDING
    assert decision.runner_up == match("bob", 0.55)


def test_a_face_between_two_people_ends_as_ambiguous_not_as_unknown() -> None:
    decision = evidence(*[match("ann", 0.6)] * 4).decide([match("ann", 0.6), match("bob", 0.55)], STANDARD)
    assert decision.verdict is Verdict.AMBIGUOUS
    assert decision.identity is None


def test_enough_views_below_the_threshold_make_an_unknown() -> None:
    stranger = evidence(*[match("ann", 0.3)] * 4)
    decision = stranger.decide([match("ann", 0.3)], STANDARD)
    assert decision.verdict is Verdict.UNKNOWN
    assert decision.best == match("ann", 0.3)


def test_an_empty_gallery_makes_everyone_unknown() -> None:
    assert evidence(None, None, None, None).decide([], STANDARD).verdict is Verdict.UNKNOWN


def test_an_unknown_whose_evidence_grows_gets_a_name() -> None:
    found = evidence(*[match("ann", 0.3)] * 4)
    found.decide([match("ann", 0.3)], STANDARD)
    found.rescore([match("ann", 0.6)] * 4)
    assert found.decide([match("ann", 0.6)], STANDARD).verdict is Verdict.KNOWN


def test_a_name_is_held_through_a_small_dip_and_lost_in_a_large_one() -> None:
    found = evidence(match("ann", 0.6), match("ann", 0.6))
    found.decide([match("ann", 0.6)], STANDARD)
    assert found.decide([match("ann", 0.42)], STANDARD).verdict is Verdict.KNOWN
    assert found.decide([match("ann", 0.30)], STANDARD).verdict is Verdict.UNKNOWN


def test_a_name_is_held_while_it_has_half_the_margin_that_it_needed() -> None:
    found = evidence(match("ann", 0.6), match("ann", 0.6))
    found.decide([match("ann", 0.6)], STANDARD)
    for share, verdict in ((0.6, Verdict.KNOWN), (0.4, Verdict.AMBIGUOUS)):
        next_best = match("bob", 0.6 - share * STANDARD.least_margin)
        assert found.decide([match("ann", 0.6), next_best], STANDARD).verdict is verdict


def test_somebody_who_is_nearly_similar_enough_is_looked_at_for_longer() -> None:
    nearly = match("ann", 0.44)
    assert evidence(*[nearly] * POLICY.unknown_after_views).decide([nearly], STANDARD).verdict is Verdict.PENDING
    assert evidence(*[nearly] * POLICY.max_views).decide([nearly], STANDARD).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("similarity", "next_best", "sure"), [(0.6, 0.2, True), (0.46, 0.2, False), (0.6, 0.49, False)]
)
def test_a_name_is_sure_once_it_is_clear_of_the_threshold_and_of_the_next_best(
    similarity: float, next_best: float, sure: bool
) -> None:
    found = evidence(match("ann", similarity), match("ann", similarity))
    decision = found.decide([match("ann", similarity), match("bob", next_best)], STANDARD)
    assert decision.verdict is Verdict.KNOWN
    assert found.sure is sure


@pytest.mark.parametrize(("similarity", "sure"), [(0.3, True), (0.44, False)])
def test_an_unknown_is_sure_once_it_is_clearly_like_nobody(similarity: float, sure: bool) -> None:
    found = evidence(*[match("ann", similarity)] * POLICY.max_views)
    assert found.decide([match("ann", similarity)], STANDARD).verdict is Verdict.UNKNOWN
    assert found.sure is sure


def test_somebody_else_who_wins_clearly_takes_the_name_over() -> None:
    found = evidence(match("ann", 0.6), match("ann", 0.6))
    found.decide([match("ann", 0.6)], STANDARD)
    found.rescore([match("bob", 0.7), match("bob", 0.7)])
    decision = found.decide([match("bob", 0.7), match("ann", 0.4)], STANDARD)
    assert decision.identity is not None
    assert decision.identity.person_id == "bob"


def test_poor_views_are_not_wanted() -> None:
    assert not Evidence(POLICY).wants(POLICY.min_quality - 0.01, 0.0)
    assert Evidence(POLICY).wants(POLICY.min_quality, 0.0)


def test_a_decided_face_is_wanted_again_only_after_a_while() -> None:
    found = evidence(match("ann", 0.6), match("ann", 0.6))
    found.decide([match("ann", 0.6)], STANDARD)
    assert found.sure
    assert not found.wants(0.9, SURE_RECHECKS * POLICY.recheck_s - 0.1)
    assert found.wants(0.9, SURE_RECHECKS * POLICY.recheck_s)


def test_a_full_track_whose_verdict_is_not_sure_is_wanted_again_sooner() -> None:
    found = evidence(*[match("ann", 0.6)] * POLICY.max_views)
    found.decide([match("ann", 0.6)], STANDARD)
    found.sure = False
    assert not found.wants(0.9, POLICY.recheck_s - 0.1)
    assert found.wants(0.9, POLICY.recheck_s)


def test_a_full_undecided_track_wants_only_better_views_until_a_recheck() -> None:
    found = evidence(*[match("ann", 0.44)] * 5)
    assert not found.wants(0.8, 0.5)
    assert found.wants(0.95, 0.5)
    assert found.wants(0.8, POLICY.recheck_s)


def test_pauses_count_from_the_view_that_came_last() -> None:
    full = Evidence(POLICY)
    for at_s in (100.0, 101.0, 102.0, 103.0, 104.0):
        full.add(view(match("ann", 0.44), at_s=at_s))
    assert not full.wants(0.8, 104.0 + POLICY.recheck_s - 0.1)
    assert full.wants(0.8, 104.0 + POLICY.recheck_s)
    decided = Evidence(POLICY)
    for at_s in (100.0, 101.0):
        decided.add(view(match("ann", 0.6), at_s=at_s))
    decided.decide([match("ann", 0.6)], STANDARD)
    assert not decided.wants(0.9, 101.0 + SURE_RECHECKS * POLICY.recheck_s - 0.1)
    assert decided.wants(0.9, 101.0 + SURE_RECHECKS * POLICY.recheck_s)


def test_a_face_that_says_nothing_is_not_embedded_for_ever() -> None:
    found = Evidence(POLICY)
    for _ in range(POLICY.max_views):
        assert found.wants(0.8, 0.0)
        found.waste(0.0)
    assert not found.wants(0.8, 0.1)
    assert found.wants(0.8, POLICY.recheck_s)


def test_grey_is_what_most_views_are() -> None:
    found = Evidence(POLICY)
    vector = np.eye(4, dtype=np.float32)[0]
    for grey in (True, True, False):
        found.add(View(vector, 0.8, 0.0, None, grey))
    assert found.grey
    found.add(View(vector, 0.8, 0.0, None, False))
    assert not found.grey, "half of them are not most"


def test_the_worst_view_makes_room_for_a_new_one() -> None:
    found = Evidence(POLICY)
    for quality in (0.9, 0.3, 0.8, 0.7, 0.6, 0.5):
        found.add(view(None, quality=quality))
    assert sorted(v.quality for v in found.views) == [0.5, 0.6, 0.7, 0.8, 0.9]


def test_of_two_views_that_are_the_same_the_poorer_makes_room_before_any_that_is_like_none() -> None:
    found = Evidence(POLICY)
    one, *others = np.eye(6, dtype=np.float32)
    for vector, quality in ((one, 0.8), (one, 0.79), *((other, 0.6) for other in others[:4])):
        found.add(View(vector, quality, 0.0))
    assert [v.quality for v in found.views] == [0.8, 0.6, 0.6, 0.6, 0.6]


def test_a_new_view_changes_the_fused_vector_and_a_new_gallery_what_views_say() -> None:
    found = Evidence(POLICY)
    a, b = np.eye(2, dtype=np.float32)
    found.add(View(a, 0.8, 0.0))
    np.testing.assert_allclose(found.fused(), a)
    found.add(View(b, 0.8, 0.0))
    np.testing.assert_allclose(found.fused(), np.sqrt([0.5, 0.5]), atol=1e-6)
    before = found.changes
    found.rescore([match("ann", 0.6), None])
    assert found.changes == before + 1
    assert [v.best and v.best.person_id for v in found.views] == ["ann", None]


def test_the_fused_vector_is_the_unit_mean_weighted_by_quality() -> None:
    found = Evidence(POLICY)
    a, b = np.eye(2, dtype=np.float32)
    found.add(View(a, 0.9, 0.0))
    found.add(View(b, 0.3, 0.0))
    expected = np.array([0.9, 0.3]) / np.hypot(0.9, 0.3)
    np.testing.assert_allclose(found.fused(), expected, atol=1e-6)


def known(person: str, similarity: float) -> Decision:
    return Decision(Verdict.KNOWN, Identity(person, person, similarity, 0.45, 0.2))


def test_a_person_is_not_in_two_places_of_one_frame() -> None:
    settled = one_place_each({1: known("ann", 0.6), 2: known("ann", 0.7), 3: known("bob", 0.5)})
    assert settled[1].verdict is Verdict.UNKNOWN
    assert settled[1].identity is None
    assert settled[2].identity is not None
    assert settled[3].identity is not None


def test_of_two_who_are_as_similar_the_first_keeps_the_name() -> None:
    settled = one_place_each({1: known("ann", 0.6), 2: known("ann", 0.6)})
    assert settled[1].identity is not None
    assert settled[2].identity is None
