from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from publisherprocess import an_event

from streamd.errors import JournalError
from streamd.events import Event, EventType
from streamd.journal import PRUNE_ROWS, Entry, Filter, Journal, readable
from streamd.wallclock import Calendar


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with Journal(path) as opened:
        yield opened


def entries(first: int, last: int, *, worker: str = "w", wall_s: float = 1e9) -> list[Entry]:
    return [Entry(worker, "e", n, an_event(n, wall_s=wall_s)) for n in range(first, last + 1)]


def seqs(journal: Journal, **only: object) -> list[int]:
    return [row.seq for row in journal.since(0, 10_000, only=Filter(**only))]  # type: ignore[arg-type]  # test's own


def test_numbers_are_contiguous_from_one(journal: Journal) -> None:
    assert [e.seq for e in journal.append(entries(1, 3)) if e] == [1, 2, 3]
    assert [e.seq for e in journal.append(entries(4, 5)) if e] == [4, 5]
    assert (journal.first_seq, journal.last_seq) == (1, 5)


def test_what_is_already_there_takes_no_number(journal: Journal) -> None:
    journal.append(entries(1, 2))
    again = journal.append([*entries(1, 3), *entries(3, 3), *entries(4, 4)])
    assert [e and e.seq for e in again] == [None, None, 3, None, 4]
    assert seqs(journal) == [1, 2, 3, 4]


def test_stored_events_read_back_as_they_were_numbered(journal: Journal) -> None:
    numbered = journal.append(entries(1, 3))
    assert [row.event() for row in journal.since(0, 10)] == numbered


def test_a_new_process_goes_on_where_the_last_one_ended(path: Path) -> None:
    with Journal(path) as first:
        first.append(entries(1, 3))
    with Journal(path) as second:
        assert [e and e.seq for e in second.append(entries(3, 4))] == [None, 4]
        assert second.last_n("w", "e") == 4
        assert second.last_n("w", "another run") == 0


def test_pruned_numbers_are_never_given_again(path: Path) -> None:
    with Journal(path) as journal:
        journal.append(entries(1, 5))
        assert journal.prune(2e9) == 5
        assert (journal.first_seq, journal.last_seq) == (6, 5)
    with Journal(path) as journal:
        assert [e and e.seq for e in journal.append(entries(6, 6))] == [6]
        assert journal.first_seq == 6


def test_pruning_takes_only_the_front(journal: Journal) -> None:
    journal.append([*entries(1, 2), *entries(3, 3, wall_s=3e9), *entries(4, 4), *entries(5, 5, wall_s=3e9)])
    assert journal.prune(2e9, now_wall_s=3e9) == 2
    assert seqs(journal) == [3, 4, 5]


def test_events_whose_clock_ran_ahead_go_with_those_behind_them(journal: Journal) -> None:
    journal.append([*entries(1, 2, wall_s=3e9), *entries(3, 4), *entries(5, 5, wall_s=3e9), *entries(6, 6, wall_s=2e9)])
    assert journal.prune(1e9, now_wall_s=2e9) == 0
    assert journal.prune(1.5e9, now_wall_s=2e9) == 4
    assert seqs(journal) == [5, 6]
    assert journal.prune(2e9, now_wall_s=2e9) == 0
    assert journal.prune(2.1e9, now_wall_s=2.1e9) == 2


def test_many_events_whose_clock_ran_ahead_go_with_those_behind_them(journal: Journal) -> None:
    journal.append(entries(1, PRUNE_ROWS + 1, wall_s=3e9))
    assert journal.prune(1.5e9, now_wall_s=2e9) == 0
    journal.append(entries(PRUNE_ROWS + 2, PRUNE_ROWS + 2))
    assert [journal.prune(1.5e9, now_wall_s=2e9) for _ in range(3)] == [PRUNE_ROWS, 2, 0]


def test_pruning_goes_in_bounded_steps(journal: Journal) -> None:
    journal.append(entries(1, PRUNE_ROWS + 10))
    assert [journal.prune(2e9) for _ in range(3)] == [PRUNE_ROWS, 10, 0]


def test_the_date_outlives_the_process(path: Path) -> None:
    with Journal(path) as journal:
        assert journal.calendar(1.8e9) == Calendar(1.8e9), "nothing is known yet"
        journal.note_date(Calendar(1.8e9, 2.1e9))
        journal.append(entries(1, 1))
    with Journal(path, read_only=True) as journal:
        assert journal.calendar(1.9e9) == Calendar(1.8e9, 2.1e9)
    with Journal(path) as journal:
        journal.note_date(Calendar(1.9e9))
        assert journal.calendar(2.2e9) == Calendar(1.9e9)
        assert journal.last_seq == 1


def test_since_gives_the_oldest_and_last_the_newest(journal: Journal) -> None:
    journal.append(entries(1, 9))
    assert [row.seq for row in journal.since(3, 2)] == [4, 5]
    assert [row.seq for row in journal.last(2)] == [8, 9]


def test_the_event_that_reaches_the_size_is_the_last(journal: Journal) -> None:
    journal.append(entries(1, 9))
    one = len(journal.since(0, 1)[0].body)
    assert [row.seq for row in journal.since(0, 9, max_bytes=one + 1)] == [1, 2]
    assert [row.seq for row in journal.since(0, 9, max_bytes=one)] == [1]


def test_filters_select_by_camera_type_person_and_time(journal: Journal) -> None:
    def event(n: int, kind: EventType, camera: str, name: str | None) -> Entry:
        identity = {"id": f"id-{name}", "name": name} if name else None
        return Entry("w", "e", n, Event(kind, camera, f"2026-01-0{n}T00:00:00.000Z", str(n), identity=identity))

    journal.append(
        [
            event(1, EventType.FACE_IDENTIFIED, "door", "Änne"),
            event(2, EventType.FACE_LEFT, "door", None),
            event(3, EventType.FACE_IDENTIFIED, "yard", "Bob"),
        ]
    )
    assert seqs(journal, cameras=("yard", "none")) == [3]
    assert seqs(journal, types=("face.identified",)) == [1, 3]
    assert seqs(journal, person="äNNE") == [1]
    assert seqs(journal, person="id-Bob") == [3]
    assert seqs(journal, from_at="2026-01-02T00:00:00.000Z", until_at="2026-01-03T00:00:00.000Z") == [2]
    assert seqs(journal, until_seq=2) == [1, 2]


def test_an_identity_of_any_shape_is_stored(journal: Journal) -> None:
    odd = Event(EventType.FACE_IDENTIFIED, "door", "now", "x", identity={"id": [1], "name": {"a": 2}})
    journal.append([Entry("w", "e", 1, odd)])
    assert journal.since(0, 1)[0].event().identity == {"id": [1], "name": {"a": 2}}


def test_a_full_disk_refuses_whole_commits_and_later_ones_work(journal: Journal) -> None:
    journal.append(entries(1, 10))
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(JournalError, match=r"journal\.sqlite: the disk is full: free some space"):
        journal.append(entries(11, 500))
    assert (journal.last_seq, len(seqs(journal)), journal.last_n("w", "e")) == (10, 10, 10)
    journal._db.execute("PRAGMA max_page_count=100000")
    assert [e and e.seq for e in journal.append(entries(11, 500))] == list(range(11, 501))


def test_a_second_writer_is_refused_and_a_reader_is_not(journal: Journal, path: Path) -> None:
    journal.append(entries(1, 2))
    with pytest.raises(JournalError, match="in use by another publisher"):
        Journal(path)
    with Journal(path, read_only=True) as reader:
        assert seqs(reader) == [1, 2]
        with pytest.raises(JournalError, match="may not be written"):
            reader.append(entries(3, 3))


def test_a_refused_open_leaves_the_lock_free(path: Path) -> None:
    path.write_bytes(b"not a database, by far " * 100)
    with pytest.raises(JournalError, match="damaged, or is not a journal: move it away"):
        Journal(path)
    path.unlink()
    Journal(path).close()


def test_a_missing_journal_is_not_made_by_reading(path: Path) -> None:
    with pytest.raises(JournalError, match="nothing was recorded yet"):
        Journal(path, read_only=True)
    assert not path.exists()


def test_another_programs_database_is_left_alone(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE mine(x)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(JournalError, match="is not a journal of streamd"):
        Journal(path)
    assert path.read_bytes() == before


def test_a_file_left_empty_by_a_crash_becomes_a_journal(path: Path) -> None:
    path.touch()
    with pytest.raises(JournalError, match=r"no journal at .* yet"):
        Journal(path, read_only=True)
    with Journal(path) as journal:
        assert journal.append(entries(1, 1))


def test_a_journal_of_a_newer_version_is_left_alone(path: Path) -> None:
    with Journal(path) as journal:
        journal._db.execute("PRAGMA user_version=3")
    with pytest.raises(JournalError, match="has format 3, this program knows 2: upgrade streamd"):
        Journal(path)


def test_lost_counter_shows_as_damage(path: Path) -> None:
    with Journal(path) as journal:
        journal.append(entries(1, 3))
        journal._db.execute("UPDATE meta SET value = 1 WHERE name = 'last_seq'")
    with pytest.raises(JournalError, match="is damaged"):
        Journal(path)


def test_damaged_pages_show_as_damage(path: Path) -> None:
    with Journal(path) as journal:
        journal.append(entries(1, 500))
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * 100_000)
    with pytest.raises(JournalError, match="the file is damaged: move it away"), Journal(path) as journal:
        journal.since(0, 1000)


@pytest.mark.parametrize("place", ["file/journal.sqlite", "folder"])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(JournalError, match=rf"{tmp_path}/{place}"):
        Journal(tmp_path / place)


def test_the_file_is_for_its_owner_only(journal: Journal, path: Path) -> None:
    journal.append(entries(1, 1))
    files = [path, path.with_name("journal.sqlite-wal"), path.with_name("journal.sqlite.lock")]
    assert [oct(file.stat().st_mode & 0o777) for file in files] == ["0o600"] * 3


def test_a_commit_is_on_the_disk_when_append_returns(journal: Journal) -> None:
    assert journal._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert journal._db.execute("PRAGMA synchronous").fetchone()[0] == 2


def accounted(n: int, track: str, **account: object) -> Entry:
    return Entry("w", "e", n, replace(an_event(n, wall_s=1e9), track=track, account=account))


def test_an_account_is_kept_apart_from_its_event_and_the_last_one_holds(journal: Journal) -> None:
    journal.append([accounted(1, "door-1", faces=1), accounted(2, "door-1", faces=7)])
    assert all(b"faces" not in row.body for row in journal.since(0, 10))
    assert journal.account("door-1") == {"faces": 7}
    assert journal.account("door-2") is None
    assert [row.seq for row in journal.of_track("door-1")] == [1, 2]


def test_accounts_go_with_their_events(journal: Journal) -> None:
    journal.append([accounted(1, "door-1", faces=1)])
    assert journal.prune(2e9) == 1
    assert journal.account("door-1") is None


def test_an_event_is_found_by_its_id(journal: Journal) -> None:
    journal.append(entries(1, 3))
    found = journal.find("id-2")
    assert found is not None
    assert found.seq == 2
    assert journal.find("id-9") is None


def test_a_journal_of_the_first_format_is_taken_over(path: Path) -> None:
    with Journal(path) as journal:
        journal.append(entries(1, 3))
        journal._db.executescript("DROP TABLE accounts; PRAGMA user_version=1;")
    with Journal(path, read_only=True) as journal:
        assert journal.account("door-1") is None
    with Journal(path) as journal:
        journal.append([accounted(4, "door-1", faces=1)])
        assert journal.account("door-1") == {"faces": 1}
        assert seqs(journal) == [1, 2, 3, 4]


def test_a_journal_that_is_too_large_loses_its_oldest_events_only(journal: Journal) -> None:
    for first in range(1, 6000, 500):
        journal.append(entries(first, first + 499))
    most = 1_000_000
    gone = 0
    while deleted := journal.shrink(most):
        gone += deleted
    assert 0 < gone < 6000
    assert journal.first_seq == gone + 1
    assert seqs(journal) == list(range(gone + 1, 6001))
    pages = journal._one("PRAGMA page_count")
    for first in range(6001, 9000, 500):
        journal.append(entries(first, first + 499))
        while journal.shrink(most):
            pass
    assert journal._one("PRAGMA page_count") <= pages * 1.2, "what was deleted makes room"


def test_an_event_of_another_version_is_passed_over_and_told(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    journal.append(entries(1, 3))
    journal._db.execute("UPDATE events SET body = replace(body, 'streamd.event/1', 'streamd.event/9') WHERE seq = 2")
    assert [event.seq for event in readable(journal.since(0, 10))] == [1, 3]
    assert "event 2 is passed over: event schema 'streamd.event/9'" in caplog.text
