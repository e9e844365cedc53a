"""``streamd state``: who wrote the state directory last, copies from before upgrades, and the way back to one."""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from streamd.commands.arguments import add_config_argument, add_json_argument
from streamd.errors import ExitCode, UnavailableError, UsageError

if TYPE_CHECKING:
    from streamd.backups import Backup
    from streamd.config import Config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    show = verbs.add_parser("show", help="versions, formats and copies")
    restore = verbs.add_parser("restore", help="go back to copies from before an upgrade; the daemon must not run")
    restore.add_argument(
        "copies", nargs="*", metavar="COPY", help="names of copies (default: of what this version cannot read)"
    )
    for verb in (show, restore):
        add_config_argument(verb)
        add_json_argument(verb)


def run(args: argparse.Namespace) -> int:
    from streamd.configfile import load_config

    config = load_config(args.config)
    if config.state_dir.exists() and not os.access(config.state_dir, os.R_OK | os.W_OK | os.X_OK):
        raise UnavailableError(
            f"{config.state_dir} is another user's: call this as the service's (runuser -u streamd --)"
        )
    return _show(args, config) if args.verb == "show" else _restore(args, config)


def _show(args: argparse.Namespace, config: Config) -> int:
    from streamd.backups import backups, format_of
    from streamd.events import timestamp
    from streamd.statedir import FORMATS, read_record

    record = read_record(config.state_dir)
    formats = {name: format_of(config.state_dir / name) for name in FORMATS}
    copies = backups(config.state_dir)
    if args.json:
        body = {
            "state_dir": str(config.state_dir),
            "written_by": record.streamd if record else None,
            "formats": formats,
            "known": FORMATS,
            "copies": [
                {"name": c.path.name, "file": c.file, "format": c.format, "made": timestamp(c.made_wall_s)}
                for c in copies
            ],
        }
        print(json.dumps(body, indent=2))
        return ExitCode.OK
    print(f"{config.state_dir}: written by {f'streamd {record.streamd}' if record else 'no daemon yet'}")
    for name, format in formats.items():
        print(f"  {name}: {f'format {format}' if format else 'not there'}, this streamd reads up to {FORMATS[name]}")
    for copy in copies:
        print(f"  copy of {timestamp(copy.made_wall_s)}: {copy.path}")
    return ExitCode.OK


def _restore(args: argparse.Namespace, config: Config) -> int:
    from streamd.backups import back_up, format_of, put_back
    from streamd.gallery.savedindex import drop_saved
    from streamd.statedir import lock_state, write_record

    if not config.state_dir.is_dir():
        raise UsageError(f"{config.state_dir}: no such folder; give the daemon's configuration with --config")
    lock = lock_state(config.state_dir)
    done: list[tuple[Backup, Path | None]] = []
    try:
        for copy in _chosen(config.state_dir, args.copies):
            path = config.state_dir / copy.file
            with _in_words(path):
                before = back_up(path, format_of(path)) if path.exists() else None
                last_seq = _last_seq(path)
                put_back(copy, path)
                _go_on_counting(path, last_seq)
            done.append((copy, before))
        if done:
            drop_saved(config.gallery_file)
            write_record(config.state_dir)
    finally:
        os.close(lock)
    return _tell(args, config, done)


def _chosen(state_dir: Path, names: Sequence[str]) -> list[Backup]:
    from streamd.backups import backups
    from streamd.statedir import FORMATS, newer_than_this, read_record, way_back

    if not names:
        newer = newer_than_this(state_dir, read_record(state_dir))
        newer.pop("state", None)
        if newer and not (found := way_back(state_dir, newer)):
            raise UnavailableError(f"no copy in {state_dir / 'backups'} that this version reads, of {', '.join(newer)}")
        return found if newer else []
    there = {copy.path.name: copy for copy in backups(state_dir)}
    chosen = []
    for name in (Path(name).name for name in names):
        if name not in there:
            raise UsageError(f"{name}: no such copy in {state_dir / 'backups'}: 'streamd state show' lists them")
        if there[name].format > FORMATS.get(there[name].file, 0):
            raise UsageError(f"{name}: of a format that this version does not read")
        chosen.append(there[name])
    if len({copy.file for copy in chosen}) < len(chosen):
        raise UsageError("two copies of the same file")
    return chosen


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise UnavailableError(f"{path} stays as it is: {error}") from error
    except OSError as error:
        raise UnavailableError(f"{path} stays as it is: {error.strerror or error}") from error


_LAST = "SELECT value FROM meta WHERE name = 'last_seq'"


def _last_seq(path: Path) -> int:
    """The newest event's number, where the file is a journal that still says so."""
    if path.name != "journal.sqlite" or not path.exists():
        return 0
    with closing(sqlite3.connect(path)) as db:
        try:
            row = db.execute(_LAST).fetchone()
        except sqlite3.OperationalError:  # of a format without it
            return 0
    return int(row[0]) if row else 0


def _go_on_counting(path: Path, last_seq: int) -> None:
    """Numbers that subscribers have seen are not given again."""
    if path.name == "journal.sqlite":
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE meta SET value = max(value, ?) WHERE name = 'last_seq'", (last_seq,))


def _tell(args: argparse.Namespace, config: Config, done: Sequence[tuple[Backup, Path | None]]) -> int:
    if args.json:
        restored = [{"copy": copy.path.name, "file": copy.file, "was": str(was) if was else None} for copy, was in done]
        print(json.dumps({"state_dir": str(config.state_dir), "restored": restored}))
        return ExitCode.OK
    if not done:
        print(f"{config.state_dir}: nothing to do, this version reads all of it")
    for copy, was in done:
        print(f"{config.state_dir / copy.file}: as it was in {copy.path.name}")
        if was is not None:
            print(f"  what it was until now: {was}")
    return ExitCode.OK
