"""A state directory from the first streamd, upgraded and rolled back."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from galleryparts import MODEL, face, unit
from publisherprocess import an_event

import streamd
from streamd import backups, statedir
from streamd.backups import KEPT, KEPT_S, back_up, format_of, put_back, thin_out
from streamd.child import ChildContext, Launch, _guarded
from streamd.cli import main
from streamd.config import Config
from streamd.control import ControlLink
from streamd.erasure import erase_person
from streamd.errors import ExitCode, GalleryError, JournalError, UnavailableError
from streamd.gallery.archive import scratch_beside
from streamd.gallery.database import Database
from streamd.gallery.schema import MIGRATIONS
from streamd.gallery.store import GalleryStore, Mark
from streamd.journal import Entry, Journal
from streamd.journalfile import FORMAT
from streamd.sockets import Sockets
from streamd.statedir import admit_state, lock_state, read_record
from streamd.traces import erase_traces

VECTOR = unit(1)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    config = tmp_path / "streamd.yaml"
    config.write_text("state_dir: state\n")
    monkeypatch.setenv("STREAMD_CONFIG", str(config))
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


@pytest.fixture
def old(state: Path) -> Path:
    """What the first streamd left behind: gallery format 1, journal format 1, no record."""
    with closing(sqlite3.connect(state / "gallery.sqlite", isolation_level=None)) as db:
        for statement in MIGRATIONS[0]:
            db.execute(statement)
        db.execute("INSERT INTO people VALUES ('p1', 'Ann Smith', 'command', 1e9)")
        row = ("p1", MODEL, VECTOR.tobytes(), b"jpeg", 0.8, "photo:a.jpg", "0" * 64, 1e9)
        db.execute(f"INSERT INTO faces VALUES (1, {', '.join('?' * len(row))})", row)
        db.execute("INSERT INTO changes VALUES (1, 1e9, 'person.enrolled', 'p1', 'Ann Smith')")
        db.execute("PRAGMA user_version = 1")
    with Journal(state / "journal.sqlite") as journal:
        journal.append([Entry("w", "e", n, an_event(n)) for n in range(1, 4)])
    with closing(sqlite3.connect(state / "journal.sqlite", isolation_level=None)) as db:
        db.execute("DROP TABLE accounts")
        db.execute("PRAGMA user_version = 1")
    return state


def copies(state: Path) -> list[tuple[str, int]]:
    return [(copy.file, copy.format) for copy in backups.backups(state)]


def upgrade(state: Path) -> None:
    admit_state(state)
    with GalleryStore(state / "gallery.sqlite"), Journal(state / "journal.sqlite"):
        pass


def age(state: Path, name: str, format: int) -> None:
    """Make a file one of a later format."""
    with closing(sqlite3.connect(state / name, isolation_level=None)) as db:
        db.execute(f"PRAGMA user_version = {format}")


def test_whom_strangers_turned_out_to_be_survives_an_upgrade(old: Path) -> None:
    with closing(sqlite3.connect(old / "gallery.sqlite", isolation_level=None)) as db:
        for statement in (statement for migration in MIGRATIONS[1:5] for statement in migration):
            if "BEGIN" not in statement:
                db.execute(statement)
        db.execute("INSERT INTO strangers VALUES ('unknown-3', 'open', 1e9, 1e9, 1)")
        for n, merged in enumerate(
            ("unknown-1 into unknown-2", "unknown-3 into unknown-2", "unknown-2 into 4"), start=2
        ):
            db.execute(f"INSERT INTO changes VALUES ({n}, 1e9, 'stranger.merged', '', '{merged}', {n}, '')")
        db.execute("PRAGMA user_version = 5")
    upgrade(old)
    with closing(sqlite3.connect(old / "gallery.sqlite")) as db:
        found = db.execute("SELECT stranger_id, into_id FROM stranger_merges").fetchall()
    assert found == [("unknown-1", "unknown-2"), ("unknown-2", "4")]  # the third is back


def test_people_faces_and_events_survive_an_upgrade(old: Path) -> None:
    upgrade(old)
    with GalleryStore(old / "gallery.sqlite") as store, Journal(old / "journal.sqlite") as journal:
        assert [(p.name, p.faces) for p in store.people()] == [("Ann Smith", 1)]
        assert (store.delta(MODEL, Mark()).vectors == VECTOR).all()
        assert [row.seq for row in journal.since(0, 10)] == [1, 2, 3]
        store.add_faces("Bob", [face(unit(2), "photo:b")])
    assert (format_of(old / "gallery.sqlite"), format_of(old / "journal.sqlite")) == (len(MIGRATIONS), FORMAT)
    record = read_record(old)
    assert record is not None
    assert (record.streamd, record.files["journal.sqlite"]) == (streamd.__version__, FORMAT)


def test_each_file_is_copied_before_its_format_changes(old: Path) -> None:
    upgrade(old)
    assert sorted(copies(old)) == [("gallery.sqlite", 1), ("journal.sqlite", 1)]
    assert {path.stat().st_mode & 0o777 for path in (old / "backups").iterdir()} == {0o600}
    assert (old / "backups").stat().st_mode & 0o777 == 0o700
    with closing(sqlite3.connect(backups.backups(old, "gallery.sqlite")[0].path)) as db:
        assert db.execute("SELECT name FROM people").fetchall() == [("Ann Smith",)]


def test_a_start_without_an_upgrade_makes_no_copy(old: Path) -> None:
    upgrade(old)
    made = sorted(copies(old))
    upgrade(old)
    assert sorted(copies(old)) == made


def test_a_new_state_makes_no_copy(state: Path) -> None:
    upgrade(state)
    assert copies(state) == []


def test_without_room_for_a_copy_nothing_is_upgraded(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(GalleryError, match="no room for the copy"):
        Database(old / "gallery.sqlite")
    with pytest.raises(JournalError, match="no room for the copy"):
        Journal(old / "journal.sqlite")
    assert (format_of(old / "gallery.sqlite"), format_of(old / "journal.sqlite")) == (1, 1)
    monkeypatch.undo()
    upgrade(old)  # nothing of the failed tries stands in the way


def test_a_migration_that_fails_leaves_the_file_and_its_copy(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamd.gallery.database.MIGRATIONS", (*MIGRATIONS, ("CREATE TABLE people (id TEXT)",)))
    with pytest.raises(GalleryError, match="already exists"):
        Database(old / "gallery.sqlite")
    assert format_of(old / "gallery.sqlite") == 1
    assert copies(old) == [("gallery.sqlite", 1)]


def test_an_older_streamd_refuses_newer_data_and_says_how_to_go_back(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade(old)
    age(old, "gallery.sqlite", 99)
    monkeypatch.setattr(streamd, "__version__", "0.0.9")
    with pytest.raises(UnavailableError) as refused:
        admit_state(old)
    text = str(refused.value)
    assert "gallery.sqlite has format 99 (known: 6)" in text
    assert "written by streamd 0.1.0, and this is 0.0.9" in text
    assert "'streamd state restore'" in text
    assert str(backups.backups(old, "gallery.sqlite")[0].path) in text
    record = read_record(old)
    assert record is not None
    assert record.streamd == "0.1.0"


def test_without_a_copy_the_refusal_says_so(state: Path) -> None:
    upgrade(state)
    age(state, "journal.sqlite", 99)
    with pytest.raises(UnavailableError, match="there is no copy in"):
        admit_state(state)


def test_a_directory_of_a_newer_kind_is_refused(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statedir, "STATE_FORMAT", 2)
    admit_state(state)
    monkeypatch.undo()
    with pytest.raises(UnavailableError, match=r"state has format 2 \(known: 1\)"):
        admit_state(state)


def test_a_record_that_was_damaged_is_written_anew(state: Path) -> None:
    (state / "state.json").write_text("[]")
    admit_state(state)
    assert read_record(state) is not None


def test_the_way_back_restores_people_and_never_counts_events_twice(
    old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    upgrade(old)
    with GalleryStore(old / "gallery.sqlite") as store, Journal(old / "journal.sqlite") as journal:
        store.add_faces("Bob", [face(unit(2), "photo:b")])
        journal.append([Entry("w", "e", n, an_event(n)) for n in range(4, 6)])
    age(old, "gallery.sqlite", 99)
    age(old, "journal.sqlite", 99)
    assert main(["state", "restore", "--json"]) == ExitCode.OK
    restored = json.loads(capsys.readouterr().out)["restored"]
    assert sorted(entry["file"] for entry in restored) == ["gallery.sqlite", "journal.sqlite"]
    admit_state(old)
    with GalleryStore(old / "gallery.sqlite") as store, Journal(old / "journal.sqlite") as journal:
        assert [p.name for p in store.people()] == ["Ann Smith"]
        assert [row.seq for row in journal.since(0, 10)] == [1, 2, 3]
        # Subscribers have seen 4 and 5.
        assert [e and e.seq for e in journal.append([Entry("w", "f", 1, an_event(9))])] == [6]
    # What was there is not lost, either.
    assert ("gallery.sqlite", 99) in copies(old)


def test_a_copy_may_be_named(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    upgrade(old)
    with GalleryStore(old / "gallery.sqlite") as store:
        store.add_faces("Bob", [face(unit(2), "photo:b")])
    name = backups.backups(old, "gallery.sqlite")[0].path.name
    assert main(["state", "show"]) == ExitCode.OK
    assert name in capsys.readouterr().out
    assert main(["state", "restore", name]) == ExitCode.OK
    with GalleryStore(old / "gallery.sqlite") as store:
        assert [p.name for p in store.people()] == ["Ann Smith"]


def test_nothing_is_restored_while_the_daemon_runs(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    upgrade(old)
    lock = lock_state(old)
    assert main(["state", "restore"]) == ExitCode.UNAVAILABLE
    os.close(lock)
    assert "another streamd runs" in capsys.readouterr().err


def test_where_all_can_be_read_there_is_nothing_to_restore(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    upgrade(old)
    assert main(["state", "restore"]) == ExitCode.OK
    assert "nothing to do" in capsys.readouterr().out


def test_a_damaged_copy_is_not_put_back(old: Path) -> None:
    upgrade(old)
    copy = backups.backups(old, "gallery.sqlite")[0]
    copy.path.write_bytes(b"damaged" * 1000)
    before = (old / "gallery.sqlite").read_bytes()
    with pytest.raises(sqlite3.DatabaseError):
        put_back(copy, old / "gallery.sqlite")
    assert (old / "gallery.sqlite").read_bytes() == before


def test_the_last_few_copies_are_kept_and_none_for_long(old: Path) -> None:
    for _ in range(KEPT + 2):
        back_up(old / "gallery.sqlite", 1)
    assert len(copies(old)) == KEPT
    newest_s = backups.backups(old)[0].made_wall_s
    assert thin_out(old, now_wall_s=newest_s + KEPT_S + 60) == KEPT
    assert copies(old) == []


def test_a_copy_made_before_the_clock_was_set_is_kept(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(KEPT):
        back_up(old / "gallery.sqlite", 1)
    in_1970, earlier_in_1970 = time.gmtime(42.0), time.gmtime(41.0)
    with monkeypatch.context() as clock:
        clock.setattr(time, "gmtime", lambda: in_1970)
        clock.setattr(time, "time", lambda: 42.0)
        for _ in range(KEPT):
            back_up(old / "gallery.sqlite", 1)
        in_1970 = earlier_in_1970
        made = back_up(old / "gallery.sqlite", 1)
        assert made.exists()
    thin_out(old)
    assert made.exists()
    assert len(copies(old)) == 2 * KEPT


def test_a_copy_that_progresses_is_a_sign_of_life(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backups, "STEP_BYTES", 8192)
    with closing(sqlite3.connect(old / "gallery.sqlite", isolation_level=None)) as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]

    beats: list[float] = []
    link = SimpleNamespace(socket=None, due=lambda now_s: True, beat=lambda now_s, snapshot: beats.append(now_s))
    launch = Launch("worker@0", 0, "", Config(state_dir=old))
    with Sockets() as sockets:
        context = ChildContext(launch, sockets, cast(ControlLink, link))

        def serve(context: ChildContext) -> int:
            GalleryStore(old / "gallery.sqlite").close()
            return 0

        assert _guarded(serve, context) == 0
    assert len(beats) == -(-pages // 2)
    back_up(old / "gallery.sqlite", 1)
    assert len(beats) == -(-pages // 2)


def test_a_copy_is_of_one_moment_and_ends_although_others_write(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backups, "STEP_BYTES", 4096)
    with closing(sqlite3.connect(old / "gallery.sqlite", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        steps: list[int] = []

        def write() -> None:
            steps.append(1)
            db.execute("UPDATE people SET name = ?", (f"Ann {len(steps)}",))

        with backups.telling_of_copies(write):
            made = back_up(old / "gallery.sqlite", 1)
        assert len(steps) == db.execute("PRAGMA page_count").fetchone()[0]
    with closing(sqlite3.connect(made)) as db:
        assert db.execute("SELECT name FROM people").fetchall() == [("Ann Smith",)]
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


KILLED = """
import os, signal, sqlite3, sys
from pathlib import Path
from streamd import backups
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
"""
COPYING = "backups.os.fsync = die; backups.back_up(Path(sys.argv[1]) / 'gallery.sqlite', 1)"
RESTORING = """
copy = backups.back_up(Path(sys.argv[1]) / 'gallery.sqlite', 1)
backups.Path.replace = die
backups.put_back(backups.backups(Path(sys.argv[1]))[0], Path(sys.argv[1]) / 'gallery.sqlite')
"""
IMPORTING = """
from streamd.gallery.archive import scratch_beside
with scratch_beside(Path(sys.argv[1]) / 'gallery.sqlite') as scratch:
    (scratch / 'gallery.sqlite').write_bytes(b'Ann Smith')
    die()
"""


def hidden(state: Path) -> list[Path]:
    return [path for folder in (state, state / "backups") for path in folder.glob(".*")]


@pytest.mark.parametrize("work", [COPYING, RESTORING, IMPORTING])
@pytest.mark.parametrize("remedy", [backups.drop_backups, thin_out, lambda state: back_up(state / "gallery.sqlite", 1)])
def test_nothing_is_left_of_a_copy_whose_process_was_killed(
    old: Path, work: str, remedy: Callable[[Path], object]
) -> None:
    process = subprocess.run([sys.executable, "-c", KILLED + work, str(old)], check=False)
    assert process.returncode == -signal.SIGKILL
    (left,) = hidden(old)
    if left.is_file():
        left.with_name(left.name + "-journal").write_bytes(b"Ann Smith")
    remedy(old)
    assert hidden(old) == []


def test_a_copy_that_is_being_made_is_no_remnant(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = backups._copy

    def slow(path: Path, into: Path) -> None:
        copy(path, into)
        backups.drop_backups(old)
        assert hidden(old) == [into]

    monkeypatch.setattr(backups, "_copy", slow)
    assert back_up(old / "gallery.sqlite", 1).exists()
    with scratch_beside(old / "gallery.sqlite") as scratch:
        thin_out(old)
        assert hidden(old) == [scratch]


def test_what_others_hide_in_the_state_directory_is_left_alone(old: Path) -> None:
    others = [old / name for name in (".gallery.sqlite", ".gallery.sqlite.swp", ".state.json.17", ".probe-17")]
    for path in others:
        path.touch()
    back_up(old / "gallery.sqlite", 1)
    backups.drop_backups(old)
    assert all(path.exists() for path in others)


def test_copies_hold_nobody_who_was_forgotten(old: Path) -> None:
    upgrade(old)
    with GalleryStore(old / "gallery.sqlite") as store:
        erasure = store.forget("Ann Smith")
        erase_traces(Config(state_dir=old), store, erasure, final=True)
    assert copies(old) == []


def test_copies_hold_no_stranger_who_was_erased(old: Path) -> None:
    erase_person(old / "journal.sqlite", person_id="unknown-1", name="unknown-1")
    assert copies(old) == []
