"""``streamd check``: validates a configuration file without starting anything."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from streamd.commands.arguments import add_config_argument, add_json_argument
from streamd.errors import ConfigError, ExitCode, GalleryError

if TYPE_CHECKING:
    from streamd.config import Config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    add_json_argument(parser)
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--schema", action="store_true", help="print the file's JSON Schema (for editors)")
    instead.add_argument("--print-defaults", action="store_true", help="print every key with its default")


def run(args: argparse.Namespace) -> int:
    if args.schema:
        print(json.dumps(_schema(), indent=2))
    elif args.print_defaults:
        from streamd.configmanual import manual

        print(manual(), end="")
    else:
        return _check(args.config, as_json=args.json)
    return ExitCode.OK


def _schema() -> dict[str, object]:
    from streamd.config import Config

    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Config.model_json_schema()


def _check(path: Path | None, *, as_json: bool) -> int:
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
    cameras, warnings = len(config.cameras), _warnings(config)
    if as_json:
        print(json.dumps({"file": file, "ok": True, "cameras": cameras, "problems": [], "warnings": warnings}))
    else:
        print(f"{file}: ok, {cameras} {'camera' if cameras == 1 else 'cameras'}")
        for warning in warnings:
            print(f"warning: {warning}", file=sys.stderr)
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
