from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from galleryparts import MODEL, face, unit

from streamd.config import Config, GalleryConfig
from streamd.errors import GalleryError
from streamd.events import Event, EventType, timestamp
from streamd.gallery.store import GalleryStore
from streamd.gallery.strangers import Sighting, StrangerRecords, StrangerView
from streamd.journal import Entry, Journal
from streamd.upkeep import CLEAN_EVERY_S, Upkeep
from streamd.wallclock import Calendar

DAY_S = 86_400.0
NOW_S = 1.8e9


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GalleryStore]:
    with GalleryStore(tmp_path / "gallery.sqlite") as opened:
        yield opened


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def settings(journal: Path, **gallery: object) -> Config:
    return Config(state_dir=journal.parent, gallery=GalleryConfig(**gallery))  # type: ignore[arg-type]


def kinds(events: list[Event]) -> list[str]:
    return [event.type.value for event in events]


def sighting(stranger: str, *, at: float = 1.0) -> Sighting:
    return Sighting(stranger, "door-1", "door", at, MODEL, [StrangerView(unit(1), b"jpeg", 0.8)])


def test_people_are_told_once(store: GalleryStore, journal: Path) -> None:
    upkeep = Upkeep(store, settings(journal))
    store.add_faces("Anna", [face(unit(1))])
    assert kinds(upkeep.news()) == ["person.enrolled"]
    upkeep.note_told()
    assert upkeep.news() == []


def test_what_happened_while_no_worker_ran_is_told_by_the_next(store: GalleryStore, journal: Path) -> None:
    store.add_faces("Anna", [face(unit(1))])
    first = Upkeep(store, settings(journal))
    store.add_faces("Bert", [face(unit(2), "photo:b")])
    assert kinds(first.news()) == ["person.enrolled"]
    first.note_told()
    store.forget("Bert")
    assert kinds(Upkeep(store, settings(journal)).news()) == ["person.forgotten"]


def test_what_cannot_be_noted_as_told_is_noted_by_the_next_try(
    store: GalleryStore, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upkeep = Upkeep(store, settings(journal))
    store.add_faces("Anna", [face(unit(1))])
    store.forget("Anna")
    assert kinds(upkeep.news()) == ["person.enrolled", "person.forgotten"]
    with monkeypatch.context() as busy:
        busy.setattr(store.database, "write", lambda: store.database.scalar("not SQL"))  # raises GalleryError
        with pytest.raises(GalleryError):
            upkeep.note_told()
    upkeep.note_told()
    assert upkeep.news() == []


def test_what_a_worker_sent_before_it_was_killed_is_not_told_again_where_the_journal_has_it(
    store: GalleryStore, journal: Path
) -> None:
    records = StrangerRecords(store.database)
    records.record(sighting("unknown-7f3a"))
    seen = Event(EventType.FACE_UNKNOWN, "door", timestamp(1), "1" * 32, track="door-1", stranger="unknown-7f3a")
    killed = Upkeep(store, settings(journal))
    with Journal(journal) as opened:
        opened.append([Entry("w", "e", 1, seen)])
        records.assign("unknown-7f3a", "Anna")
        sent = killed.news()
        assert kinds(sent) == ["person.enrolled", "face.revised"]
        opened.append([Entry("w", "e", 2, sent[0])])  # the other one was on its way
        store.add_faces("Bert", [face(unit(2), "photo:b")])
        again = Upkeep(store, settings(journal))
        left = again.news()
        assert kinds(left) == ["face.revised", "person.enrolled"]
        assert left[0].id == sent[1].id
        opened.append([Entry("w", "f", n, event) for n, event in enumerate(left, start=1)])
        assert Upkeep(store, settings(journal)).news() == []


def test_changes_before_the_first_worker_looks_for_them_are_told_by_the_next(
    store: GalleryStore, journal: Path
) -> None:
    Upkeep(store, settings(journal))
    store.add_faces("Anna", [face(unit(1))])
    assert kinds(Upkeep(store, settings(journal)).news()) == ["person.enrolled"]


def test_past_events_of_a_stranger_who_gets_a_name_are_revised(store: GalleryStore, journal: Path) -> None:
    records = StrangerRecords(store.database)
    records.record(sighting("unknown-7f3a"))
    unknown = [
        Event(EventType.FACE_UNKNOWN, camera, timestamp(n), f"{n:032x}", track=f"{camera}-{n}", stranger=stranger)
        for n, (camera, stranger) in enumerate(
            [("door", "unknown-7f3a"), ("yard", "unknown-7f3a"), ("door", "unknown-1")]
        )
    ]
    with Journal(journal) as opened:
        opened.append([Entry("w", "e", n, event) for n, event in enumerate(unknown, start=1)])
    upkeep = Upkeep(store, settings(journal))
    records.assign("unknown-7f3a", "Anna")
    events = upkeep.news()
    assert kinds(events) == ["person.enrolled", "face.revised", "face.revised"]
    assert [e.revises for e in events[1:]] == [unknown[0].id, unknown[1].id]
    assert [e.track for e in events[1:]] == ["door-0", "yard-1"]
    assert all((e.identity or {})["name"] == "Anna" and e.stranger == "unknown-7f3a" for e in events[1:])


def test_past_events_under_ids_that_were_found_to_be_one_are_revised_too(store: GalleryStore, journal: Path) -> None:
    """Found by the daemon, and by hand; and what is taken back of it is taken back of them."""
    records = StrangerRecords(store.database)
    ids = ["unknown-1", "unknown-2", "unknown-3", "unknown-4"]
    for who in ids:
        records.record(sighting(who))
    unknown = [
        Event(EventType.FACE_UNKNOWN, "door", timestamp(n), f"{n:032x}", track=f"door-{n}", stranger=who)
        for n, who in enumerate(ids)
    ]
    with Journal(journal) as opened:
        opened.append([Entry("w", "e", n, event) for n, event in enumerate(unknown, start=1)])
    records.merge("unknown-1", "unknown-2", noted=False)
    records.merge("unknown-2", "unknown-3")
    merged = store.version()
    upkeep = Upkeep(store, settings(journal))
    records.assign("unknown-3", "Anna")
    named = upkeep.news()[1:]
    assert [(e.revises, e.stranger) for e in named] == [(e.id, e.stranger) for e in unknown[:3]]
    assert all((e.identity or {})["name"] == "Anna" for e in named)
    upkeep.note_told()
    store.undo(merged)
    apart = upkeep.news()
    assert [e.revises for e in apart] == [unknown[0].id, unknown[1].id]
    assert all(e.identity is None for e in apart)
    upkeep.note_told()
    store.undo()  # the newest that was not taken back
    assert [e.revises for e in upkeep.news()] == [unknown[2].id]


def test_a_change_taken_back_says_nothing_once_its_person_is_forgotten(store: GalleryStore, journal: Path) -> None:
    store.add_faces("Anna", [face(unit(1))])
    upkeep = Upkeep(store, settings(journal))
    store.rename("Anna", "Ann")
    store.undo()
    store.forget("Anna")
    assert kinds(upkeep.news()) == ["person.forgotten"]


def test_what_is_too_old_goes_once_an_hour(store: GalleryStore, journal: Path) -> None:
    records = StrangerRecords(store.database)
    upkeep = Upkeep(store, settings(journal, unknown_retention_days=2, undo_days=1))
    records.record(sighting("unknown-1", at=0.0))
    records.record(sighting("unknown-2", at=1.5 * DAY_S))
    store.add_faces("Anna", [face(unit(1))])
    upkeep.clean_up(3 * DAY_S, now_s=0.0)
    assert [s.id for s in records.all()] == ["unknown-2"]
    upkeep.clean_up(30 * DAY_S, now_s=CLEAN_EVERY_S - 1)
    assert [s.id for s in records.all()] == ["unknown-2"]
    upkeep.clean_up(30 * DAY_S, now_s=CLEAN_EVERY_S)
    assert records.all() == []


def test_whom_a_stranger_turned_out_to_be_is_known_as_long_as_events_may_tell_of_them(
    store: GalleryStore, journal: Path
) -> None:
    records = StrangerRecords(store.database)
    for stranger in ("unknown-1", "unknown-2"):
        records.record(sighting(stranger))
    records.merge("unknown-1", "unknown-2", noted=False)
    with store.database.write() as connection:
        connection.execute("UPDATE stranger_merges SET at_wall_s = ?", (NOW_S,))
    Upkeep(store, settings(journal)).clean_up(NOW_S + 30.5 * DAY_S)
    assert records.faces(MODEL).gone == {"unknown-1"}
    Upkeep(store, settings(journal)).clean_up(NOW_S + 31.5 * DAY_S)
    assert records.faces(MODEL).gone == frozenset()


def test_a_clock_that_was_ahead_at_the_start_does_not_end_the_cleaning(store: GalleryStore, journal: Path) -> None:
    records = StrangerRecords(store.database)
    config = settings(journal, unknown_retention_days=2)
    upkeep = Upkeep(store, config)
    upkeep.clean_up(NOW_S + 400 * DAY_S, now_s=0.0)
    records.record(sighting("unknown-1", at=NOW_S))
    picture = config.snapshots_dir / "2026-03-01" / "1.jpg"
    picture.parent.mkdir(parents=True)
    picture.touch()
    os.utime(picture, (NOW_S, NOW_S))
    upkeep.clean_up(NOW_S + 30 * DAY_S, now_s=30 * DAY_S)
    assert records.all() == []
    assert not picture.exists()


def test_a_date_that_is_not_believed_deletes_nothing(store: GalleryStore, journal: Path) -> None:
    config = settings(journal, retention_days={"group=visitor": 30})
    store.add_faces("Anna", [face(unit(1))])
    store.label("Anna", [("group", "visitor")])
    with store.database.write() as connection:
        connection.execute("UPDATE people SET created_wall_s = ?", (NOW_S,))
    records = StrangerRecords(store.database)
    records.record(sighting("unknown-1", at=NOW_S))
    picture = config.snapshots_dir / "2026-03-01" / "1.jpg"
    picture.parent.mkdir(parents=True)
    picture.touch()
    os.utime(picture, (NOW_S, NOW_S))
    ahead_s = NOW_S + 3650 * DAY_S

    def kept() -> tuple[bool, bool, bool]:
        Upkeep(store, config).clean_up(ahead_s)
        return bool(store.people()), bool(records.all()), picture.exists()

    with Journal(journal) as opened:
        opened.note_date(Calendar(NOW_S))
        assert kept() == (True, True, True)
        opened.note_date(Calendar(NOW_S, ahead_s))
        assert kept() == (True, True, True)
        opened.note_date(Calendar(ahead_s))
    journal.rename(whole := journal.with_suffix(".whole"))
    journal.write_bytes(b"no journal" * 1000)
    assert kept() == (True, True, True), "the date is not known"
    whole.rename(journal)
    assert kept() == (False, False, False)


def test_people_with_a_label_whose_time_is_over_are_forgotten_everywhere(store: GalleryStore, journal: Path) -> None:
    for n, (name, label) in enumerate((("Anna", "visitor"), ("Bert", "staff"), ("Carla", "visitor"))):
        store.add_faces(name, [face(unit(n), f"photo:{n}")])
        store.label(name, [("group", label)])
    carla = store.person("Carla")
    with store.database.write() as connection:
        connection.execute("UPDATE people SET created_wall_s = ? WHERE id = ?", (NOW_S + 40 * DAY_S, carla.id))
        connection.execute("UPDATE people SET created_wall_s = ? WHERE id <> ?", (NOW_S, carla.id))
    told = Event(EventType.FACE_IDENTIFIED, "door", timestamp(1), "1" * 32, identity={"id": "x", "name": "Anna"})
    with Journal(journal) as opened:
        opened.append([Entry("w", "e", 1, told)])
        Upkeep(store, settings(journal, retention_days={"group=visitor": 30})).clean_up(NOW_S + 50 * DAY_S)
        assert b"Anna" in opened.since(0, 10)[0].body  # the workers may not have noticed
        Upkeep(store, settings(journal)).clean_up(NOW_S + 50 * DAY_S)
        (kept,) = opened.since(0, 10)
    assert [p.name for p in store.people()] == ["Bert", "Carla"]
    assert b"Anna" not in kept.body


def test_who_was_enrolled_before_the_clock_was_set_is_kept_as_long_as_others(
    store: GalleryStore, journal: Path
) -> None:
    store.add_faces("Anna", [face(unit(1))])
    store.label("Anna", [("group", "visitor")])
    with store.database.write() as connection:
        connection.execute("UPDATE people SET created_wall_s = 60")
    config = settings(journal, retention_days={"group=visitor": 30})

    def names_after(days: float) -> list[str]:
        Upkeep(store, config).clean_up(NOW_S + days * DAY_S)
        return [p.name for p in store.people()]

    Upkeep(store, config).clean_up(40 * DAY_S)
    assert names_after(0) == names_after(29) == ["Anna"]
    assert names_after(30) == []
