"""The journal's file: format, lock, and what its errors mean."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streamd.backups import back_up
from streamd.errors import OTHERS, JournalError

FORMAT = 2
APPLICATION_ID = 0x73746A31
"""Marks the file as a journal of ours (``stj1``)."""
WAL_LIMIT_BYTES = 16 * 1024 * 1024
BUSY_TIMEOUT_S = 2.0

_ACCOUNTS = "CREATE TABLE accounts(track TEXT PRIMARY KEY, seq INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;"
"""Since format 2: what every look at a face said, as of the event ``seq``."""
_SCHEMA = f"""
CREATE TABLE events(
    seq INTEGER PRIMARY KEY,
    worker TEXT NOT NULL, epoch TEXT NOT NULL, n INTEGER NOT NULL,
    camera TEXT NOT NULL, type TEXT NOT NULL, person_id TEXT, person TEXT, at TEXT NOT NULL,
    body BLOB NOT NULL,
    UNIQUE(worker, epoch, n));
{_ACCOUNTS}
CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES('last_seq', 0);
PRAGMA application_id={APPLICATION_ID};
PRAGMA user_version={FORMAT};
"""


def locked(path: Path) -> int:
    """A lock file's descriptor: SQLite's own locks would let a second writer in between two commits."""
    lock = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalError(f"journal {path} cannot be written: {error.strerror or error}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise JournalError(f"journal {path} is in use by another publisher: stop that one first") from error
    return fd


def connected(path: Path, read_only: bool) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
    if not read_only:
        with suppress(FileExistsError):  # closing a descriptor of a file in use would drop SQLite's locks on it
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))  # it is personal
    db = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    # SQLite's own lower() knows the letters of ASCII only.
    db.create_function("casefold", 1, lambda text: text and text.casefold(), deterministic=True)
    try:
        # Nothing is changed in a file that turns out to be another program's.
        if not _is_empty(db):
            _check(db, path)
        elif read_only:
            raise JournalError(f"no journal at {path} yet: the file is empty")
        if not read_only:
            _prepare(db, path)
    except (sqlite3.Error, JournalError, OSError):
        db.close()
        raise
    return db


def _is_empty(db: sqlite3.Connection) -> bool:
    return not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute(f"PRAGMA journal_size_limit={WAL_LIMIT_BYTES}")
    if _is_empty(db):
        db.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}COMMIT;")
    elif db.execute("PRAGMA user_version").fetchone()[0] == 1:
        back_up(path, 1)
        db.executescript(f"BEGIN IMMEDIATE;{_ACCOUNTS}PRAGMA user_version=2;COMMIT;")


def _check(db: sqlite3.Connection, path: Path) -> None:
    found = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if found != APPLICATION_ID:
        raise JournalError(f"{path} is not a journal of streamd: move it away, and a new one is started")
    if version > FORMAT:
        raise JournalError(
            f"journal {path} has format {version}, this program knows {FORMAT}: upgrade streamd, "
            "or go back with 'streamd state restore'"
        )
    # In one statement: another process may commit between two.
    counts = "SELECT (SELECT value FROM meta WHERE name = 'last_seq'), (SELECT max(seq) FROM events)"
    last, held = db.execute(counts).fetchone()
    if last is None or last < (held or 0):
        raise JournalError(f"journal {path} is damaged (holds {held}, counted {last}): move it away")


_ADVICE = {
    sqlite3.SQLITE_FULL: "the disk is full: free some space",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: move it away, and a new one is started",
    sqlite3.SQLITE_NOTADB: "the file is damaged, or is not a journal: move it away, and a new one is started",
    sqlite3.SQLITE_READONLY: "the file or its folder may not be written by this user",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened: check its folder, owner and permissions",
    sqlite3.SQLITE_IOERR: "reading or writing the disk failed: check the disk and its quota",
    sqlite3.SQLITE_BUSY: "another program holds it: close that program",
}


@contextmanager
def in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code of an extended one
        raise JournalError(f"journal {path}: {_ADVICE.get(code, error)} ({error})") from error
    except OSError as error:
        reason = OTHERS if isinstance(error, PermissionError) else error.strerror or error
        raise JournalError(f"journal {path}: {reason}") from error
