"""The journal: every event, once, under a number that is contiguous from 1 and never used again.

One SQLite file in WAL mode. One process writes (a lock file beside it keeps a second one out), any number
read. A commit is on the disk when ``append`` returns; the caller groups events into one commit.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from streamd.errors import JournalError, ProtocolError
from streamd.events import Event, timestamp
from streamd.journalfile import connected, in_words, locked
from streamd.wallclock import AHEAD_S, Calendar

logger = logging.getLogger(__name__)

PRUNE_ROWS = 5000
"""Rows deleted in one transaction, so that a commit never waits long behind a clean-up."""
_BELIEVED, _DOUBTED_SINCE = "believed_wall_s", "doubted_since_wall_s"
_INSERT = "INSERT INTO events VALUES(?,?,?,?,?,?,?,?,?,?) ON CONFLICT(worker, epoch, n) DO NOTHING"


@dataclass(frozen=True, slots=True)
class Entry:
    """An event as its maker sent it: the n-th of one run (epoch) of one process (worker)."""

    worker: str
    epoch: str
    n: int
    event: Event


class Stored(NamedTuple):
    """An event as the journal holds it; ``body`` is its JSON, number included."""

    seq: int
    body: bytes

    def event(self) -> Event:
        """Raises ProtocolError where another version wrote what this program cannot read."""
        return Event.from_json(self.body)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events to read; empty fields mean all."""

    cameras: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    person: str | None = None
    """A person's id or name, letter case ignored."""
    from_at: str | None = None
    """RFC 3339 in UTC with milliseconds, as in events; inclusive."""
    until_at: str | None = None
    """The same; exclusive."""
    until_seq: int | None = None
    """Inclusive. Bounds the work of a search that finds little."""

    def clause(self) -> tuple[str, list[Any]]:
        """SQL that follows a first condition, and its parameters."""
        parts = [
            (f"camera IN ({_marks(self.cameras)})", list(self.cameras)) if self.cameras else None,
            (f"type IN ({_marks(self.types)})", list(self.types)) if self.types else None,
            ("(person_id = ? OR casefold(person) = casefold(?))", [self.person] * 2) if self.person else None,
            ("at >= ?", [self.from_at]) if self.from_at else None,
            ("at < ?", [self.until_at]) if self.until_at else None,
            ("seq <= ?", [self.until_seq]) if self.until_seq is not None else None,
        ]
        given = [part for part in parts if part]
        return "".join(f" AND {sql}" for sql, _ in given), [value for _, values in given for value in values]


EVERYTHING = Filter()


class Journal:
    """Open for writing, or ``read_only`` beside a running writer or without one. Not thread-safe.

    Raises:
        JournalError: from the constructor and every method, in words; the file is left consistent.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._lock_fd: int | None = None
        try:
            if not read_only:
                self._lock_fd = locked(path)
            with in_words(path):
                if read_only and not path.exists():
                    raise JournalError(f"no journal at {path}: nothing was recorded yet, or state_dir is another")
                self._db = connected(path, read_only)
                self._file = path.stat()
        except JournalError:
            self._unlock()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with in_words(self.path):
            self._db.close()
        self._unlock()

    @property
    def in_place(self) -> bool:
        """Whether what is open is still what the path names. What is written to a file that was moved away or deleted
        nobody reads who opens it hereafter."""
        try:
            return os.path.samestat(self.path.stat(), self._file)
        except FileNotFoundError:
            return False
        except OSError:  # that is not known now
            return True

    def _unlock(self) -> None:
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def append(self, entries: Sequence[Entry]) -> list[Event | None]:
        """Write all in one commit. The numbered event for each entry, None for one that is already there."""
        with in_words(self.path), self._transaction():
            seq = before = self.last_seq
            numbered: list[Event | None] = []
            for entry in entries:
                event = replace(entry.event, seq=seq + 1, account=None)
                added = self._db.execute(_INSERT, _row(entry, event)).rowcount == 1
                seq += added
                if added and entry.event.account is not None and event.track is not None:
                    account = json.dumps(entry.event.account, ensure_ascii=False, separators=(",", ":")).encode()
                    self._db.execute("INSERT OR REPLACE INTO accounts VALUES(?,?,?)", (event.track, seq, account))
                numbered.append(event if added else None)
            if seq != before:
                self._db.execute("UPDATE meta SET value = ? WHERE name = 'last_seq'", (seq,))
        return numbered

    @property
    def last_seq(self) -> int:
        """The highest number ever given; 0 before the first event."""
        return int(self._one("SELECT value FROM meta WHERE name = 'last_seq'"))

    @property
    def first_seq(self) -> int:
        """The oldest number still held; ``last_seq`` + 1 where none is."""
        first = self._one("SELECT min(seq) FROM events")
        return self.last_seq + 1 if first is None else int(first)

    def last_n(self, worker: str, epoch: str) -> int:
        """How far the journal has one run of one process; 0 for none of it."""
        n = self._one("SELECT max(n) FROM events WHERE worker = ? AND epoch = ?", worker, epoch)
        return int(n or 0)

    def since(self, seq: int, limit: int, *, only: Filter = EVERYTHING, max_bytes: int | None = None) -> list[Stored]:
        """The oldest ``limit`` events numbered above ``seq``, in order; the one that reaches ``max_bytes`` is
        the last."""
        clause, values = only.clause()
        sql = f"SELECT seq, body FROM events WHERE seq > ?{clause} ORDER BY seq LIMIT ?"
        found: list[Stored] = []
        size = 0
        with in_words(self.path), closing(self._db.execute(sql, (seq, *values, limit))) as rows:
            for row in rows:
                found.append(Stored(*row))
                size += len(found[-1].body)
                if max_bytes is not None and size >= max_bytes:
                    break
        return found

    def last(self, limit: int, *, only: Filter = EVERYTHING) -> list[Stored]:
        """The newest ``limit`` events, in order."""
        clause, values = only.clause()
        sql = f"SELECT seq, body FROM events WHERE seq > 0{clause} ORDER BY seq DESC LIMIT ?"
        with in_words(self.path):
            return [Stored(*row) for row in self._db.execute(sql, (*values, limit))][::-1]

    def find(self, event_id: str) -> Stored | None:
        """The event of this id."""
        needle = f'"id":"{event_id}"'.encode()
        with in_words(self.path):
            row = self._db.execute("SELECT seq, body FROM events WHERE instr(body, ?) LIMIT 1", (needle,)).fetchone()
        return Stored(*row) if row else None

    def of_track(self, track: str) -> list[Stored]:
        """Every event of one appearance, in order."""
        needle = f'"track":{json.dumps(track, ensure_ascii=False)}'.encode()
        with in_words(self.path):
            rows = self._db.execute("SELECT seq, body FROM events WHERE instr(body, ?) ORDER BY seq", (needle,))
            return [Stored(*row) for row in rows]

    def account(self, track: str) -> dict[str, Any] | None:
        """What every look at a face said (``ledger.Ledger.as_json``); None where nothing is known."""
        if not self._one("SELECT count(*) FROM sqlite_master WHERE name = 'accounts'"):
            return None  # of an older version
        body = self._one("SELECT body FROM accounts WHERE track = ?", track)
        found: dict[str, Any] | None = json.loads(body) if body else None
        return found

    def last_seen(self, *, after: int = 0) -> dict[str, tuple[str, str]]:
        """When and on which camera each person was seen last, by their id, in events numbered above ``after``."""
        sql = (
            "SELECT person_id, at, camera, max(seq) FROM events"
            " WHERE seq > ? AND person_id IS NOT NULL AND type LIKE 'face.%' GROUP BY person_id"
        )
        with in_words(self.path):
            return {str(row[0]): (str(row[1]), str(row[2])) for row in self._db.execute(sql, (after,))}

    def revisions(self, after: int, limit: int) -> dict[str, Stored]:
        """The newest event that revises another, by that one's id, among those numbered above ``after``."""
        sql = "SELECT seq, body FROM events WHERE seq > ? AND type = 'face.revised' ORDER BY seq LIMIT ?"
        found: dict[str, Stored] = {}
        with in_words(self.path):
            for row in self._db.execute(sql, (after, limit)):
                stored = Stored(*row)
                if (revised := json.loads(stored.body).get("revises")) is not None:
                    found[str(revised)] = stored
        return found

    def prune(self, older_than_wall_s: float, *, now_wall_s: float | None = None) -> int:
        """Delete up to ``PRUNE_ROWS`` events from the front that are older; how many went.

        Only the front, because the numbers held must stay contiguous: an event whose clock ran ahead goes with those
        behind it.
        """
        older = timestamp(older_than_wall_s)
        ahead = timestamp((time.time() if now_wall_s is None else now_wall_s) + AHEAD_S)
        with in_words(self.path), self._transaction():
            keep = self._one(
                "SELECT min(seq) FROM (SELECT seq, at FROM events ORDER BY seq LIMIT ?) WHERE at BETWEEN ? AND ?",
                PRUNE_ROWS,
                older,
                ahead,
            )
            below = self.first_seq + PRUNE_ROWS if keep is None else int(keep)
            if keep is None and self._one("SELECT at < ? FROM events WHERE at <= ? ORDER BY seq LIMIT 1", older, ahead):
                return self._delete_below(below)
            last = self._one("SELECT max(seq) FROM events WHERE seq < ? AND at < ?", below, older)
            return 0 if last is None else self._delete_below(int(last) + 1)

    def shrink(self, max_bytes: int) -> int:
        """Delete up to ``PRUNE_ROWS`` events from the front while the file holds more; how many went.

        What is deleted makes room for what comes: the file itself does not become smaller.
        """
        with in_words(self.path), self._transaction():
            page, pages, free = (self._one(f"PRAGMA {name}") for name in ("page_size", "page_count", "freelist_count"))
            excess = 1 - max_bytes / max(1, (pages - free) * page)
            if excess <= 0:
                return 0
            first, last = self.first_seq, self.last_seq
            return self._delete_below(first + min(PRUNE_ROWS, max(1, int((last - first + 1) * excess))))

    def _delete_below(self, seq: int) -> int:
        self._db.execute("DELETE FROM accounts WHERE seq < ?", (seq,))
        return self._db.execute("DELETE FROM events WHERE seq < ?", (seq,)).rowcount

    def calendar(self, now_wall_s: float) -> Calendar:
        """What was last known of the date; what the clock says, where nothing was."""
        believed, doubted = (
            self._one("SELECT value FROM meta WHERE name = ?", name) for name in (_BELIEVED, _DOUBTED_SINCE)
        )
        return Calendar(now_wall_s if believed is None else float(believed), doubted and float(doubted))

    def note_date(self, calendar: Calendar) -> None:
        with in_words(self.path), self._transaction():
            self._db.execute("DELETE FROM meta WHERE name IN (?, ?)", (_BELIEVED, _DOUBTED_SINCE))
            dates = (_BELIEVED, calendar.believed_wall_s), (_DOUBTED_SINCE, calendar.doubted_since_wall_s)
            known = [(name, int(date)) for name, date in dates if date is not None]
            self._db.executemany("INSERT INTO meta VALUES(?, ?)", known)

    def check(self) -> None:
        """Write without changing anything: raises JournalError while the disk refuses."""
        with in_words(self.path), self._transaction():
            self._db.execute("UPDATE meta SET value = value")

    def _one(self, sql: str, *values: object) -> Any:
        with in_words(self.path):
            row = self._db.execute(sql, values).fetchone()
        return row[0] if row else None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # SQLite rolls back by itself after some disk errors
                self._db.execute("ROLLBACK")
            raise


def readable(rows: Iterable[Stored]) -> Iterator[Event]:
    """Events, without those of a version that this program cannot read; each of these is told in the log."""
    for row in rows:
        try:
            yield row.event()
        except ProtocolError as error:
            logger.warning("event %d is passed over: %s", row.seq, error)


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _row(entry: Entry, event: Event) -> tuple[object, ...]:
    identity = event.identity or {}
    # Another program may have sent anything under these names, and an event is never refused for it here.
    person = [value if isinstance(value, str) else None for value in map(identity.get, ("id", "name"))]
    person[0] = person[0] or event.stranger
    place = (event.camera, event.type.value, *person, event.at)
    return (event.seq, entry.worker, entry.epoch, entry.n, *place, event.to_json())
