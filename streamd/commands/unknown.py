"""``streamd unknown``: strangers who are recognised without a name."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamd.commands.arguments import add_config_argument, add_json_argument
from streamd.errors import ExitCode, UnavailableError

if TYPE_CHECKING:
    from streamd.config import Config
    from streamd.gallery.store import GalleryStore
    from streamd.gallery.strangers import Stranger, StrangerRecords


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    made = {verb: verbs.add_parser(verb, help=told) for verb, told in _HELP.items()}
    for name, verb in made.items():
        add_config_argument(verb)
        add_json_argument(verb)
        if name != "list":
            verb.add_argument("id", metavar="ID", help="like unknown-7f3a")
    made["list"].add_argument("--all", action="store_true", help="also those seen only once")
    made["show"].add_argument("--crops", type=Path, metavar="DIR", help="write their pictures there")
    made["assign"].add_argument("name", metavar="NAME")
    made["merge"].add_argument("into", metavar="INTO", help="the id that stays")
    made["ignore"].add_argument("--undo", action="store_true", help="notice them again")


_HELP = {
    "list": "strangers seen more than once, last seen first",
    "show": "when and where a stranger was seen",
    "assign": "give a stranger a name: their views are enrolled, past events revised",
    "merge": "two ids are one person",
    "ignore": "never tell of this face again, and never take it for anybody",
    "forget": "delete a stranger and their pictures",
}


def run(args: argparse.Namespace) -> int:
    from streamd.configfile import load_config
    from streamd.gallery.opening import open_store
    from streamd.gallery.strangers import StrangerRecords

    config = load_config(args.config)
    with open_store(config) as store:
        if args.verb == "forget":
            body, lines = _forget(args, store, config)
        else:
            body, lines = _VERBS[args.verb](args, StrangerRecords(store.database))
    print(json.dumps(body, ensure_ascii=False, indent=2) if args.json else "\n".join(lines))
    return ExitCode.UNAVAILABLE if args.verb == "forget" and body["undone"] else ExitCode.OK


def _list(args: argparse.Namespace, records: StrangerRecords) -> tuple[Any, list[str]]:
    found = records.all()
    shown = [stranger for stranger in found if args.all or stranger.sightings > 1 or stranger.state == "ignored"]
    hidden = len(found) - len(shown)
    lines = [_line(stranger) for stranger in shown] or ["nobody unknown was seen twice"]
    if hidden:
        lines.append(f"{hidden} seen once (--all shows them)")
    return [_as_json(stranger) for stranger in shown], lines


def _show(args: argparse.Namespace, records: StrangerRecords) -> tuple[Any, list[str]]:
    from streamd.events import timestamp

    stranger, views = records.get(args.id), records.chips(args.id)
    files = [_write(args.crops, f"{args.id}-{view[0]}.jpg", view[4]) if args.crops else "" for view in views]
    lines = [_line(stranger)]
    lines += [
        f"  {timestamp(at)}  {camera:<12}  quality {quality:.2f}  {file}".rstrip()
        for (_, camera, at, quality, _), file in zip(views, files, strict=True)
    ]
    body = [
        {"camera": camera, "at": timestamp(at), "quality": round(quality, 3), "file": file or None}
        for (_, camera, at, quality, _), file in zip(views, files, strict=True)
    ]
    return _as_json(stranger) | {"seen": body}, lines


def _assign(args: argparse.Namespace, records: StrangerRecords) -> tuple[Any, list[str]]:
    views = records.assign(args.id, args.name)
    lines = [f"{args.id} is {args.name} now: {views} views enrolled"]
    lines.append("past events are revised as soon as streamd runs")
    return {"assigned": args.id, "name": args.name, "faces": views}, lines


def _merge(args: argparse.Namespace, records: StrangerRecords) -> tuple[Any, list[str]]:
    records.merge(args.id, args.into)
    return {"merged": args.id, "into": args.into}, [f"{args.id} is {args.into} now"]


def _ignore(args: argparse.Namespace, records: StrangerRecords) -> tuple[Any, list[str]]:
    records.set_state(args.id, "open" if args.undo else "ignored")
    return {"id": args.id, "ignored": not args.undo}, [f"{args.id} is {'noticed again' if args.undo else 'ignored'}"]


def _forget(args: argparse.Namespace, store: GalleryStore, config: Config) -> tuple[Any, list[str]]:
    from streamd.forgetting import forget_stranger

    erased = forget_stranger(config, store, args.id)
    lines = [f"{args.id} is forgotten", f"  {erased.events} events in the journal do not tell of them any more"]
    if erased.undone:
        lines.append("not done yet; a running daemon goes on with it, and so does the same command:")
        lines += [f"  {trouble}" for trouble in erased.undone]
    return {"forgotten": args.id, "events": erased.events, "undone": erased.undone}, lines


_VERBS = {
    "list": _list,
    "show": _show,
    "assign": _assign,
    "merge": _merge,
    "ignore": _ignore,
}


def _line(stranger: Stranger) -> str:
    from streamd.events import timestamp

    times = "once" if stranger.sightings == 1 else f"{stranger.sightings} times"
    ignored = "  ignored" if stranger.state == "ignored" else ""
    seen = f"{timestamp(stranger.first_seen_wall_s)[:16]}..{timestamp(stranger.last_seen_wall_s)[:16]}"
    return f"{stranger.id:<16}{times:<10}{seen}  {', '.join(stranger.cameras)}{ignored}".rstrip()


def _as_json(stranger: Stranger) -> dict[str, Any]:
    from streamd.events import timestamp

    return asdict(stranger) | {
        "first_seen": timestamp(stranger.first_seen_wall_s),
        "last_seen": timestamp(stranger.last_seen_wall_s),
    }


def _write(folder: Path, name: str, data: bytes) -> str:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    except OSError as error:
        raise UnavailableError(
            f"{folder / name} cannot be written: {(error.strerror or str(error)).lower()}"
        ) from error
    return str(folder / name)
