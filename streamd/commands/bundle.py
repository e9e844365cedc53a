"""``streamd doctor --bundle``: what a bug report needs, without secrets, names and faces."""

from __future__ import annotations

import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING

import streamd
from streamd.commands.finding import Finding
from streamd.config import Config
from streamd.errors import GalleryError, StreamdError, UnavailableError, UsageError
from streamd.scrubbing import Scrubber, secrets_in

if TYPE_CHECKING:
    from streamd.control import SystemStatus

LOG_BYTES = 2_000_000
"""Of the log, its end."""
_UNIT = "streamd.service"
_ASK_S = 3.0
_JOURNALD_S = 30.0

README = """What 'streamd doctor --bundle' gathered, for a bug report. Read it before you send it.

findings.json  what the doctor found
versions.json  Python, libraries, processor, operating system
config.yaml    the configuration file, without its comments
status.json    the processes of the running daemon
metrics.txt    its metrics
log.txt        the end of its log

Removed: passwords, tokens, keys, users and queries in URLs, commands and headers of sinks, the names of people in the
gallery, in its folder and among the users (person-1, person-2, wherever a word of a name stood), and the names of
pictures. There are no faces, no embeddings and no events in it. Names of cameras and addresses of hosts are in it.
"""


def write_bundle(path: Path, findings: Sequence[Finding], *, config_file: Path | None, log: Path | None) -> str:
    """Write the archive, readable by this user alone, and say so in a sentence or two.

    Raises:
        UsageError: the file is there already, or cannot be written.
    """
    from streamd.configfile import find_config

    file = config_file or find_config()
    config, notes = _loaded(file), list[str]()
    names = _names(config, notes)
    hidden = {*secrets_in(config.model_dump(mode="json")), *secrets_in(_raw(file))}
    scrubber = Scrubber(names=names or (), secrets=hidden, home=str(Path.home()))
    entries: dict[str, Callable[[], str]] = {
        "findings.json": lambda: _json([asdict(f) | {"level": f.level.name.lower()} for f in findings]),
        "versions.json": lambda: _json(versions()),
        "config.yaml": lambda: _configuration(file, scrubber),
        "status.json": lambda: _status(config),
        "metrics.txt": lambda: _metrics(config),
    }
    if names is not None:
        entries["log.txt"] = lambda: _log(log)
    made = {"README.txt": README}
    for name, make in entries.items():
        try:
            made[name] = scrubber.text(make())
        except (StreamdError, OSError) as error:
            notes.append(f"no {name}: {error}")
    made["README.txt"] += "".join(scrubber.text(f"\n{note}") for note in notes) + "\n" * bool(notes)
    _write(path, made)
    return "\n".join([f"{path}: {', '.join(made)}; read it before you send it", *map(scrubber.text, notes)])


def versions() -> dict[str, object]:
    """What runs here."""
    return {
        "streamd": streamd.__version__,
        "python": sys.version,
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "nvidia": _first_line("/proc/driver/nvidia/version"),
        "libraries": {d.metadata["Name"]: d.version for d in sorted(distributions(), key=lambda d: d.metadata["Name"])},
    }


def _processor() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))), None)


def _first_line(path: str) -> str | None:
    try:
        return Path(path).read_text().splitlines()[0]
    except (OSError, IndexError):
        return None


def _loaded(file: Path | None) -> Config:
    from streamd.configfile import load_config

    try:
        return load_config(file)
    except StreamdError:
        return Config()


def _raw(file: Path | None) -> object:
    """The file before its variables are filled in; None where it cannot be read."""
    import yaml

    try:
        return yaml.safe_load(file.read_text()) if file is not None else None
    except (OSError, ValueError, yaml.YAMLError):
        return None


def _configuration(file: Path | None, scrubber: Scrubber) -> str:
    import yaml

    if not isinstance(raw := _raw(file), dict):
        raise UnavailableError("no configuration file that could be read as YAML")
    return yaml.safe_dump(scrubber.tree(raw), sort_keys=False, allow_unicode=True)


def _names(config: Config, notes: list[str]) -> set[str] | None:
    """Of everybody whom streamd knows; None where that cannot be known, which is noted."""
    found = {*config.gateway.users, *config.gateway.tokens}
    folder = config.gallery.folder or config.state_dir / "gallery"
    try:
        found |= {entry.name for entry in folder.iterdir() if entry.is_dir()} if folder.is_dir() else set()
        if config.gallery_file.exists():
            found |= set(_in_gallery(config))
    except (GalleryError, OSError) as error:
        notes.append(f"no log.txt: names of people could be in it, and those cannot be known: {error}")
        return None
    return found


def _in_gallery(config: Config) -> Iterator[str]:
    from streamd.gallery.opening import open_store

    with open_store(config) as store:
        yield from (person.name for person in store.people())
        yield from (change.name for change in store.last_changes(limit=10_000) if change.name)


def _status(config: Config) -> str:
    return _json([asdict(child) for child in _asked(config).children])


def _metrics(config: Config) -> str:
    from streamd.exposition import render

    return render(_asked(config).snapshots).decode()


def _asked(config: Config) -> SystemStatus:
    """Raises UnavailableError: no daemon runs."""
    from streamd.commands.host_checks import daemon_answers
    from streamd.control import ask_status
    from streamd.endpoints import control_endpoint

    if not daemon_answers(config):
        raise UnavailableError("no daemon runs with this configuration")
    return ask_status(control_endpoint(config.sockets_dir), timeout_s=_ASK_S)


def _log(file: Path | None) -> str:
    if file is not None:
        with file.open("rb") as opened:
            opened.seek(max(0, file.stat().st_size - LOG_BYTES))
            return opened.read().decode(errors="replace")
    if shutil.which("journalctl") is None:
        raise UnavailableError("there is no journald here: give the file with --log")
    command = ["journalctl", "--unit", _UNIT, "--lines", "5000", "--no-pager", "--output", "cat"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_JOURNALD_S)
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(
            f"journald does not answer within {_JOURNALD_S:g} s: give the file with --log"
        ) from error
    if done.returncode or not done.stdout.strip():
        raise UnavailableError(f"journald has nothing of {_UNIT}: give the file with --log")
    return done.stdout[-LOG_BYTES:]


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _write(path: Path, texts: dict[str, str]) -> None:
    folder = path.name.removesuffix(".gz").removesuffix(".tar").removesuffix(".tgz")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise UsageError(f"{path} is there already: name another file") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from error
    try:
        with open(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:  # noqa: PTH123
            for name, text in texts.items():
                data = text.encode(errors="replace")
                entry = tarfile.TarInfo(f"{folder}/{name}")
                entry.size, entry.mtime, entry.mode = len(data), int(time.time()), 0o600
                archive.addfile(entry, io.BytesIO(data))
    except OSError as error:
        path.unlink(missing_ok=True)
        raise UnavailableError(f"{path}: cannot be written: {error.strerror or error}") from error
