"""Copies of a SQLite file from before its format changed: made, listed, thinned out, put back.

They lie in ``backups/`` beside the file, named ``gallery.sqlite.format4.20261125T150000Z``, and hold faces and events
like the file itself: whoever is to be forgotten is in them too, so forgetting deletes them.
"""

from __future__ import annotations

import calendar
import errno
import fcntl
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from streamd.wallclock import was_set

FOLDER = "backups"
KEPT = 3
"""Newest copies of each file that are kept."""
KEPT_S = 30 * 86_400.0
"""Copies older than this are deleted, whatever their number: what they hold is not kept longer elsewhere."""
ROOM_BYTES = 16 << 20
"""Free space that a copy leaves over."""
STEP_BYTES = 16 << 20
"""Copied, and written to the disk, between two signs of life."""
_on_step: ContextVar[Callable[[], None] | None] = ContextVar("_on_step", default=None)
_NAME = re.compile(r"^(?P<file>.+)\.format(?P<format>\d+)\.(?P<at>\d{8}T\d{6}Z)(?:-\d+)?$")
_SCRATCH = re.compile(
    r"^\.(?:.+\.format\d+\.\d{8}T\d{6}Z(?:-\d+)?\.\d+|(?:gallery|journal)\.sqlite\.(?:\d+|[a-z0-9_]{8}))$"
)
"""Copies being made or put back (named after their process), and archives being imported (folders)."""
_BESIDE = ("-journal", "-wal", "-shm")
"""What SQLite puts beside a file, after its name."""
_TIME = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class Backup:
    """One copy."""

    path: Path
    file: str
    """Name of what it is a copy of."""
    format: int
    made_wall_s: float


@contextmanager
def telling_of_copies(on_step: Callable[[], None]) -> Iterator[None]:
    """Call ``on_step`` while copies that this thread makes meanwhile progress: a large file takes minutes."""
    token = _on_step.set(on_step)
    try:
        yield
    finally:
        _on_step.reset(token)


def format_of(path: Path) -> int:
    """``PRAGMA user_version`` of a file; 0 where there is none. Raises sqlite3.Error."""
    if not path.exists():
        return 0
    with closing(_opened(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def back_up(path: Path, format: int) -> Path:
    """Copy ``path``, as of its last commit, while others may read and write it; then thin out older copies.

    Raises:
        OSError: there is no room for a copy and for the change that follows, or it cannot be written.
        sqlite3.Error: the file cannot be read.
    """
    folder = path.parent / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    _drop_remnants(path.parent)
    _check_room(path, folder)
    made = _free_name(folder, f"{path.name}.format{format}.{time.strftime(_TIME, time.gmtime())}")
    with _scratch(made) as scratch:
        _copy(path, scratch)
        scratch.replace(made)
    thin_out(path.parent, besides=made)
    return made


def backups(state_dir: Path, file: str | None = None) -> list[Backup]:
    """Newest first."""
    folder = state_dir / FOLDER
    found = [backup for path in (folder.iterdir() if folder.is_dir() else ()) if (backup := _parsed(path))]
    wanted = [backup for backup in found if file in (None, backup.file)]
    return sorted(wanted, key=lambda backup: (backup.made_wall_s, backup.path.name), reverse=True)


def thin_out(state_dir: Path, *, now_wall_s: float | None = None, besides: Path | None = None) -> int:
    """Delete all but the last few copies of each file, and those that are too old; how many went. Raises OSError.

    Copies from before the clock was set are neither older nor newer than others: of these the last few are kept, too.

    Args:
        besides: a copy that stays in any case, and counts as the newest.
    """
    oldest_s = (time.time() if now_wall_s is None else now_wall_s) - KEPT_S
    seen: dict[tuple[str, bool], int] = {}
    gone = 0
    for backup in sorted(backups(state_dir), key=lambda backup: backup.path != besides):
        dated = was_set(backup.made_wall_s)
        kind = (backup.file, dated)
        seen[kind] = seen.get(kind, 0) + 1
        if backup.path != besides and (seen[kind] > KEPT or (dated and backup.made_wall_s < oldest_s)):
            backup.path.unlink(missing_ok=True)
            gone += 1
    _drop_remnants(state_dir)
    return gone


def drop_backups(state_dir: Path) -> int:
    """Delete every copy, and what is left of those that were never finished; how many copies there were.

    Raises OSError.
    """
    found = backups(state_dir)
    for backup in found:
        backup.path.unlink(missing_ok=True)
    _drop_remnants(state_dir)
    return len(found)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """A scratch file or folder in the state directory is in use meanwhile, and no remnant; there need be none.

    Raises BlockingIOError where it is held already.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def put_back(backup: Backup, path: Path) -> None:
    """Replace ``path`` by a copy, which stays. Nobody may have ``path`` open.

    Raises:
        sqlite3.DatabaseError: the copy is damaged; ``path`` is as it was.
        OSError: no room, or not writable.
    """
    _check_room(backup.path, path.parent)
    with _scratch(path) as scratch:
        shutil.copyfile(backup.path, scratch)
        with closing(_opened(scratch)) as db:
            if (answer := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(f"malformed: {answer}")
        _unlink_beside(path)  # it belongs to what is replaced
        scratch.replace(path)


def _parsed(path: Path) -> Backup | None:
    if (match := _NAME.match(path.name)) is None:
        return None
    with suppress(ValueError):
        made_wall_s = float(calendar.timegm(time.strptime(match["at"], _TIME)))
        return Backup(path, match["file"], int(match["format"]), made_wall_s)
    return None


def _check_room(source: Path, folder: Path) -> None:
    needed = 2 * sum(p.stat().st_size for p in (source, source.with_name(source.name + "-wal")) if p.exists())
    free = shutil.disk_usage(folder).free
    if free < needed + ROOM_BYTES:
        words = (
            f"no room for the copy that is made before a change of format: {needed / 1e6:.0f} MB needed,"
            f" {free / 1e6:.0f} MB free; free some, or put state_dir on a larger disk"
        )
        raise OSError(errno.ENOSPC, words, str(folder))


def _copy(path: Path, into: Path) -> None:
    on_step = _on_step.get()

    def step(status: int, remaining: int, total: int) -> None:
        _sync(into)  # else all of it is left for the end, which may take as long again
        if on_step is not None:
            on_step()

    with closing(_opened(path)) as source, closing(sqlite3.connect(into)) as target:
        source.execute("BEGIN")
        source.execute("SELECT * FROM sqlite_master").fetchall()  # what is written from now on is not in the copy
        page_size = source.execute("PRAGMA page_size").fetchone()[0]
        source.backup(target, pages=STEP_BYTES // page_size, progress=step)
        target.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
    _sync(into)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=5.0)


def _free_name(folder: Path, name: str) -> Path:
    candidates = (folder / name, *(folder / f"{name}-{number}" for number in range(1, 100)))
    return next(path for path in candidates if not path.exists())


@contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    """A file of this user's alone beside ``target``, gone afterwards unless it was moved; locked meanwhile."""
    path = target.with_name(f".{target.name}.{os.getpid()}")
    descriptor = _locked(path)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
        _unlink_beside(path)
        os.close(descriptor)


def _locked(path: Path) -> int:
    """A new file's descriptor; the lock says that its process lives, whatever number a later one has."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if path.exists():
            return descriptor
        os.close(descriptor)  # it was taken for a remnant before it was locked


def _drop_remnants(state_dir: Path) -> None:
    """Delete what was left behind by processes that were killed: it holds people, too. Another user's stays."""
    for folder in (state_dir, state_dir / FOLDER):
        for path in list(folder.iterdir()) if folder.is_dir() else ():
            scratch = _without_suffix(path)
            if _SCRATCH.match(scratch.name):
                with suppress(BlockingIOError, PermissionError), held(scratch):
                    if path.is_dir():
                        shutil.rmtree(path)
                    else:
                        path.unlink(missing_ok=True)


def _without_suffix(path: Path) -> Path:
    """The file beside which SQLite put this one, or the file itself."""
    return path.with_name(next((path.name.removesuffix(s) for s in _BESIDE if path.name.endswith(s)), path.name))


def _unlink_beside(path: Path) -> None:
    for suffix in _BESIDE:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
