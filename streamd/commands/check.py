"""``streamd check``: validates configuration, gallery and models without starting anything."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from streamd.commands.arguments import add_config_argument, add_json_argument
from streamd.errors import ConfigError, ExitCode, GalleryError, UnavailableError, UsageError

if TYPE_CHECKING:
    from streamd.config import Config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    add_json_argument(parser)
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--schema", action="store_true", help="print the file's JSON Schema (for editors)")
    instead.add_argument("--print-defaults", action="store_true", help="print every key with its default")
    instead.add_argument("--migrate", action="store_true", help="rewrite a file of an older version, comments kept")
    parser.add_argument("--only-config", action="store_true", help="leave gallery and models alone")


def run(args: argparse.Namespace) -> int:
    if args.schema:
        print(json.dumps(_schema(), indent=2))
    elif args.print_defaults:
        from streamd.configmanual import manual

        print(manual(), end="")
    elif args.migrate:
        return _migrate(args.config, as_json=args.json)
    else:
        return _check(args.config, as_json=args.json, only_config=args.only_config)
    return ExitCode.OK


def _schema() -> dict[str, object]:
    from streamd.config import Config

    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Config.model_json_schema()


def _check(path: Path | None, *, as_json: bool, only_config: bool) -> int:
    from streamd.configfile import find_config, load_config

    file = str(path or find_config() or "(no file: defaults)")
    try:
        config = load_config(path)
    except ConfigError as error:
        if not as_json:
            raise
        problems = [asdict(problem) for problem in error.problems]
        print(json.dumps({"file": file, "ok": False, "problems": problems}))
        return ExitCode.CONFIG
    faults, notes = ([], []) if only_config else _state(config)
    cameras, warnings = len(config.cameras), _warnings(config) + notes + _old_version(path or find_config())
    if as_json:
        body = {"file": file, "ok": not faults, "cameras": cameras, "problems": [], "warnings": warnings}
        print(json.dumps(body | {"faults": faults}))
    else:
        print(f"{file}: ok, {cameras} {'camera' if cameras == 1 else 'cameras'}")
        for line in (*faults, *(f"warning: {warning}" for warning in warnings)):
            print(line, file=sys.stderr)
    return ExitCode.UNAVAILABLE if faults else ExitCode.OK


def _state(config: Config) -> tuple[list[str], list[str]]:
    """What would keep the daemon from starting, and what is to be known; nothing where it was never started."""
    from streamd.commands.finding import Level
    from streamd.commands.state_checks import state

    if not config.state_dir.is_dir():
        return [], []
    if not os.access(config.state_dir, os.R_OK | os.X_OK):
        return [], [f"{config.state_dir} is another user's: gallery and models were not looked at"]
    found = list(state(config))
    told = {level: [f"{f.topic}: {f.message}" for f in found if f.level is level] for level in Level}
    return told[Level.FAIL], told[Level.WARN]


def _old_version(path: Path | None) -> list[str]:
    from streamd.configtree import parse
    from streamd.configversions import CURRENT, outdated, version_of

    if path is None:
        return []
    document = parse(path.read_text("utf-8-sig"), file=str(path), expand=str).value
    if not outdated(document):
        return []
    return [f"version {version_of(document)} is read as version {CURRENT}; 'streamd check --migrate' rewrites the file"]


def _migrate(path: Path | None, *, as_json: bool) -> int:
    """The file of before is kept beside the new one."""
    import shutil

    from streamd.configediting import ConfigFile
    from streamd.configfile import find_config
    from streamd.configtree import parse
    from streamd.configversions import CURRENT, migrate, outdated, version_of

    found = path or find_config()
    if found is None:
        raise UsageError("no configuration file: give one with --config")
    file = ConfigFile(found)
    file.config()  # what is not valid is not rewritten
    document = parse(found.read_text("utf-8-sig"), file=str(found), expand=str).value
    if not outdated(document):
        body = {"file": str(found), "version": CURRENT, "before": None}
        print(json.dumps(body) if as_json else f"{found}: version {CURRENT} already")
        return ExitCode.OK
    kept = found.with_name(f"{found.name}.version{version_of(document)}")
    try:
        shutil.copy2(found, kept)
    except OSError as error:
        raise UnavailableError(f"{kept}: cannot be written: {error.strerror or error}") from error
    file.edit(migrate)
    body = {"file": str(found), "version": CURRENT, "before": str(kept)}
    print(json.dumps(body) if as_json else f"{found}: version {CURRENT} now; as it was: {kept}")
    return ExitCode.OK


def _warnings(config: Config) -> list[str]:
    """What is valid, and yet will not do what was meant."""
    from streamd.commands.finding import Level
    from streamd.commands.sink_checks import sinks

    found = [f"{f.topic}: {f.message}" for f in sinks(config, network=False) if f.level is not Level.OK]
    if not any(camera.search for camera in config.cameras.values()):
        return found
    from streamd.commands.scope_checks import scopes

    try:
        return found + [f"{f.topic}: {f.message}" for f in scopes(config) if f.level is not Level.OK]
    except GalleryError as error:
        return [*found, f"search scopes not compared with the labels in use: {error}"]
