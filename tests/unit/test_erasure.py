from __future__ import annotations

from pathlib import Path

from streamd.erasure import erase_person
from streamd.events import Event, EventType, timestamp
from streamd.journal import Entry, Journal

ANNA = {"id": "a" * 32, "name": 'Anna "Ann" Ä', "similarity": 0.7}
BERT = {"id": "b" * 32, "name": "Bert", "similarity": 0.6}


def event(n: int, kind: EventType, **fields: object) -> Event:
    return Event(type=kind, camera="door", at=timestamp(n), id=f"{n:032x}", track="door-1", **fields)  # type: ignore[arg-type]


EVENTS = [
    event(1, EventType.FACE_APPEARED),
    event(2, EventType.FACE_IDENTIFIED, identity=ANNA, runner_up=BERT, quality=0.9, box=(1, 2, 3, 4)),
    event(3, EventType.FACE_IDENTIFIED, identity=BERT, runner_up=ANNA),
    event(4, EventType.FACE_LEFT, identity=ANNA),
    event(5, EventType.PERSON_ENROLLED, identity=ANNA),
    event(6, EventType.PERSON_FORGOTTEN, identity={"id": ANNA["id"]}),
]


def test_a_person_is_gone_from_the_journal_and_the_numbers_stay(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with Journal(path) as journal:
        journal.append([Entry("w", "e", n, e) for n, e in enumerate(EVENTS, start=1)])
        assert erase_person(path, person_id=ANNA["id"], name=ANNA["name"]) == 4  # type: ignore[arg-type]
        events = [row.event() for row in journal.since(0, 100)]
    assert [e.seq for e in events] == [1, 2, 3, 4, 5, 6]
    assert [e.type.value for e in events] == [
        "face.appeared",
        "face.unknown",
        "face.identified",
        "face.left",
        "person.enrolled",
        "person.forgotten",
    ]
    assert events[1].box is None
    assert (events[2].identity, events[2].runner_up) == (BERT, None)
    left = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert b"Ann" not in left


def test_without_a_journal_there_is_nothing_to_erase(tmp_path: Path) -> None:
    assert erase_person(tmp_path / "none.sqlite", person_id="x", name="y") == 0
    assert list(tmp_path.iterdir()) == []
