from dataclasses import replace

import numpy as np
import pytest

from streamd.appearances import Appearance, Moment
from streamd.config import RecognitionConfig
from streamd.domain import Box, Decision, Frame, FrameId, Identity, Match, Track, Verdict, Yuv420
from streamd.events import Event, EventType
from streamd.recognition import Evidence, Policy

PICTURE = Yuv420(np.zeros((72 * 3 // 2, 128), np.uint8), "bt709", False)
FRAME = Frame(FrameId("door", "e1", 7), 10.0, 1_800_000_000.0, np.zeros((36, 64, 3), np.uint8), PICTURE)
MOMENT = Moment(FRAME, 10.4, 1_800_000_000.4, 12, "sface@abc")
PENDING = Decision(Verdict.PENDING)
UNKNOWN = Decision(Verdict.UNKNOWN, None, None, Match("ann", "Ann", 0.21, 1), 5)


def known(person: str) -> Decision:
    identity = Identity(person, person.title(), 0.61234567, 0.45, 0.33, 0.998)
    return Decision(Verdict.KNOWN, identity, Match("bob", "Bob", 0.28, 2), None, 3)


def appearance(*, confirmed: bool = True) -> Appearance:
    track = Track(1, Box(-5.4, 10, 40.2, 300), 10.0, 12.5, 3, None, confirmed)
    return Appearance("door-e-1", track, Evidence(Policy.of(RecognitionConfig())))


def kinds(events: list[Event]) -> list[str]:
    return [event.type.value for event in events]


def test_a_confirmed_face_appears_once() -> None:
    face = appearance()
    assert kinds(face.tell(PENDING, MOMENT)) == ["face.appeared"]
    assert face.tell(PENDING, MOMENT) == []


def test_a_face_seen_once_is_not_told() -> None:
    face = appearance(confirmed=False)
    assert face.tell(PENDING, MOMENT) == []
    assert face.leave(MOMENT) == []


def test_a_name_is_told_with_its_evidence() -> None:
    face = appearance()
    _, event = face.tell(known("ann"), MOMENT)
    assert event.type is EventType.FACE_IDENTIFIED
    assert event.identity == {
        "id": "ann",
        "name": "Ann",
        "similarity": 0.6123,
        "threshold": 0.45,
        "margin": 0.33,
        "probability": 0.998,
    }
    assert event.runner_up == {"id": "bob", "name": "Bob", "similarity": 0.28}
    assert event.evidence == {"views": 3}
    assert event.latency_ms == 400
    assert event.gallery_version == 12
    assert event.model == "sface@abc"
    assert event.track == "door-e-1"
    assert event.frame == {"epoch": "e1", "seq": 7, "size": [128, 72], "at": "2027-01-15T08:00:00.000Z"}


def test_the_box_is_whole_pixels_inside_the_picture() -> None:
    assert appearance().tell(PENDING, MOMENT)[0].box == (0, 10, 40, 72)


def test_the_box_of_a_face_that_went_on_beyond_the_edge_lies_at_the_edge() -> None:
    gone = appearance()
    gone.tell(PENDING, MOMENT)
    width, height = MOMENT.frame.size
    gone.track = replace(gone.track, box=Box(width + 30.0, height + 20.0, width + 80.0, height + 90.0))
    assert gone.leave(MOMENT)[0].box == (width, height, width, height)


def test_the_same_verdict_is_told_once() -> None:
    face = appearance()
    face.tell(known("ann"), MOMENT)
    assert face.tell(known("ann"), MOMENT) == []


def test_an_unknown_says_how_near_the_nearest_was() -> None:
    face = appearance()
    event = face.tell(UNKNOWN, MOMENT)[-1]
    assert event.type is EventType.FACE_UNKNOWN
    assert event.evidence == {"views": 5, "best": 0.21}
    assert event.identity is None


def test_a_name_after_unknown_refers_to_the_unknown() -> None:
    face = appearance()
    unknown = face.tell(UNKNOWN, MOMENT)[-1]
    (named,) = face.tell(known("ann"), MOMENT)
    assert named.type is EventType.FACE_IDENTIFIED
    assert named.revises == unknown.id


def test_a_face_between_two_people_is_told_as_unknown_and_ambiguous() -> None:
    decision = Decision(Verdict.AMBIGUOUS, None, Match("bob", "Bob", 0.55, 2), Match("ann", "Ann", 0.6, 1), 5)
    event = appearance().tell(decision, MOMENT)[-1]
    assert event.type is EventType.FACE_UNKNOWN
    assert event.evidence == {"views": 5, "best": 0.6, "ambiguous": True}


def test_between_unknown_and_ambiguous_nothing_is_told() -> None:
    face = appearance()
    face.tell(UNKNOWN, MOMENT)
    assert face.tell(Decision(Verdict.AMBIGUOUS, None, None, Match("ann", "Ann", 0.6, 1), 5), MOMENT) == []


@pytest.mark.parametrize("now", [UNKNOWN, known("bob")])
def test_a_name_taken_back_or_exchanged_is_a_revision(now: Decision) -> None:
    face = appearance()
    first = face.tell(known("ann"), MOMENT)[-1]
    (revised,) = face.tell(now, MOMENT)
    assert revised.type is EventType.FACE_REVISED
    assert revised.revises == first.id


def test_leaving_says_who_it_was_and_for_how_long() -> None:
    face = appearance()
    face.tell(known("ann"), MOMENT)
    (left,) = face.leave(MOMENT)
    assert left.type is EventType.FACE_LEFT
    assert left.identity is not None
    assert left.identity["name"] == "Ann"
    assert left.evidence == {"seconds": 2.5, "views": 0}
    assert left.latency_ms is None
