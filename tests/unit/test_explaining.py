from __future__ import annotations

from dataclasses import replace
from typing import Any

from publisherprocess import an_event

from streamd.domain import Match, Quality
from streamd.events import Event, EventType
from streamd.explaining import reason, table
from streamd.ledger import KEPT, Ledger

NEEDED = {"threshold": 0.45, "margin": 0.08, "min_views": 2, "min_quality": 0.35, "min_face_px": 40, "people": 3}
BOB = Match("b", "Bob Ray", 0.31, 1)
ANN = Match("a", "Ann Smith", 0.28, 2)


def quality(score: float = 0.8, *, reason: str | None = None, size_px: float = 80, yaw: float = 3) -> Quality:
    return Quality(score, size_px, 0.9, 0.9, 0.9, 0.9, reason, yaw=yaw)


def left(**more: Any) -> list[Event]:
    event = replace(an_event(1, kind=EventType.FACE_LEFT), identity=None, track="door-e-1")
    return [replace(event, **more)]


def account(ledger: Ledger, **needed: float) -> dict[str, Any]:
    return {**ledger.as_json(), "needed": NEEDED | needed}


def test_faces_that_could_not_decide_are_counted_by_reason_with_the_best_of_them() -> None:
    ledger = Ledger(faces=11)
    for size in (22, 31, 25, 30, 18, 29, 30, 30, 27):
        ledger.refuse("too_small", quality(reason="too_small", size_px=size))
    for yaw in (-71, 64):
        ledger.refuse("turned_away", quality(reason="turned_away", yaw=yaw))
    assert reason(left(), account(ledger)) == "11 faces, 9 too small (31 px, need 40), 2 turned away (64 degrees)"


def test_good_views_of_a_stranger_name_the_most_similar_and_what_was_needed() -> None:
    ledger = Ledger(faces=5)
    for _ in range(5):
        ledger.view(0.1, quality(), [BOB, ANN])
    assert (
        reason(left(evidence={"views": 5}), account(ledger))
        == "5 good views; the most similar is Bob Ray with 0.31, where 0.45 is needed"
    )


def test_an_empty_gallery_is_said_to_be_empty() -> None:
    ledger = Ledger(faces=5)
    ledger.view(0.1, quality(), [])
    assert reason(left(), account(ledger, people=0)) == "1 good view, and nobody is enrolled who is searched for here"


def test_one_view_is_not_enough() -> None:
    ledger = Ledger(faces=1)
    ledger.view(0.1, quality(), [replace(BOB, similarity=0.7)])
    assert reason(left(), account(ledger)) == "1 good view, like Bob Ray, where a name needs 2"


def test_somebody_between_two_people_is_said_to_be() -> None:
    ledger = Ledger(faces=5)
    ledger.view(0.1, quality(), [replace(BOB, similarity=0.5)])
    sentence = reason(left(evidence={"ambiguous": True, "best": 0.5}), account(ledger))
    assert sentence == "1 good view, similar to Bob Ray and to somebody else: a margin of 0.08 is needed"


def test_a_name_is_explained_by_its_figures() -> None:
    identity = {"id": "b", "name": "Bob", "similarity": 0.61, "threshold": 0.45, "margin": 0.3}
    named = left(identity=identity, runner_up={"id": "a", "name": "Ann", "similarity": 0.31})
    assert reason(named, None) == "Bob with a similarity of 0.61, where 0.45 is needed; next is Ann with 0.31"


def test_an_appearance_without_an_account_says_so() -> None:
    assert "no account" in reason(left(), None)
    assert "nothing is known" in reason([], None)


def test_views_have_a_line_each_and_say_why_they_did_not_count() -> None:
    ledger = Ledger(faces=2)
    ledger.view(0.12, quality(), [BOB, ANN])
    ledger.view(0.31, quality(0.2, reason="unclear"), [BOB])
    lines = table(ledger.as_json())
    assert len(lines) == 3
    assert "Bob Ray 0.31" in lines[1]
    assert lines[1].endswith("counted")
    assert lines[2].endswith("not counted: unclear to the model")


def test_an_account_stays_small_however_long_somebody_stays() -> None:
    ledger = Ledger()
    for number in range(5000):
        ledger.view(number, quality(), [BOB, ANN])
    assert len(ledger.views) == KEPT
    assert ledger.left_out == 5000 - KEPT
    assert ledger.views[0]["after_s"] == 0
    assert ledger.views[-1]["after_s"] == 4999
