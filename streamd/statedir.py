"""The daemon's directories: made, private, writable, taken by one daemon at a time, and not newer than the program."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import streamd
from streamd.backups import Backup, backups, format_of
from streamd.config import Config
from streamd.errors import DiskFull, UnavailableError
from streamd.events import timestamp
from streamd.gallery.schema import MIGRATIONS
from streamd.journalfile import FORMAT as JOURNAL_FORMAT
from streamd.wholefile import write_whole

logger = logging.getLogger(__name__)

STATE_FORMAT = 1
"""Grows when what lies where in the state directory changes; the files in it have formats of their own."""
RECORD = "state.json"
FORMATS = {"gallery.sqlite": len(MIGRATIONS), "journal.sqlite": JOURNAL_FORMAT}
"""The newest format of each file that this program reads."""

ROOM_BYTES = 256 * 1024
"""What must be free at a start: SQLite needs some to open a file that it shares."""


@dataclass(frozen=True, slots=True)
class StateRecord:
    """Who wrote a state directory last."""

    format: int
    streamd: str
    """Its version."""
    since: str
    """When that version was first started on it."""
    files: dict[str, int] = field(default_factory=dict)
    """Formats that it wrote."""


def prepare_directories(config: Config) -> None:
    """Make the state and socket directories, private to this user.

    Raises:
        DiskFull: there is no room in one.
        UnavailableError: one cannot be made or written to.
    """
    for path in (config.state_dir, config.sockets_dir):
        with _in_words(path):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            _probe(path)
    with _in_words(config.sockets_dir):
        _admit_sockets(config.sockets_dir)
        config.sockets_dir.chmod(0o700)


def private_state_dir(config: Config) -> None:
    """Make the state directory for what comes before the first start, as models do. Raises UnavailableError."""
    with _in_words(config.state_dir):
        config.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"{path}: the disk is full: free some space") from error
        raise UnavailableError(f"{path}: cannot be written: {error.strerror}") from error


def _admit_sockets(folder: Path) -> None:
    """In a folder for everybody whoever comes first may have made it: what is said there is believed."""
    if folder.parent.stat().st_mode & 0o002 and folder.lstat().st_uid != os.geteuid():
        raise UnavailableError(f"{folder} is another user's: set runtime_dir to a folder of streamd's own")


def _probe(folder: Path) -> None:
    """Raises OSError where nothing can be written."""
    probe = folder / f".probe-{os.getpid()}"
    try:
        probe.write_bytes(bytes(ROOM_BYTES))
    finally:
        probe.unlink(missing_ok=True)


def lock_state(state_dir: Path) -> int:
    """Take the state directory for this process alone; the lock goes with the process.

    Raises:
        UnavailableError: another daemon has it.
    """
    descriptor = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise UnavailableError(f"{state_dir}: another streamd runs with this state_dir") from error
    return descriptor


def admit_state(state_dir: Path) -> None:
    """Refuse what a newer streamd wrote, and note that this one writes from now on.

    Raises:
        UnavailableError: the directory, or a file in it, is newer than this program; the message says how to go on.
    """
    record = read_record(state_dir)
    if newer := newer_than_this(state_dir, record):
        raise UnavailableError(_too_new(state_dir, record, newer))
    if record is None or record.streamd != streamd.__version__ or record.files != FORMATS:
        if record is not None and record.streamd != streamd.__version__:
            logger.info("%s was last written by streamd %s; this is %s", state_dir, record.streamd, streamd.__version__)
        write_record(state_dir)


def newer_than_this(state_dir: Path, record: StateRecord | None) -> dict[str, int]:
    """What this program cannot read: names and formats of files, or of the directory itself (``state``).

    Raises UnavailableError where a file cannot be read at all.
    """
    found = {"state": record.format} if record is not None and record.format > STATE_FORMAT else {}
    for name, known in FORMATS.items():
        try:
            format = format_of(state_dir / name)
        except sqlite3.Error:
            continue  # whoever opens it says in words what is wrong with it
        if format > known:
            found[name] = format
    return found


def way_back(state_dir: Path, newer: dict[str, int]) -> list[Backup]:
    """For each file that is too new, the newest copy that this program reads; empty if one has none."""
    found = []
    for name in newer:
        candidates = [each for each in backups(state_dir, name) if each.format <= FORMATS.get(name, 0)]
        if not candidates:
            return []
        found.append(candidates[0])
    return found


def read_record(state_dir: Path) -> StateRecord | None:
    """None where none was written yet, or what is there is not a record."""
    try:
        body = json.loads((state_dir / RECORD).read_text())
        files = {str(name): int(format) for name, format in body["files"].items()}
        return StateRecord(int(body["format"]), str(body["streamd"]), str(body["since"]), files)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("%s is not what streamd wrote, and is written anew: %s", state_dir / RECORD, error)
        return None


def write_record(state_dir: Path) -> None:
    """Note that this version writes the directory. Raises UnavailableError."""
    record = StateRecord(STATE_FORMAT, streamd.__version__, timestamp(time.time()), FORMATS)
    path = state_dir / RECORD
    try:
        write_whole(path, json.dumps(asdict(record)) + "\n", mode=0o600)
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be written: {error.strerror or error}") from error


def _too_new(state_dir: Path, record: StateRecord | None, newer: dict[str, int]) -> str:
    known = {"state": STATE_FORMAT, **FORMATS}
    what = ", ".join(f"{name} has format {format} (known: {known[name]})" for name, format in newer.items())
    writer = f"streamd {record.streamd}" if record is not None else "a newer streamd"
    ways = f"{state_dir} was written by {writer}, and this is {streamd.__version__}: {what}. Install {writer} again"
    if copies := way_back(state_dir, newer):
        when = timestamp(min(copy.made_wall_s for copy in copies))
        lie = ", ".join(str(copy.path) for copy in copies)
        return f"{ways}, or go back to how it was at {when} (what came since is lost): 'streamd state restore' ({lie})"
    return f"{ways}; there is no copy in {state_dir / 'backups'} that this version reads"
