"""``streamd install``: a service of systemd, for the system or for one user."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streamd.commands.arguments import add_json_argument
from streamd.errors import ExitCode, UnavailableError
from streamd.installation import Done, Outcome, Places

MANAGER = Path("run/systemd/system")
"""There while systemd runs: sd_booted(3)."""
COMMAND_TIMEOUT_S = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_place_arguments(parser)
    parser.add_argument("--program", metavar="PATH", help="streamd, as the service is to call it (default: this one)")


def add_place_arguments(parser: argparse.ArgumentParser) -> None:
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--system", action="store_true", help="for the whole box, as user streamd (default)")
    whose.add_argument("--user", action="store_true", help="for the user who calls, without root")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument("--root", type=Path, default=Path("/"), metavar="DIR", help="into an image of a system")
    add_json_argument(parser)


def places_of(args: argparse.Namespace) -> Places:
    root = args.root.absolute()
    return Places.of_user(root) if args.user else Places.of_system(root)


def run(args: argparse.Namespace) -> int:
    from streamd import installation

    places = places_of(args)
    program = args.program or installation.this_program()
    if not args.user:
        installation.refuse_hidden(program)
    wanted = installation.items(places, program)
    if not args.dry_run:
        advice = "call it as root (sudo), or: streamd install --user"
        installation.refuse_without_rights([*(item.path for item in wanted), places.config_file], advice)
    outcomes = [installation.place(item, dry_run=args.dry_run) for item in wanted]
    outcomes.append(installation.place_config(places, dry_run=args.dry_run))
    changed = any(outcome.done not in (Done.UNCHANGED, Done.KEPT) for outcome in outcomes)
    commands = manager_commands(args, _commands(places), wanted=changed)
    if not args.dry_run:
        _share_with_service(outcomes[-1])
    return tell(args, Report(outcomes, commands, _next(places, program, commands)))


@dataclass(frozen=True, slots=True)
class Report:
    outcomes: Sequence[Outcome]
    commands: Sequence[tuple[str, bool]]
    """What the manager has to be told, and whether it was."""
    next: Sequence[str]
    """What is left to do, for a person."""


def _commands(places: Places) -> list[list[str]]:
    if places.user:
        return [["systemctl", "--user", "daemon-reload"]]
    return [["systemd-sysusers"], ["systemd-tmpfiles", "--create", "streamd.conf"], ["systemctl", "daemon-reload"]]


def manager_commands(args: argparse.Namespace, commands: list[list[str]], *, wanted: bool) -> list[tuple[str, bool]]:
    """Run what the manager has to be told, where one runs and listens to these places; else they are the person's."""
    mine = wanted and not args.dry_run and args.root == Path("/") and Path("/", MANAGER).is_dir()
    return [(" ".join(command), mine and _ran(command)) for command in commands] if wanted else []


def _ran(command: list[str]) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"{' '.join(command)}: {error}") from error
    if done.returncode:
        words = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise UnavailableError(f"{' '.join(command)}: {words}")
    return True


def _share_with_service(config: Outcome) -> None:
    """A first configuration is read by the group streamd; where there is none yet, a line of ``_next`` says so."""
    if config.done is not Done.WRITTEN:
        return
    try:
        for path in (config.path.parent, config.path):
            shutil.chown(path, group="streamd")
    except (LookupError, PermissionError):
        return


def _next(places: Places, program: str, commands: Sequence[tuple[str, bool]]) -> list[str]:
    left = [command for command, ran in commands if not ran]
    if places.user:
        pull, start = f"{program} models pull", "systemctl --user enable --now streamd"
    else:
        if left:
            left.append("chgrp -R streamd /etc/streamd")
        pull = f"runuser -u streamd -- {program} models pull --config /etc/streamd/streamd.yaml"
        start = "systemctl enable --now streamd"
    edit = f"name your cameras in {places.config_file}, then: {program} check --config {places.config_file}"
    return [*left, edit, pull, f"{start}    (after an upgrade: {start.partition(' enable')[0]} restart streamd)"]


def tell(args: argparse.Namespace, report: Report) -> int:
    if args.json:
        body = {
            "ok": True,
            "dry_run": args.dry_run,
            "files": [{"path": str(each.path), "done": each.done.name.lower()} for each in report.outcomes],
            "commands": [{"command": command, "ran": ran} for command, ran in report.commands],
            "next": list(report.next),
        }
        print(json.dumps(body, indent=2))
        return ExitCode.OK
    would = "would be: " if args.dry_run else ""
    for outcome in report.outcomes:
        print(f"{outcome.path}: {would}{outcome.done.value}")
    for command, ran in report.commands:
        if ran:
            print(f"ran: {command}")
    if report.next:
        print("\nnext:")
        print("\n".join(f"  {line}" for line in report.next))
    return ExitCode.OK
