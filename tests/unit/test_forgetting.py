"""Forgetting a person who was somebody else before: nothing is left in any file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from galleryparts import MODEL, unit

from streamd.config import Config
from streamd.errors import GalleryError
from streamd.events import Event, EventType, timestamp
from streamd.forgetting import forget_person
from streamd.gallery.rows import NewFace, ensure_person, insert_faces
from streamd.gallery.store import GalleryStore
from streamd.gallery.strangers import Sighting, StrangerRecords, StrangerView
from streamd.journal import Entry, Journal


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "state" / "snapshots").mkdir(parents=True)
    return Config(state_dir=tmp_path / "state", runtime_dir=tmp_path / "run")


@pytest.fixture
def store(config: Config) -> Iterator[GalleryStore]:
    with GalleryStore(config.gallery_file) as opened:
        yield opened


def face(seed: str, source: str) -> NewFace:
    return NewFace(unit(seed), MODEL, chip(seed), 0.8, source, hashlib.sha256(source.encode()).hexdigest())


def chip(seed: str) -> bytes:
    return f"chip of {seed};".encode()


def tell(config: Config, *events: Event) -> None:
    """Write events into the journal, and the pictures that they refer to."""
    with Journal(config.journal_file) as journal:
        last = journal.last_n("w", "e")
        journal.append([Entry("w", "e", last + n, event) for n, event in enumerate(events, start=1)])
    for event in events:
        if event.snapshot:
            (config.snapshots_dir / event.snapshot["face"]).write_bytes(b"jpeg")


def event(n: int, kind: EventType, track: str, **fields: object) -> Event:
    return Event(kind, "door", timestamp(n), f"{n:032x}", track=track, **fields)  # type: ignore[arg-type]


def told(config: Config) -> list[Event]:
    with Journal(config.journal_file, read_only=True) as journal:
        return [row.event() for row in journal.since(0, 100)]


def left(config: Config, *needles: bytes) -> list[bytes]:
    """Which of these are found in any file, or in any file's name."""
    files = [path for path in config.state_dir.rglob("*") if path.is_file()]
    held = b"".join(path.name.encode() + path.read_bytes() for path in files)
    return [needle for needle in needles if needle in held]


def pictures(config: Config) -> list[str]:
    return sorted(path.name for path in config.snapshots_dir.iterdir())


def view(seed: str) -> StrangerView:
    return StrangerView(unit(seed), chip(seed), 0.8)


def seen(records: StrangerRecords, stranger: str, seed: str) -> None:
    records.record(Sighting(stranger, f"door-{seed}", "door", 1.0, MODEL, [view(seed)]))


def test_whoever_was_merged_into_a_person_is_forgotten_with_them(config: Config, store: GalleryStore) -> None:
    for name, seed in (("Ann", "ann"), ("Anna Maiden", "maiden"), ("Anya", "anya"), ("Bert", "bert")):
        store.add_faces(name, [face(seed, f"folder:{name}/1.jpg")])
    store.describe("Anna Maiden", notes="is tall")
    maiden, anya = store.person("Anna Maiden"), store.person("Anya")
    store.merge("Anya", "Anna Maiden")
    store.merge("Anna Maiden", "Ann")
    tell(
        config,
        event(
            1, EventType.FACE_IDENTIFIED, "t1", identity={"id": maiden.id, "name": maiden.name}, snapshot={"face": "1"}
        ),
        event(2, EventType.FACE_IDENTIFIED, "t2", identity={"id": anya.id, "name": anya.name}, snapshot={"face": "2"}),
    )
    gone = (b"Ann", b"Maiden", b"Anya", b"is tall", *map(chip, ("ann", "maiden", "anya")))
    vectors = [np.asarray(unit(seed), "<f4").tobytes() for seed in ("ann", "maiden", "anya")]
    assert left(config, *gone) == list(gone)
    receipt = forget_person(config, store, "Ann", photos=False)
    assert (receipt.events, receipt.erased) == (2, True)
    assert left(config, *gone, *vectors) == []
    assert pictures(config) == []
    assert {c.person_id for c in store.changes() if c.what == "person.forgotten"} >= {maiden.id, anya.id}
    assert [p.name for p in store.people()] == ["Bert"]
    assert left(config, chip("bert")) == [chip("bert")]


def test_a_merge_that_was_taken_back_or_went_on_to_somebody_else_is_no_part_of_them(
    config: Config, store: GalleryStore
) -> None:
    for name in ("Ann", "Anna", "Bert"):
        store.add_faces(name, [face(name, f"photo:{name}")])
    anna = store.person("Anna").id
    tell(
        config, event(1, EventType.FACE_IDENTIFIED, "t1", identity={"id": anna, "name": "Anna"}, snapshot={"face": "1"})
    )
    store.merge("Anna", "Ann")
    store.undo()
    store.merge("Anna", "Bert")
    forget_person(config, store, "Ann", photos=False)
    assert told(config)[0].identity == {"id": anna, "name": "Anna"}
    assert pictures(config) == ["1"]
    store.undo()
    assert [(p.name, p.faces) for p in store.people()] == [("Anna", 1), ("Bert", 1)]


def test_faces_that_were_split_off_go_with_whom_they_are_of(config: Config, store: GalleryStore) -> None:
    store.add_faces("Bert", [face("bert", "photo:b.jpg"), face("carl", "photo:c.jpg")])
    split = store.split("Bert", "Carl", [store.faces_of(store.person("Bert").id)[1].id])
    assert split == 1
    forget_person(config, store, "Carl", photos=False)
    assert left(config, b"Carl", chip("carl")) == []
    with pytest.raises(GalleryError, match="concerned somebody who was forgotten"):
        store.undo(4)


def test_whom_faces_were_split_off_from_takes_nobody_along(config: Config, store: GalleryStore) -> None:
    store.add_faces("Bert", [face("bert", "photo:b.jpg"), face("carl", "photo:c.jpg")])
    store.split("Bert", "Carl", [store.faces_of(store.person("Bert").id)[1].id])
    forget_person(config, store, "Bert", photos=False)
    with pytest.raises(GalleryError, match="undo"):
        store.undo()
    assert [(p.name, p.faces) for p in store.people()] == [("Carl", 1)]


def test_of_an_import_the_others_can_still_be_taken_back(config: Config, store: GalleryStore) -> None:
    with store.database.write() as connection:
        for name in ("Ann", "Bert"):
            insert_faces(connection, ensure_person(connection, name, "command"), [face(name, f"photo:{name}")])
    forget_person(config, store, "Ann", photos=False)
    store.undo()
    assert store.people() == []


def test_strangers_who_turned_out_to_be_a_person_are_forgotten_with_them(config: Config, store: GalleryStore) -> None:
    records = StrangerRecords(store.database)
    for stranger in ("unknown-1", "unknown-2", "unknown-3", "unknown-4"):
        seen(records, stranger, stranger)
    records.merge("unknown-1", "unknown-2")
    records.merge("unknown-2", "unknown-3")
    records.assign("unknown-3", "Ann")
    unknown = EventType.FACE_UNKNOWN
    tell(config, *(event(n, unknown, f"t{n}", stranger=f"unknown-{n}", snapshot={"face": f"{n}"}) for n in range(1, 5)))
    forget_person(config, store, "Ann", photos=False)
    assert [e.stranger for e in told(config)] == [None, None, None, "unknown-4"]
    assert pictures(config) == ["4"]
    assert left(config, *(chip(f"unknown-{n}") for n in range(1, 5))) == [chip("unknown-4")]


def test_pictures_from_before_somebody_was_named_in_the_same_appearance_go(config: Config, store: GalleryStore) -> None:
    for name in ("Ann", "Bert"):
        store.add_faces(name, [face(name, f"photo:{name}")])
    ann, bert = ({"id": store.person(name).id, "name": name} for name in ("Ann", "Bert"))
    unknown, identified, revised = EventType.FACE_UNKNOWN, EventType.FACE_IDENTIFIED, EventType.FACE_REVISED
    tell(
        config,
        event(1, unknown, "t1", stranger="unknown-1", runner_up=ann, snapshot={"face": "1"}),
        event(2, revised, "t1", identity=ann, snapshot={"face": "2"}, revises=f"{1:032x}"),
        event(3, identified, "t1", identity=bert, snapshot={"face": "3"}),
        event(4, unknown, "t2", stranger="unknown-2", snapshot={"face": "4"}),
        event(5, unknown, "t11", runner_up=ann, snapshot={"face": "5"}),
    )
    receipt = forget_person(config, store, "Ann", photos=False)
    assert receipt.events == 3
    events = told(config)
    assert [e.snapshot for e in events] == [None, None, {"face": "3"}, {"face": "4"}, {"face": "5"}]
    assert [e.stranger for e in events] == [None, None, None, "unknown-2", None]
    assert pictures(config) == ["3", "4", "5"]
    assert left(config, b"Ann") == []


def test_photos_that_went_with_their_folder_are_no_hindrance(config: Config, store: GalleryStore) -> None:
    store.add_faces("Ann", [face("ann", "folder:Ann/a.jpg")], origin="folder")
    receipt = forget_person(config, store, "Ann", photos=True)
    assert receipt.photos == ()
    assert store.people() == []
