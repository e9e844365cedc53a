"""``streamd uninstall``: takes away what ``streamd install`` put there; never the state, never the configuration."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from streamd.commands.install import Report, add_place_arguments, manager_commands, places_of, tell
from streamd.errors import UsageError
from streamd.installation import Done, Outcome, Places

_SERVICES = ("streamd.service", "streamd-capture@.service")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_place_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from streamd import installation

    places = places_of(args)
    items = installation.items(places, installation.SHIPPED_PROGRAM)
    there = [item for item in items if item.path.exists()]
    if not args.dry_run:
        installation.refuse_without_rights([item.path for item in there], "call it as root (sudo)")
    ours = any(installation.remove(item, dry_run=True).done is Done.REMOVED for item in items)
    before = manager_commands(args, _stopping(places), wanted=ours)
    outcomes = [installation.remove(item, dry_run=args.dry_run) for item in items]
    manager = ["systemctl", *(["--user"] if places.user else [])]
    after = manager_commands(args, [[*manager, "daemon-reload"]], wanted=ours)
    if not ours and all(outcome.done is Done.ABSENT for outcome in outcomes) and not (args.json or args.dry_run):
        raise UsageError(f"nothing to remove: streamd is not installed in {places.units}")
    commands = [*before, *after]
    return tell(args, Report(outcomes, commands, _next(places, commands, outcomes)))


def _stopping(places: Places) -> list[list[str]]:
    manager = ["systemctl", *(["--user"] if places.user else [])]
    if places.user:
        return [[*manager, "disable", "--now", "streamd.service"]]
    # A template's links are all taken away at once, but its instances are stopped by a pattern.
    return [[*manager, "stop", "streamd.service", "streamd-capture@*.service"], [*manager, "disable", *_SERVICES]]


def _next(places: Places, commands: Sequence[tuple[str, bool]], outcomes: Sequence[Outcome]) -> list[str]:
    left = [command for command, ran in commands if not ran]
    left += [f"rm {each.path}    (somebody else's, or older)" for each in outcomes if each.done is Done.FOREIGN]
    if places.user:
        return [*left, f"kept: {places.config}, ~/.local/state/streamd (faces, journal, models)"]
    return [
        *left,
        f"kept: {places.config}, /var/lib/streamd (faces, journal, models), the user streamd; to delete these, too:",
        f"  rm -r {places.config} /var/lib/streamd && userdel streamd",
    ]
