"""What ``streamd install`` puts where: units, user, folders and a first configuration, each file in one step.

A file that was placed says so in its first line, with the digest of the rest: what somebody changed since is told from
what is merely old, and what somebody else put there is left alone.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from importlib.resources import files
from pathlib import Path, PurePosixPath

from streamd.errors import UnavailableError, UsageError
from streamd.wholefile import write_whole

SHIPPED_PROGRAM = "/opt/streamd/bin/streamd"
"""What units name as the program where nobody says otherwise."""
HIDDEN = ("/home", "/root", "/run/user")
"""Folders that the system's unit may not look into (ProtectHome=)."""
_MARK = "# Placed by 'streamd install'"
_CONFIG = "streamd.yaml"
_FIRST_CONFIG = """\
# The cameras of this box. Every key: 'streamd check --print-defaults'; 'streamd check' says what is wrong.
version: 1
cameras: {}
#  door:
#    url: rtsp://viewer:${cred:door}@192.0.2.10/stream1
"""
_OF_THE_SYSTEM = """\
# Where the service keeps its data and its sockets, so that commands find them, too: runuser -u streamd -- streamd ...
state_dir: /var/lib/streamd
runtime_dir: /run/streamd
"""


class Done(Enum):
    """What became of one file."""

    WRITTEN = "written"
    REPLACED = "replaced"
    SAVED = "replaced, and what was changed in it kept beside it as .old"
    UNCHANGED = "as it should be already"
    KEPT = "left as it is"
    REMOVED = "removed"
    FOREIGN = "left: not placed by 'streamd install'"
    ABSENT = "not there"


@dataclass(frozen=True, slots=True)
class Outcome:
    path: Path
    done: Done


@dataclass(frozen=True, slots=True)
class Item:
    """One file to place."""

    path: Path
    text: str


@dataclass(frozen=True, slots=True)
class Places:
    """Where a manager looks for its files."""

    user: bool
    """For one user's manager, instead of the system's."""
    units: Path
    config: Path
    """Folder of the configuration."""
    sysusers: Path | None = None
    tmpfiles: Path | None = None

    @classmethod
    def of_system(cls, root: Path) -> Places:
        etc = root / "etc"
        return cls(False, etc / "systemd" / "system", etc / "streamd", etc / "sysusers.d", etc / "tmpfiles.d")

    @classmethod
    def of_user(cls, root: Path) -> Places:
        given = os.environ.get("XDG_CONFIG_HOME")
        home = Path(given) if given else Path.home() / ".config"
        config = root / home.relative_to(home.anchor) if root != Path("/") else home
        return cls(True, config / "systemd" / "user", config / "streamd")

    @property
    def config_file(self) -> Path:
        return self.config / _CONFIG


def shipped(name: str) -> str:
    """A file of the folder ``systemd/``, which the package carries as ``units``."""
    return files("streamd").joinpath("units", *PurePosixPath(name).parts).read_text(encoding="utf-8")


def items(places: Places, program: str) -> list[Item]:
    """Every file but the configuration, with ``program`` in place of the shipped path."""

    def unit(source: str) -> Item:
        name = PurePosixPath(source).name
        return Item(places.units / name, shipped(source).replace(SHIPPED_PROGRAM, program))

    if places.user:
        return [unit("user/streamd.service")]
    found = [unit(name) for name in ("streamd.service", "streamd-capture@.service", "streamd.slice")]
    for folder, kind in ((places.sysusers, "sysusers"), (places.tmpfiles, "tmpfiles")):
        if folder is not None:
            found.append(Item(folder / "streamd.conf", shipped(f"streamd.{kind}.conf")))
    return found


def this_program() -> str:
    """How a unit starts the streamd that runs now."""
    script = Path(sys.prefix) / "bin" / "streamd"
    return str(script) if script.is_file() else f"{sys.executable} -m streamd"


def refuse_hidden(program: str) -> None:
    """Raises UsageError where the system's service could not reach its own program, or Python."""
    words = program.split()
    interpreter = os.path.realpath(sys.executable) if program == this_program() else words[0]
    for path in (words[0], interpreter):
        if any(Path(path).is_relative_to(folder) for folder in HIDDEN):
            raise UsageError(
                f"{path}: the service may not look into {', '.join(HIDDEN)}: install streamd elsewhere "
                "(python3 -m venv /opt/streamd && /opt/streamd/bin/pip install 'streamd[cpu]'), and call that one; "
                "or install it for this user alone: streamd install --user"
            )


def refuse_without_rights(paths: list[Path], advice: str) -> None:
    """Raises UnavailableError, before anything is changed, where some file could not be written."""
    for path in paths:
        place = next(p for p in path.parents if os.access(p, os.F_OK))
        if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
            raise UnavailableError(f"{place}: may not be written by this user; {advice}")


def place(item: Item, *, dry_run: bool = False) -> Outcome:
    """Bring one file to what it should be. Raises UnavailableError."""
    wanted = marked(item.text)
    there = _read(item.path)
    if there == wanted:
        return Outcome(item.path, Done.UNCHANGED)
    done = Done.WRITTEN if there is None else Done.REPLACED if _as_placed(there) else Done.SAVED
    if not dry_run:
        if done is Done.SAVED and there is not None:
            _write(item.path.with_name(item.path.name + ".old"), there, mode=0o644)
        _write(item.path, wanted, mode=0o644)
    return Outcome(item.path, done)


def place_config(places: Places, *, dry_run: bool = False) -> Outcome:
    """A first configuration where there is none; an existing one is never touched. Raises UnavailableError."""
    path = places.config_file
    if path.exists() or path.is_symlink():
        return Outcome(path, Done.KEPT)
    if not dry_run:
        text = _FIRST_CONFIG if places.user else _FIRST_CONFIG + _OF_THE_SYSTEM
        _write(path, text, mode=0o640, folder_mode=0o750)
    return Outcome(path, Done.WRITTEN)


def remove(item: Item, *, dry_run: bool = False) -> Outcome:
    """Take one file away, if it was placed here. Raises UnavailableError."""
    there = _read(item.path)
    if there is None:
        return Outcome(item.path, Done.ABSENT)
    if not there.startswith(_MARK):
        return Outcome(item.path, Done.FOREIGN)
    if not dry_run:
        try:
            item.path.unlink()
        except OSError as error:
            raise UnavailableError(f"{item.path}: cannot be removed: {error.strerror or error}") from error
    return Outcome(item.path, Done.REMOVED)


def marked(text: str) -> str:
    """``text`` with the line that says who placed it, and what it was then."""
    return f"{_MARK}; sha256:{hashlib.sha256(text.encode()).hexdigest()}\n{text}"


def _as_placed(text: str) -> bool:
    """Whether nobody changed it since it was placed."""
    _, _, rest = text.partition("\n")
    return text == marked(rest)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be read: {error.strerror or error}") from error


def _write(path: Path, text: str, *, mode: int, folder_mode: int = 0o755) -> None:
    try:
        for folder in _missing(path.parent):
            folder.mkdir(mode=folder_mode if folder == path.parent else 0o755)
        write_whole(path, text, mode=mode)
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be written: {error.strerror or error}") from error


def _missing(folder: Path) -> Iterator[Path]:
    """The folder and those above it that are not there, from the top."""
    yield from reversed([each for each in (folder, *folder.parents) if not each.exists()])
