from __future__ import annotations

from dataclasses import replace
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


def test_pictures_and_accounts_that_show_or_name_a_person_go_with_them(tmp_path: Path) -> None:
    path, pictures = tmp_path / "journal.sqlite", tmp_path / "snapshots"
    (pictures / "d").mkdir(parents=True)
    names = ["d/anna.jpg", "d/anna-frame.jpg", "d/bert.jpg", "d/both.jpg"]
    for name in (*names, "../outside.jpg"):
        (pictures / name).write_bytes(b"jpeg")
    identified, left = EventType.FACE_IDENTIFIED, EventType.FACE_LEFT
    anna_view = {"counted": True, "best": {**ANNA}, "runner_up": {**BERT}}
    events = [
        replace(
            event(1, identified, identity=ANNA, snapshot={"face": names[0], "frame": names[1], "people": [ANNA["id"]]}),
            track="door-anna",
            account={"faces": 3, "views": [anna_view]},
        ),
        replace(
            event(
                2,
                left,
                identity=BERT,
                snapshot={"face": names[2], "frame": names[3], "people": [ANNA["id"], BERT["id"]]},
            ),
            track="door-bert",
            account={"faces": 5, "views": [{"counted": True, "best": {**BERT}, "runner_up": {**ANNA}}]},
        ),
        event(3, identified, identity=ANNA, snapshot={"face": "../outside.jpg"}),
    ]
    with Journal(path) as journal:
        journal.append([Entry("w", "e", n, e) for n, e in enumerate(events, start=1)])
        anna_id, anna_name = str(ANNA["id"]), str(ANNA["name"])
        erase_person(path, person_id=anna_id, name=anna_name, pictures=pictures)
        kept = [row.event() for row in journal.since(0, 10)]
        assert journal.account("door-anna") is None
        assert journal.account("door-bert") == {"faces": 5, "views": [{"counted": True, "best": BERT}]}
    assert [e.snapshot for e in kept] == [None, {"face": names[2]}, None]
    assert sorted(p.name for p in (pictures / "d").iterdir()) == ["bert.jpg"]
    assert (tmp_path / "outside.jpg").exists(), "a path that leads out of the folder is not followed"
    assert b"Ann" not in path.read_bytes()


def test_pictures_of_when_somebody_had_no_name_go_with_them(tmp_path: Path) -> None:
    path, pictures = tmp_path / "journal.sqlite", tmp_path / "snapshots"
    pictures.mkdir()
    (pictures / "then.jpg").write_bytes(b"jpeg")
    seen = event(1, EventType.FACE_UNKNOWN, stranger="unknown-7f3a", snapshot={"face": "then.jpg"})
    with Journal(path) as journal:
        journal.append([Entry("w", "e", 1, seen)])
        ids = {"unknown-7f3a"}
        assert erase_person(path, person_id="x" * 32, name="Anna", strangers=ids, pictures=pictures) == 1
        (kept,) = (row.event() for row in journal.since(0, 10))
    assert (kept.stranger, kept.snapshot) == (None, None)
    assert not (pictures / "then.jpg").exists()
