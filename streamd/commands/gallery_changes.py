"""``streamd gallery log | undo | audit``: what was changed, taking it back, and whether all is well."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from streamd.errors import ExitCode

if TYPE_CHECKING:
    from streamd.config import Config
    from streamd.gallery.store import GalleryStore


def add_arguments(log: argparse.ArgumentParser, undo: argparse.ArgumentParser, audit: argparse.ArgumentParser) -> None:
    log.add_argument("--after", type=int, default=0, metavar="VERSION", help="only changes after this one")
    log.add_argument("-n", "--limit", type=int, default=1000, help="at most so many (default: 1000)")
    undo.add_argument("version", nargs="?", type=int, metavar="VERSION", help="the change (default: the newest)")
    audit.add_argument("--mend", action="store_true", help="put right what can be")


def log(args: argparse.Namespace, store: GalleryStore, config: Config) -> int:
    from streamd.events import timestamp

    for change in store.changes(after=args.after, limit=args.limit):
        if args.json:
            print(json.dumps(asdict(change) | {"at": timestamp(change.at_wall_s)}, ensure_ascii=False))
        else:
            who = change.name or f"({change.person_id[:8]})"
            said = f"{change.version:<6}{timestamp(change.at_wall_s)}  {change.what:<17}{who}  {change.detail}"
            print(said.rstrip() + (f"  by {change.actor}" if change.actor else ""))
    return ExitCode.OK


def undo(args: argparse.Namespace, store: GalleryStore, config: Config) -> int:
    from streamd.peoplechanges import undo_change

    undone, moves = undo_change(config, store, args.version)
    if args.json:
        print(json.dumps(asdict(undone) | {"gallery_version": store.version()}, ensure_ascii=False))
    else:
        print(f"version {undone.version} undone: {', '.join(undone.whats)}")
        for move in moves:
            print(move.words)
    return ExitCode.OK


def audit(args: argparse.Namespace, store: GalleryStore, config: Config) -> int:
    from streamd.gallery.audit import audit as audited
    from streamd.gallery.audit import mend

    findings = audited(store)
    mended = mend(store, findings) if args.mend else 0
    if args.json:
        body = {"clean": not findings, "mended": mended, "findings": [asdict(finding) for finding in findings]}
        print(json.dumps(body, ensure_ascii=False, indent=2))
    else:
        for finding in findings:
            told = "mended" if args.mend and finding.mend else finding.advice
            print(f"{finding.message}: {told}")
        print(_verdict(len(findings), mended, any(finding.mend for finding in findings)))
    return ExitCode.OK if len(findings) == mended else ExitCode.UNAVAILABLE


def _verdict(found: int, mended: int, mendable: bool) -> str:
    if not found:
        return "everything is consistent"
    if mended:
        return f"{mended} of {found} mended"
    return f"{found} found" + ("; 'streamd gallery audit --mend' puts right what can be" if mendable else "")
