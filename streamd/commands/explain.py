"""``streamd explain``: every look at a face, and why it got its name or none."""

from __future__ import annotations

import argparse
import json
import re
from datetime import datetime
from pathlib import Path

from streamd.commands.arguments import add_config_argument, add_json_argument, wants_colour
from streamd.commands.outputs import admit_output
from streamd.config import Config
from streamd.errors import ExitCode, UsageError
from streamd.eventlines import EventLines, printable
from streamd.events import Event, EventType
from streamd.explaining import reason, table
from streamd.journal import Filter, Journal, readable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    add_json_argument(parser)
    parser.add_argument(
        "what",
        metavar="TRACK|EVENT",
        help="an appearance (door-3fa1-42), an event's number or id, or 'last': the newest appearance that is over",
    )
    parser.add_argument("--face", type=Path, metavar="OUT.jpg", help="write the best picture of the face")
    parser.add_argument("--frame", type=Path, metavar="OUT.jpg", help="write the whole picture, where it was kept")


def run(args: argparse.Namespace) -> int:
    from streamd.configfile import load_config

    for out in (args.face, args.frame):
        admit_output(out, "JPEG")
    config = load_config(args.config)
    with Journal(config.journal_file, read_only=True) as journal:
        track = _track(journal, args.what)
        events = list(readable(journal.of_track(track)))
        account = journal.account(track)
    if not events:
        raise UsageError(f"{args.what}: there is no such appearance or event in the journal")
    for key, out in (("face", args.face), ("frame", args.frame)):
        if out is not None:
            _write_picture(config, events, key, out)
    sentence = reason(events, account)
    if args.json:
        body = {"track": track, "reason": sentence, "account": account, "events": [_as_json(e) for e in events]}
        print(json.dumps(body, ensure_ascii=False))
        return ExitCode.OK
    print(printable(f"{track}: {sentence}"))
    if account is not None and account.get("views"):
        print()
        print("\n".join(map(printable, table(account))))
    print()
    lines = EventLines(colour=wants_colour(), today=datetime.now().astimezone().date())
    for event in events:
        print("\n".join(lines.lines(event)))
    return ExitCode.OK


def _track(journal: Journal, what: str) -> str:
    """The appearance that is meant."""
    if number := re.fullmatch(r"#?(\d{1,16})", what):
        seq = int(number[1])
        rows = journal.since(seq - 1, 1, only=Filter(until_seq=seq)) if seq else []
        found = rows[0] if rows else None
    elif what == "last":
        found = next(iter(journal.last(1, only=Filter(types=(EventType.FACE_LEFT.value,)))), None)
        if found is None:
            raise UsageError("no appearance is over yet; 'streamd events' lists what there is, with numbers")
    elif re.fullmatch(r"[0-9a-f]{32}", what):
        found = journal.find(what)
    else:
        return what
    event = next(readable([found]), None) if found else None
    if event is None or event.track is None:
        problem = "not in the journal" if event is None else f"{event.type.value} tells of no face"
        raise UsageError(f"{what}: {problem}; give an appearance, or an event of one")
    return event.track


def _write_picture(config: Config, events: list[Event], key: str, out: Path) -> None:
    from streamd.gallery.vault import load_vault

    names = [str(name) for event in events if (name := (event.snapshot or {}).get(key))]
    if not names:
        raise UsageError(f"no {key} was kept of this appearance (snapshots.{key}s)")
    path = config.snapshots_dir / names[-1]
    if not path.resolve().is_relative_to(config.snapshots_dir.resolve()):
        raise UsageError(f"{names[-1]}: not a picture of ours")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}: it was deleted, or never written") from error
    if path.suffix == ".sealed":
        vault = load_vault(config.gallery.key_file)
        if vault is None:
            raise UsageError(f"{path} is encrypted: gallery.key_file is needed")
        data = vault.open(data)
    out.write_bytes(data)


def _as_json(event: Event) -> object:
    return json.loads(event.to_json())
