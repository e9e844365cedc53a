"""How far each sink is in the journal, and which events were put aside for it: one small SQLite file.

A place is written after its events have arrived. It survives the process; after a power cut a sink may get the events
of the last moments again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from streamd.errors import UnavailableError

MOST_PUT_ASIDE = 10_000
"""Of one sink; beyond that the oldest are forgotten."""
REASON_FORGOTTEN = "not kept: somebody was forgotten since"
_BUSY_TIMEOUT_S = 5.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS places(sink TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS aside(
    sink TEXT NOT NULL, seq INTEGER NOT NULL, reason TEXT NOT NULL, at TEXT NOT NULL, again INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY(sink, seq)) WITHOUT ROWID;
"""


class PutAside(NamedTuple):
    """An event that a sink refused for good."""

    sink: str
    seq: int
    reason: str
    at: str


class Deliveries:
    """Used by one thread; any number may be open on the same file. Raises UnavailableError, in words."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._in_words():
            self._db = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("PRAGMA secure_delete=ON")
            self._db.executescript(_SCHEMA)
            path.chmod(0o600)

    def __enter__(self) -> Deliveries:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def place(self, sink: str) -> int | None:
        """The last event that has arrived or was passed over; None for a sink that is new."""
        with self._in_words():
            row = self._db.execute("SELECT seq FROM places WHERE sink = ?", (sink,)).fetchone()
        return int(row[0]) if row else None

    def places(self) -> dict[str, int]:
        with self._in_words():
            return dict(self._db.execute("SELECT sink, seq FROM places ORDER BY sink").fetchall())

    def move(self, sink: str, seq: int) -> None:
        with self._in_words():
            self._db.execute("INSERT OR REPLACE INTO places VALUES(?, ?)", (sink, seq))

    def put_aside(self, sink: str, seq: int, *, reason: str, at: str) -> None:
        """Go on without this event; it can be sent again later."""
        with self._in_words():
            self._db.execute("INSERT OR REPLACE INTO aside VALUES(?, ?, ?, ?, 0)", (sink, seq, reason[:500], at))
            self._db.execute(
                "DELETE FROM aside WHERE sink = ?1 AND seq <= "
                "(SELECT seq FROM aside WHERE sink = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
                (sink, MOST_PUT_ASIDE),
            )

    def aside(self) -> list[PutAside]:
        """Everything that was put aside, in order."""
        with self._in_words():
            rows = self._db.execute("SELECT sink, seq, reason, at FROM aside ORDER BY sink, seq")
            return [PutAside(*row) for row in rows]

    def send_again(self, sink: str) -> int:
        """Ask for what was put aside to be sent once more; how many events."""
        with self._in_words():
            return self._db.execute("UPDATE aside SET again = 1 WHERE sink = ?", (sink,)).rowcount

    def wanted_again(self, sink: str, limit: int) -> list[int]:
        with self._in_words():
            rows = self._db.execute(
                "SELECT seq FROM aside WHERE sink = ? AND again ORDER BY seq LIMIT ?", (sink, limit)
            )
            return [int(row[0]) for row in rows]

    def settle(self, sink: str, seq: int) -> None:
        """An event that was put aside has arrived, or is no more."""
        with self._in_words():
            self._db.execute("DELETE FROM aside WHERE sink = ? AND seq = ?", (sink, seq))

    def forget_reasons(self) -> None:
        """What a server answered, or a program wrote, may name somebody; nothing of it is left in the file.

        The events themselves are the journal's.
        """
        with self._in_words():
            self._db.execute("UPDATE aside SET reason = ?", (REASON_FORGOTTEN,))
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise UnavailableError(f"{self._path}: {error}: check the disk and its permissions") from error
