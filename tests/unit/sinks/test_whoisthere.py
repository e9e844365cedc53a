from __future__ import annotations

from dataclasses import replace

from publisherprocess import an_event

from streamd.events import Event, EventType
from streamd.sinks.whoisthere import WhoIsThere


def told(kind: EventType, track: str, *, person: int | None = 1, at_s: float = 1000.0, camera: str = "door") -> Event:
    event = replace(an_event(person or 0, kind=kind, camera=camera, wall_s=at_s), track=track, box=(0, 0, 9, 9))
    return event if person is not None else replace(event, identity=None)


def test_a_camera_shows_who_is_before_it_until_they_leave() -> None:
    who = WhoIsThere(300)
    who.take(told(EventType.FACE_APPEARED, "a", person=None))
    assert who.camera_state("door")["state"] == "1 unknown"
    who.take(told(EventType.FACE_IDENTIFIED, "a"))
    who.take(told(EventType.FACE_UNKNOWN, "b", person=None))
    assert who.camera_state("door") == {
        "state": "Person 1, 1 unknown",
        "count": 2,
        "names": ["Person 1"],
        "unknown": 1,
        "strangers": [],
    }
    who.take(told(EventType.FACE_LEFT, "a"))
    who.take(told(EventType.FACE_LEFT, "b", person=None))
    assert who.camera_state("door")["state"] == "nobody"


def test_a_person_is_home_until_no_camera_has_seen_them_for_long() -> None:
    who = WhoIsThere(300)
    who.take(told(EventType.FACE_IDENTIFIED, "a", at_s=1000))
    assert who.people["p1"].home
    assert not who.grow_old(9000), "still before the camera"
    who.take(told(EventType.FACE_LEFT, "a", at_s=9000))
    assert not who.grow_old(9299)
    assert who.grow_old(9301) == {"p1"}
    assert not who.people["p1"].home


def test_a_name_taken_back_is_no_longer_there() -> None:
    who = WhoIsThere(300)
    who.take(told(EventType.FACE_IDENTIFIED, "a"))
    who.take(told(EventType.FACE_REVISED, "a", person=None))
    assert who.camera_state("door")["names"] == []


def test_a_past_stranger_who_gets_a_name_is_not_there_now() -> None:
    who = WhoIsThere(300)
    who.take(replace(told(EventType.FACE_REVISED, "old"), box=None))
    assert who.camera_state("door")["count"] == 0
    assert not who.people


def test_who_is_forgotten_is_gone_from_people_and_cameras() -> None:
    who = WhoIsThere(300)
    who.take(told(EventType.FACE_IDENTIFIED, "a"))
    changes = who.take(replace(an_event(1, kind=EventType.PERSON_FORGOTTEN, camera="-"), identity={"id": "p1"}))
    assert changes.forgotten == {"p1"}
    assert changes.cameras == {"door"}
    assert not who.people
    assert who.camera_state("door")["names"] == []
