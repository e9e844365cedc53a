"""Who is judged how: names against who was there."""

from __future__ import annotations

import json

import pytest

from streamd.bench.lifelike import first_frames, one_pass, told
from streamd.bench.naming import Borne, Naming, judge
from streamd.bench.stays import Place, Stay, scene_stays, within
from streamd.bench.streams import Scene
from streamd.events import Event, EventType, timestamp

LEFT, RIGHT = Place(300, 300, 200), Place(900, 300, 200)
ADA = Stay("Ada", True, 2.0, 6.0, (LEFT, LEFT))
STRANGER = Stay("a stranger", False, 2.0, 6.0, (RIGHT, RIGHT))


def on_frames(name: str, from_s: float, to_s: float, place: Place, *, fps: float = 10.0) -> list[Borne]:
    """A name on each frame, as a loop over frames gives it."""
    count = round((to_s - from_s) * fps)
    return [Borne(name, from_s + i / fps, from_s + (i + 1) / fps, (place.x, place.y)) for i in range(count)]


def test_frames_and_claims_of_the_same_time_are_worth_the_same() -> None:
    by_frames = judge(on_frames("Ada", 3.0, 6.0, LEFT), [ADA, STRANGER])
    by_claim = judge([Borne("Ada", 3.0, 6.0, (LEFT.x, LEFT.y))], [ADA, STRANGER])
    for naming in (by_frames, by_claim):
        assert (naming.stays, naming.named, naming.false_names) == (1, 1, 0)
        assert naming.recall_seconds == pytest.approx(0.75)


def test_a_strangers_wrong_name_is_seen_though_its_owner_is_there_too() -> None:
    naming = judge(on_frames("Ada", 3.0, 5.0, RIGHT), [ADA, STRANGER])
    assert (naming.named, naming.false_names) == (0, 1)
    assert naming.false_s == pytest.approx(2.0)
    assert naming.recall_stays == 0.0


def test_a_wrong_name_counts_once_for_each_stay_and_once_for_nobody() -> None:
    given = [
        *on_frames("Ada", 3.0, 3.5, RIGHT),
        *on_frames("Ada", 4.0, 4.5, RIGHT),
        *on_frames("Bob", 4.5, 5.0, RIGHT),
        *on_frames("Bob", 3.0, 3.5, Place(600, 650, 90)),  # where no face is
    ]
    assert judge(given, [ADA, STRANGER]).false_names == 3


def test_a_name_for_an_empty_room_is_false() -> None:
    naming = judge([Borne("Ada", 8.0, 9.0, (LEFT.x, LEFT.y))], [ADA])
    assert (naming.named, naming.false_names, naming.false_s) == (0, 1, 1.0)


def test_without_places_a_name_is_right_while_its_owner_is_there() -> None:
    there = [Stay("Ada", True, 2.0, 6.0), Stay("a stranger", False, 0.0, 9.0)]
    assert judge([Borne("Ada", 3.0, 4.0, (1.0, 1.0))], there).named == 1
    assert judge([Borne("Ada", 7.0, 8.0)], there).false_names == 1


def test_a_name_from_before_the_seam_belongs_to_whoever_of_this_name_comes_while_it_is_borne() -> None:
    later = [Stay("Ada", True, 4.0, 6.0, (LEFT, LEFT)), Stay("a stranger", False, 4.0, 6.0, (RIGHT, RIGHT))]
    naming = judge([Borne("Ada", 0.0, 6.0)], later)
    assert (naming.named, naming.false_names, naming.recall_seconds) == (1, 0, 1.0)
    naming = judge([Borne("Bob", 0.0, 6.0)], later)
    assert (naming.named, naming.false_names, naming.false_s) == (0, 1, 6.0)


def test_clips_add_up() -> None:
    one = judge([Borne("Ada", 2.0, 6.0)], [ADA])
    both = one + judge([], [ADA]) + Naming()
    assert (both.recall_stays, both.recall_seconds) == (0.5, 0.5)
    assert Naming().recall_stays is None


def test_a_moving_face_is_found_where_it_is() -> None:
    walking = Stay("Ada", True, 0.0, 4.0, (LEFT, RIGHT))
    assert judge([Borne("Ada", 3.9, 4.0, (890, 300))], [walking]).named == 1
    assert judge([Borne("Ada", 3.9, 4.0, (310, 300))], [walking]).false_names == 1


def test_a_stay_is_cut_with_its_way() -> None:
    walking = Stay("Ada", True, 0.0, 4.0, (LEFT, RIGHT))
    (cut,) = within([walking, Stay("Bob", True, 5.0, 6.0)], 2.0)
    assert (cut.end_s, cut.place(2.0)) == (2.0, Place(600, 300, 200))


def test_the_streams_say_who_is_in_them_and_where() -> None:
    stays = scene_stays(Scene(people=3), 0)
    assert [(stay.label, stay.enrolled) for stay in stays] == [
        ("Barack Obama", True),
        ("Joe Biden", False),
        ("Eileen Collins", True),
    ]
    place = stays[0].place(5.0)
    assert place is not None
    assert 0 < place.x < 1280


def event(kind: EventType, at_s: float, **fields: object) -> Event:
    return Event(kind, "cam00", timestamp(1000.0 + at_s), f"{kind}{at_s}", track="t1", **fields)  # type: ignore[arg-type]


def test_events_become_names_from_the_decision_to_the_last_look() -> None:
    events = [
        event(EventType.FACE_APPEARED, 1.2, latency_ms=200, box=(0, 0, 10, 10)),
        event(EventType.FACE_IDENTIFIED, 1.5, latency_ms=500, identity={"name": "Ada"}, box=(100, 40, 200, 160)),
        event(EventType.FACE_LEFT, 6.0, evidence={"seconds": 3.0}),
    ]
    (borne,) = told(events, 1000.0)
    assert (borne.name, borne.centre) == ("Ada", (150.0, 100.0))
    assert (borne.from_s, borne.to_s) == (pytest.approx(1.5), pytest.approx(4.0))


def test_one_whole_pass_is_judged_in_the_clips_own_time() -> None:
    given = [
        Borne("before", 9.0, 11.0),
        Borne("over the seam", 19.0, 23.0, (1.0, 2.0)),
        Borne("inside", 25.0, 28.0, (3.0, 4.0)),
        Borne("at the end", 38.0, 44.0, (5.0, 6.0)),
        Borne("after", 41.0, 42.0),
    ]
    assert one_pass(given, 20.0, not_before_s=8.0) == [
        Borne("over the seam", 0.0, 3.0, None),
        Borne("inside", 5.0, 8.0, (3.0, 4.0)),
        Borne("at the end", 18.0, 20.0, (5.0, 6.0)),
    ]


def test_the_log_tells_when_a_camera_began() -> None:
    def line(role: str, logger: str, at_s: float) -> str:
        row = {"at": timestamp(at_s), "level": "info", "role": role, "logger": logger, "message": "h264 64x48"}
        return json.dumps(row)

    log = [
        line("capture@cam00", "streamd.capture", 1.0),
        "not JSON",
        line("capture@cam00", "streamd.reading", 2.5),
        line("worker@0", "streamd.worker", 2.0),
        line("capture@cam00", "streamd.reading", 9.0),
    ]
    assert first_frames("\n".join(log)) == {"cam00": 2.5}
