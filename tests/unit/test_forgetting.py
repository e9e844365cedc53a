"""Forgetting a person: nothing is left of them in any file, whoever they were before, and whatever comes between."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from galleryparts import MODEL, unit

from streamd import forgetting, traces
from streamd.config import Config, GalleryConfig
from streamd.deliveries import REASON_FORGOTTEN, Deliveries
from streamd.errors import GalleryError
from streamd.events import Event, EventType, timestamp
from streamd.forgetting import forget_person, forget_stranger
from streamd.forgotten import Forgotten
from streamd.gallery.erasures import erasures_under_way
from streamd.gallery.folderrecords import FolderRecords, PhotoRecord, Stamp
from streamd.gallery.hub import Record
from streamd.gallery.mirror import Mirror
from streamd.gallery.rows import NewFace, ensure_person, insert_faces
from streamd.gallery.sharedwith import keep_shared
from streamd.gallery.store import GalleryStore
from streamd.gallery.strangers import Sighting, StrangerRecords, StrangerView
from streamd.gallery.undo import drop_old_undo
from streamd.journal import Entry, Journal
from streamd.sharing import sharing_of
from streamd.traces import erase_traces
from streamd.upkeep import ERASE_AFTER_S, Upkeep


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that somebody holds is given up soon, and so is a daemon that does not run."""
    monkeypatch.setattr("streamd.journalfile.BUSY_TIMEOUT_S", 0.2)
    monkeypatch.setattr(forgetting, "ANSWERS_WITHIN_S", 0.02)


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


def test_a_picture_that_was_somebody_elses_by_mistake_goes_with_whom_it_is_of(
    config: Config, store: GalleryStore
) -> None:
    store.add_faces("Bert", [face("ann", "photo:x.jpg"), face("bert", "photo:b.jpg")])
    wrong, right = store.faces_of(store.person("Bert").id)
    store.remove_face(wrong.id)
    store.add_faces("Ann", [face("ann", "photo:x.jpg")])
    store.remove_face(right.id)
    forget_person(config, store, "Ann", photos=False)
    assert left(config, chip("ann"), np.asarray(unit("ann"), "<f4").tobytes()) == []
    store.undo()
    assert [(p.name, p.faces) for p in store.people()] == [("Bert", 1)]
    with pytest.raises(GalleryError, match="concerned somebody who was forgotten"):
        store.undo(3)


def test_a_stranger_who_got_the_wrong_name_first_goes_with_whom_it_was(config: Config, store: GalleryStore) -> None:
    records = StrangerRecords(store.database)
    seen(records, "unknown-1", "ann")
    records.assign("unknown-1", "Bert")
    store.undo()
    records.assign("unknown-1", "Ann")
    forget_person(config, store, "Ann", photos=False)
    assert left(config, chip("ann")) == []


def test_a_stranger_whose_name_was_taken_back_leaves_nothing_of_it(config: Config, store: GalleryStore) -> None:
    records = StrangerRecords(store.database)
    seen(records, "unknown-1", "ann")
    records.assign("unknown-1", "Bert")
    store.undo()
    forget_stranger(config, store, "unknown-1")
    assert left(config, chip("ann")) == []
    with pytest.raises(GalleryError, match="undo"):
        store.undo()


def test_a_picture_that_is_still_somebody_elses_stays(config: Config, store: GalleryStore) -> None:
    for name in ("Ann", "Bert"):
        store.add_faces(name, [face("both", "photo:x.jpg")])
    forget_person(config, store, "Ann", photos=False)
    assert [(p.name, p.faces) for p in store.people()] == [("Bert", 1)]
    store.remove_source("photo:x.jpg")
    store.undo()
    assert [(p.name, p.faces) for p in store.people()] == [("Bert", 1)]


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


def test_ids_that_the_daemon_found_to_be_one_are_forgotten_with_who_got_a_name(
    config: Config, store: GalleryStore
) -> None:
    records = StrangerRecords(store.database)
    for stranger in ("unknown-1", "unknown-2", "unknown-3"):
        seen(records, stranger, stranger)
    records.merge("unknown-1", "unknown-2", noted=False)
    version = store.version()
    records.merge("unknown-2", "unknown-3", noted=False)
    assert store.version() == version, "seeing strangers is no change of the gallery"
    records.assign("unknown-3", "Ann")
    unknown = EventType.FACE_UNKNOWN
    tell(config, *(event(n, unknown, f"t{n}", stranger=f"unknown-{n}", snapshot={"face": f"{n}"}) for n in range(1, 5)))
    assert forget_person(config, store, "Ann", photos=False).events == 3
    assert [e.stranger for e in told(config)] == [None, None, None, "unknown-4"]
    assert pictures(config) == ["4"]
    assert left(config, b"unknown-1", b"unknown-2", b"unknown-3") == []


def test_a_stranger_of_another_box_is_not_who_has_that_id_here(config: Config, store: GalleryStore) -> None:
    store.add_faces("Ann", [face("ann", "shared:unknown:unknown-1")])
    seen(StrangerRecords(store.database), "unknown-1", "somebody else")
    tell(config, event(1, EventType.FACE_UNKNOWN, "t1", stranger="unknown-1", snapshot={"face": "1"}))
    forget_person(config, store, "Ann", photos=False)
    assert pictures(config) == ["1"]
    assert told(config)[0].stranger == "unknown-1"


def test_an_id_that_went_and_came_back_is_its_own(config: Config, store: GalleryStore) -> None:
    records = StrangerRecords(store.database)
    for stranger in ("unknown-1", "unknown-2"):
        seen(records, stranger, stranger)
    records.merge("unknown-1", "unknown-2", noted=False)
    seen(records, "unknown-1", "again")
    assert records.drop_old(2.0) == 2
    seen(records, "unknown-2", "unknown-2")
    records.assign("unknown-2", "Ann")
    tell(config, event(1, EventType.FACE_UNKNOWN, "t1", stranger="unknown-1", snapshot={"face": "1"}))
    forget_person(config, store, "Ann", photos=False)
    assert pictures(config) == ["1"]


def test_a_merge_of_strangers_that_was_taken_back_takes_nobody_along(config: Config, store: GalleryStore) -> None:
    records = StrangerRecords(store.database)
    for stranger in ("unknown-1", "unknown-2"):
        seen(records, stranger, stranger)
    records.merge("unknown-1", "unknown-2")
    store.undo()
    assert records.drop_old(2.0) == 2
    seen(records, "unknown-2", "unknown-2")
    records.assign("unknown-2", "Ann")
    tell(config, event(1, EventType.FACE_UNKNOWN, "t1", stranger="unknown-1", snapshot={"face": "1"}))
    forget_person(config, store, "Ann", photos=False)
    assert pictures(config) == ["1"]


@pytest.fixture
def stranger(config: Config, store: GalleryStore) -> str:
    """An id that another one turned out to be, both of whom events show."""
    records = StrangerRecords(store.database)
    for each in ("unknown-1", "unknown-2", "unknown-3"):
        seen(records, each, each)
    records.merge("unknown-1", "unknown-2", noted=False)
    unknown = EventType.FACE_UNKNOWN
    tell(config, *(event(n, unknown, f"t{n}", stranger=f"unknown-{n}", snapshot={"face": f"{n}"}) for n in range(1, 4)))
    return "unknown-2"


def only_the_other_stranger_is_left(config: Config) -> bool:
    return (
        left(config, b"unknown-1", b"unknown-2", b"erasing", chip("unknown-1"), chip("unknown-2")) == []
        and left(config, b"unknown-3", chip("unknown-3")) == [b"unknown-3", chip("unknown-3")]
        and pictures(config) == ["3"]
    )


def test_a_stranger_is_forgotten_with_all_who_were_found_to_be_the_same(
    config: Config, store: GalleryStore, stranger: str
) -> None:
    (config.state_dir / "index-x.rows").write_bytes(b"of people with a name")
    erased = forget_stranger(config, store, stranger)
    assert (erased.events, erased.caches, erased.is_gone, erased.undone) == (2, 0, True, ())
    assert only_the_other_stranger_is_left(config)
    with pytest.raises(GalleryError, match="there is no unknown 'unknown-2'"):
        forget_stranger(config, store, stranger)


def test_what_was_cut_short_of_a_stranger_the_daemon_finishes(
    config: Config, store: GalleryStore, stranger: str
) -> None:
    StrangerRecords(store.database).forget(stranger)  # and the process was killed
    Upkeep(store, config).clean_up(later())
    assert only_the_other_stranger_is_left(config)


def test_what_was_cut_short_of_a_stranger_the_same_command_finishes(
    config: Config, store: GalleryStore, stranger: str
) -> None:
    with being_written(config.journal_file):
        assert "journal" in forget_stranger(config, store, stranger).undone[0]
    assert pictures(config) == ["1", "2", "3"]
    with pytest.raises(GalleryError, match="there is no person"):
        forget_person(config, store, stranger, photos=False)
    assert forget_stranger(config, store, stranger).undone == ()
    assert only_the_other_stranger_is_left(config)


def test_beside_a_daemon_a_stranger_is_erased_again_when_all_know_it(
    config: Config, store: GalleryStore, stranger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "daemon_runs", lambda _: True)
    forget_stranger(config, store, stranger)
    seen(StrangerRecords(store.database), stranger, stranger)  # by a worker that had not heard of it
    tell(config, event(4, EventType.FACE_LEFT, "t2", stranger=stranger, snapshot={"face": "4"}))
    Upkeep(store, config).clean_up(later())
    assert only_the_other_stranger_is_left(config)


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


@pytest.fixture
def ann(config: Config, store: GalleryStore) -> str:
    """The id of somebody who was enrolled and seen, of whom an index is saved and a picture kept."""
    store.add_faces("Ann", [face("ann", "photo:ann.jpg")])
    ann_id = store.person("Ann").id
    tell(
        config,
        event(1, EventType.FACE_IDENTIFIED, "t1", identity={"id": ann_id, "name": "Ann"}, snapshot={"face": "1"}),
    )
    (config.state_dir / "index-x.rows").write_bytes(b"Ann")
    return ann_id


def is_everywhere_gone(config: Config) -> bool:
    return left(config, b"Ann", b"ann.jpg", b"erasing", chip("ann")) == [] and pictures(config) == []


@contextmanager
def being_written(path: Path) -> Iterator[None]:
    """Another program keeps a transaction open."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def limit_attached(store: GalleryStore, most: int) -> None:
    """With 0, SQLite cannot rewrite the file, as where the disk has no room for it."""
    store.database._connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, most)


def later() -> float:
    return time.time() + ERASE_AFTER_S


@pytest.mark.usefixtures("ann")
def test_what_a_sinks_destination_said_does_not_name_them_any_more(config: Config, store: GalleryStore) -> None:
    with Deliveries(config.deliveries_file) as courier:
        for seq in (1, 2):
            courier.put_aside("bell", seq, reason="no sound for Ann", at=timestamp(1.0))
        courier.settle("bell", 2)
        assert left(config, b"for Ann")
        receipt = forget_person(config, store, "Ann", photos=False)
        assert receipt.undone == ()
        assert [(each.seq, each.reason) for each in courier.aside()] == [(1, REASON_FORGOTTEN)]
        assert left(config, b"for Ann") == []


@pytest.mark.usefixtures("ann")
def test_deliveries_that_cannot_be_written_leave_the_erasure_noted(
    config: Config, store: GalleryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Deliveries(config.deliveries_file):
        pass
    monkeypatch.setattr("streamd.deliveries._BUSY_TIMEOUT_S", 0.1)
    with being_written(config.deliveries_file):
        receipt = forget_person(config, store, "Ann", photos=False)
    assert "deliveries.sqlite" in receipt.undone[0]
    assert erasures_under_way(store.database)
    assert forget_person(config, store, "Ann", photos=False).undone == ()
    assert not erasures_under_way(store.database)


def test_a_file_that_cannot_be_rewritten_does_not_keep_the_rest(config: Config, store: GalleryStore, ann: str) -> None:
    limit_attached(store, 0)
    receipt = forget_person(config, store, "Ann", photos=False)
    assert (receipt.erased, receipt.events, receipt.caches) == (False, 1, 1)
    assert "too many attached" in receipt.undone[0]
    assert any("same command" in line for line in receipt.lines())
    assert pictures(config) == []
    assert told(config)[0].identity is None
    assert [erasure.person_id for erasure in erasures_under_way(store.database)] == [ann]
    limit_attached(store, 10)
    again = forget_person(config, store, "Ann", photos=False)
    assert (again.person_id, again.faces, again.erased, again.undone) == (ann, 1, True, ())
    assert is_everywhere_gone(config)
    with pytest.raises(GalleryError, match="there is no person 'Ann'"):
        forget_person(config, store, "Ann", photos=False)


def test_a_journal_that_cannot_be_written_is_erased_by_the_same_command_again(
    config: Config, store: GalleryStore, ann: str
) -> None:
    with being_written(config.journal_file):
        receipt = forget_person(config, store, "Ann", photos=False)
    assert (receipt.erased, receipt.events) == (False, 0)
    assert "journal" in receipt.undone[0]
    assert store.people() == []
    assert left(config, b"Ann", chip("ann")) == [b"Ann"]
    assert forget_person(config, store, "Ann", photos=False).events == 1
    assert is_everywhere_gone(config)


def test_what_was_cut_short_the_daemon_finishes(config: Config, store: GalleryStore, ann: str) -> None:
    store.forget("Ann")  # and the process was killed
    Upkeep(store, config).clean_up(time.time())
    assert told(config)[0].identity == {"id": ann, "name": "Ann"}, "whoever began it may be at it"
    Upkeep(store, config).clean_up(later())
    assert is_everywhere_gone(config)


def test_what_the_daemon_cannot_finish_it_tries_again(
    config: Config, store: GalleryStore, ann: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.forget("Ann")
    limit_attached(store, 0)
    Upkeep(store, config).clean_up(later())
    assert "is not erased everywhere yet" in caplog.text
    assert "Ann" not in caplog.text
    limit_attached(store, 10)
    Upkeep(store, config).clean_up(later())
    assert is_everywhere_gone(config)


def photo_of_ann(config: Config, store: GalleryStore) -> Path:
    """In the watched folder, and enrolled from there."""
    photo = config.gallery_folder / "Ann" / "a.jpg"
    photo.parent.mkdir(parents=True)
    photo.write_bytes(b"jpeg")
    store.add_faces("Ann", [face("ann", "folder:Ann/a.jpg")], origin="folder")
    return photo


def test_photos_are_known_until_the_erasure_is_done(config: Config, store: GalleryStore) -> None:
    photo = photo_of_ann(config, store)
    store.forget("Ann")
    receipt = forget_person(config, store, "Ann", photos=True)
    assert receipt.photos_deleted == (str(photo),)
    assert is_everywhere_gone(config)


@pytest.mark.parametrize("asked_for", [True, False])
def test_photos_that_are_to_go_are_deleted_by_the_daemon(config: Config, store: GalleryStore, asked_for: bool) -> None:
    config = Config(state_dir=config.state_dir, gallery=GalleryConfig(write_folder=not asked_for))
    photo = photo_of_ann(config, store)
    store.forget("Ann", with_photos=asked_for)  # and the process was killed
    Upkeep(store, config).clean_up(later())
    assert not photo.exists()
    assert is_everywhere_gone(config)


def test_a_photo_that_was_enrolled_again_meanwhile_stays(config: Config, store: GalleryStore) -> None:
    photo = photo_of_ann(config, store)
    store.forget("Ann", with_photos=True)
    record = PhotoRecord("Ann/a.jpg", Stamp(1, 1), MODEL)
    FolderRecords(store.database).keep_face(record, "Ann", face("other", "folder:Ann/a.jpg"))
    Upkeep(store, config).clean_up(later())
    assert photo.exists()


def test_somebody_else_who_has_the_name_by_then_keeps_their_events(
    config: Config, store: GalleryStore, ann: str
) -> None:
    store.forget("Ann")
    store.add_faces("Ann", [face("other", "photo:other.jpg")])
    other = {"id": store.person("Ann").id, "name": "Ann"}
    tell(config, event(2, EventType.FACE_IDENTIFIED, "t2", identity=other))
    Upkeep(store, config).clean_up(later())
    assert [e.identity for e in told(config)] == [None, other]
    assert erasures_under_way(store.database) == []


def shared(config: Config, store: GalleryStore) -> Config:
    gallery = GalleryConfig(kind="pgvector", dsn="postgresql://nowhere/x")
    keep_shared(store, gallery)
    return Config(state_dir=config.state_dir, runtime_dir=config.runtime_dir, gallery=gallery)


def forgotten_elsewhere(person_id: str) -> list[Record]:
    return [Record("person", person_id, int(later() * 1e6), "forgotten")]


def test_whom_another_box_forgot_is_gone_with_their_pictures(config: Config, store: GalleryStore, ann: str) -> None:
    config = shared(config, store)
    sharing = sharing_of(store, config, final=True)
    for erasure in sharing.mirror.apply(forgotten_elsewhere(ann)):
        sharing._on_forgotten(erasure)
    assert is_everywhere_gone(config)


def test_photos_that_were_refused_because_of_somebody_are_looked_at_again_when_another_box_forgets_them(
    config: Config, store: GalleryStore, ann: str
) -> None:
    shared(config, store)
    records = FolderRecords(store.database)
    for reason in ("other_person", "blurred"):
        records.refuse(PhotoRecord(f"Bert/{reason}.jpg", Stamp(1, 1), MODEL, reason))
    Mirror(store).apply(forgotten_elsewhere(ann))
    assert list(records.photos()) == ["Bert/blurred.jpg"]


def test_beside_a_daemon_whom_another_box_forgot_is_erased_again_when_all_know_it(
    config: Config, store: GalleryStore, ann: str
) -> None:
    config = shared(config, store)
    sharing = sharing_of(store, config, final=False)
    for erasure in sharing.mirror.apply(forgotten_elsewhere(ann)):
        sharing._on_forgotten(erasure)
    assert pictures(config) == []
    tell(config, event(2, EventType.FACE_IDENTIFIED, "t2", identity={"id": ann, "name": "Ann"}, snapshot={"face": "2"}))
    Upkeep(store, config).clean_up(later())
    assert is_everywhere_gone(config)


def test_a_box_that_was_killed_when_it_heard_of_it_erases_them_later(
    config: Config, store: GalleryStore, ann: str
) -> None:
    config = shared(config, store)
    Mirror(store).apply(forgotten_elsewhere(ann))
    assert pictures(config) == ["1"]
    Upkeep(store, config).clean_up(later())
    assert is_everywhere_gone(config)


def test_an_erasure_that_not_all_have_noticed_stays_noted(config: Config, store: GalleryStore, ann: str) -> None:
    erased = erase_traces(config, store, store.forget("Ann"), final=False)
    assert (erased.events, erased.undone) == (1, ())
    assert [erasure.name for erasure in erasures_under_way(store.database)] == ["Ann"]


@pytest.mark.parametrize("again", [False, True], ids=["gone", "enrolled again"])
def test_somebody_whose_enrolment_was_taken_back_can_be_forgotten(
    config: Config, store: GalleryStore, ann: str, again: bool
) -> None:
    store.undo()
    if again:
        store.add_faces("Ann", [face("ann", "photo:other.jpg")])
    receipt = forget_person(config, store, "Ann", photos=False)
    assert (receipt.faces, receipt.events) == (int(again), 1)
    assert is_everywhere_gone(config)
    forgotten = {c.person_id for c in store.changes() if c.what == "person.forgotten"}
    assert ann in forgotten, "so that everybody hears of it"
    with pytest.raises(GalleryError, match="no person"):
        forget_person(config, store, "Ann", photos=False)


def test_of_somebody_whose_enrolment_was_taken_back_long_ago_the_journal_knows(
    config: Config, store: GalleryStore, ann: str
) -> None:
    store.undo()
    with store.database.write() as connection:
        drop_old_undo(connection, later())
    assert forget_person(config, store, "Ann", photos=False).events == 1
    assert is_everywhere_gone(config)


def carry(here: GalleryStore, there: GalleryStore) -> None:
    """What another box does not know yet, without a server."""
    records = Mirror(here).unsent(100)
    Mirror(here).sent(records)
    Mirror(there).apply(records)


@pytest.fixture
def other(config: Config, store: GalleryStore, ann: str, tmp_path: Path) -> Iterator[GalleryStore]:
    """Another box, which knows Ann, too."""
    with GalleryStore(tmp_path / "other" / "gallery.sqlite") as opened:
        for each in (store, opened):
            shared(Config(state_dir=each.path.parent), each)
        carry(store, opened)
        assert opened.person("Ann").id == ann
        yield opened


def test_other_boxes_forget_somebody_whose_enrolment_was_taken_back_and_who_is_gone_there(
    config: Config, store: GalleryStore, other: GalleryStore
) -> None:
    enrolled = store.changes()[0].version
    carry(store, other)
    store.undo(enrolled)
    carry(store, other)
    assert other.people() == []
    there = Config(state_dir=other.path.parent, gallery=GalleryConfig(kind="pgvector", dsn="postgresql://nowhere/x"))
    assert erasures_under_way(other.database) == []
    store.forget("Ann")
    carry(store, other)
    assert [erasure.person_id for erasure in erasures_under_way(other.database)] != []
    Upkeep(other, there).clean_up(later())
    assert erasures_under_way(other.database) == []


def test_who_was_taken_back_here_and_forgotten_on_another_box_is_erased(
    config: Config, store: GalleryStore, other: GalleryStore
) -> None:
    other.forget("Ann")
    store.undo(store.changes()[0].version)
    carry(store, other)
    carry(other, store)
    Upkeep(store, config).clean_up(later())
    assert told(config)[0].identity is None
    assert pictures(config) == []


def test_what_another_box_changed_does_not_bring_back_who_was_forgotten_meanwhile(
    config: Config, store: GalleryStore, other: GalleryStore
) -> None:
    store.forget("Ann")  # and the server is away
    for number in range(3):  # with stamps of the same moment, and later ones
        other.describe("Ann", notes=str(number))
    carry(other, store)
    assert store.people() == []
    carry(store, other)
    assert other.people() == []


def test_a_name_from_before_a_merge_or_another_name_takes_nobody_along(
    config: Config, store: GalleryStore, ann: str
) -> None:
    store.add_faces("Anna", [face("anna", "photo:anna.jpg")])
    store.merge("Ann", "Anna")
    store.rename("Anna", "Anya")
    for name in ("Ann", "Anna"):
        with pytest.raises(GalleryError, match="no person"):
            forget_person(config, store, name, photos=False)
    assert told(config)[0].identity is not None


def test_photos_of_somebody_whose_enrolment_was_taken_back_go_when_that_is_wished(
    config: Config, store: GalleryStore
) -> None:
    photo = photo_of_ann(config, store)
    store.undo()
    FolderRecords(store.database).refuse(PhotoRecord("Ann/a.jpg", Stamp(1, 1), MODEL, "duplicate"))
    receipt = forget_person(config, store, "Ann", photos=True)
    assert receipt.photos_deleted == (str(photo),)
    assert is_everywhere_gone(config)


def test_what_another_worker_told_before_it_had_noticed_goes_as_well(
    config: Config, store: GalleryStore, ann: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The publisher took the name from its events, and so nothing led to their pictures."""
    monkeypatch.setattr(forgetting, "daemon_runs", lambda _: True)
    monkeypatch.setattr(forgetting, "_await_notice", lambda *_: True)
    receipt = forget_person(config, store, "Ann", photos=False)
    assert (receipt.erased, receipt.noticed) == (True, True)
    assert left(config, b"Ann", b"ann.jpg", chip("ann")) == [], "nor in the note"
    for name, age_s in (("ann", 15.0), ("of-bert", 15.0), ("on-its-way", 0.0), ("earlier", 300.0)):
        path = config.snapshots_dir / "day" / f"{name}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"jpeg")
        os.utime(path, (time.time() - age_s,) * 2)
    tell(config, event(2, EventType.FACE_UNKNOWN, "t2", stranger="unknown-1", snapshot={"face": "2"}))
    named = {"id": ann, "name": "Ann"}
    late = replace(
        event(3, EventType.FACE_REVISED, "t2", identity=named, snapshot={"face": "3"}), at=timestamp(later())
    )
    with Journal(config.journal_file) as journal:
        known = Forgotten(journal)
        gone = event(4, EventType.PERSON_FORGOTTEN, "", identity={"id": ann})
        of_bert = replace(
            event(5, EventType.FACE_LEFT, "t3", snapshot={"face": "day/of-bert.jpg"}), at=timestamp(later())
        )
        entries = [Entry("v", "e", n, told) for n, told in enumerate((gone, late, of_bert), start=1)]
        journal.append(known.keep_out(entries))
    Upkeep(store, config).clean_up(later())
    assert [(e.snapshot, e.stranger) for e in told(config) if e.track == "t2"] == [(None, None)] * 2
    assert sorted(path.stem for path in config.snapshots_dir.rglob("*.jpg")) == ["earlier", "of-bert", "on-its-way"]
    assert [path for path in config.snapshots_dir.iterdir() if path.is_file()] == []
    assert erasures_under_way(store.database) == []


def test_who_goes_with_their_folder_is_gone_everywhere(config: Config, store: GalleryStore) -> None:
    """As they are on the other boxes of a shared gallery."""
    photo_of_ann(config, store).unlink()
    named = {"id": store.person("Ann").id, "name": "Ann"}
    tell(config, event(1, EventType.FACE_IDENTIFIED, "t1", identity=named, snapshot={"face": "1"}))
    FolderRecords(store.database).remove(["Ann/a.jpg"])
    assert FolderRecords(store.database).forget_faceless("Ann")
    assert store.people() == []
    Upkeep(store, config).clean_up(later())
    assert told(config)[0].identity is None
    shutil.rmtree(config.gallery_folder)
    assert is_everywhere_gone(config)


@pytest.mark.parametrize("step", ["drop_saved", "erase_person", "erasure_is_done"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_cut_short_at_any_step_it_is_finished_by_the_daemon(
    config: Config, store: GalleryStore, ann: str, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    real = getattr(traces, step)

    def cut_short(*args: object, **more: object) -> None:
        if after:
            real(*args, **more)
        raise KeyboardInterrupt

    monkeypatch.setattr(traces, step, cut_short)
    with pytest.raises(KeyboardInterrupt):
        forget_person(config, store, "Ann", photos=False)
    monkeypatch.undo()
    Upkeep(store, config).clean_up(later())
    store.close()
    assert is_everywhere_gone(config)
