"""``streamd doctor``: what is wrong with this installation, and what to do about it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

from streamd.commands.arguments import add_config_argument, add_json_argument, wants_colour
from streamd.commands.finding import Finding, Level
from streamd.config import Config, redact
from streamd.errors import ConfigError, ExitCode, StreamdError

Examination = Callable[[Config], Iterator[Finding]]

_COLOURS = {Level.OK: "32", Level.WARN: "33", Level.FAIL: "31"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    add_json_argument(parser)
    parser.add_argument(
        "--bundle", type=Path, metavar="FILE.tar.gz", help="write a bundle for a bug report, secrets removed"
    )
    parser.add_argument(
        "--log", type=Path, metavar="FILE", help="the daemon's log, for the bundle (default: journald's)"
    )
    parser.add_argument("--no-cameras", action="store_true", help="leave the cameras alone")


def run(args: argparse.Namespace) -> int:
    worst = Level.OK
    found: list[Finding] = []
    for raw in examine(args.config, cameras=not args.no_cameras):
        finding = replace(raw, message=redact(raw.message), advice=redact(raw.advice))
        worst = max(worst, finding.level)
        found.append(finding)
        if not args.json:
            print(_line(finding, colour=wants_colour()), flush=True)
    if args.bundle is not None:
        from streamd.commands.bundle import write_bundle

        told = write_bundle(args.bundle, found, config_file=args.config, log=args.log)
        print(told, file=sys.stderr if args.json else sys.stdout)
    if args.json:
        body = [asdict(finding) | {"level": finding.level.name.lower()} for finding in found]
        print(json.dumps({"ok": worst < Level.FAIL, "findings": body}, indent=2))
    return ExitCode.UNAVAILABLE if worst == Level.FAIL else ExitCode.OK


def examine(path: Path | None, *, cameras: bool = True) -> Iterator[Finding]:
    """Every finding, as soon as it is made. With a broken configuration the rest is examined with the defaults."""
    from streamd.configfile import find_config, load_config

    try:
        config = load_config(path)
        where = path or find_config() or "no file, all defaults"
        yield Finding(Level.OK, "configuration", f"{where}, {len(config.cameras)} cameras")
    except ConfigError as error:
        config = Config()
        for problem in error.problems:
            yield Finding(Level.FAIL, "configuration", str(problem), "mend the file; 'streamd check' looks again")
    for topic, examination in _examinations(cameras, path or find_config()).items():
        try:
            yield from examination(config)
        except (StreamdError, OSError, ImportError, ValueError, RuntimeError) as error:
            yield Finding(Level.FAIL, topic, f"could not be examined: {type(error).__name__}: {error}")


def _examinations(cameras: bool, file: Path | None) -> dict[str, Examination]:
    from streamd.commands import (
        camera_checks,
        decoder_checks,
        host_checks,
        library_checks,
        model_checks,
        provider_checks,
        scope_checks,
        security_checks,
        sink_checks,
    )

    chosen: dict[str, Examination] = {
        "libraries": library_checks.libraries,
        "directories": host_checks.directories,
        "disk": host_checks.disk,
        "clock": host_checks.clock,
        "ports": host_checks.ports,
        "keys": host_checks.keys,
        "security": lambda config: security_checks.security(config, file),
        "hardware decoders": decoder_checks.decoders,
        "models": model_checks.models,
        "accelerator": provider_checks.providers,
        "search scopes": scope_checks.scopes,
        "sinks": sink_checks.sinks,
    }
    return chosen | {"cameras": camera_checks.cameras} if cameras else chosen


def _line(finding: Finding, *, colour: bool) -> str:
    level = f"{finding.level.name.lower():<4}"
    if colour:
        level = f"\x1b[{_COLOURS[finding.level]}m{level}\x1b[0m"
    advice = f"\n      -> {finding.advice}" if finding.advice else ""
    return f"{level}  {finding.topic}: {finding.message}{advice}"
