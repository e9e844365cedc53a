"""``streamd person``: lists, shows, labels, renames and forgets people."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from streamd.commands.arguments import add_config_argument, add_json_argument
from streamd.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from streamd.config import Config
    from streamd.gallery.labels import Labels
    from streamd.gallery.rows import Person
    from streamd.gallery.store import GalleryStore


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    listing = verbs.add_parser("list", help="everybody in the gallery")
    showing = verbs.add_parser("show", help="a person's faces")
    labelling = verbs.add_parser("label", help="give a person labels, which cameras may search by")
    renaming = verbs.add_parser("rename", help="give a person another name")
    noting = verbs.add_parser("note", help="write down notes, or what the person agreed to")
    merging = verbs.add_parser("merge", help="two names are one person")
    splitting = verbs.add_parser("split", help="some of a person's faces are somebody else")
    forgetting = verbs.add_parser("forget", help="delete a person and their faces for good")
    for verb in (listing, showing, labelling, renaming, noting, merging, splitting, forgetting):
        add_config_argument(verb)
        add_json_argument(verb)
    for verb in (showing, labelling, noting, merging, splitting, forgetting):
        verb.add_argument("name", metavar="NAME")
    listing.add_argument(
        "--label", action="append", default=[], metavar="KEY=VALUE", help="only people with this label (repeatable)"
    )
    labelling.add_argument("labels", nargs="*", metavar="KEY=VALUE", help="labels to add, like site=hq")
    labelling.add_argument(
        "--remove", action="append", default=[], metavar="KEY[=VALUE]", help="a label to take away (repeatable)"
    )
    noting.add_argument("--notes", metavar="TEXT", help="anything worth knowing")
    noting.add_argument("--consent", metavar="TEXT", help="what they agreed to, and when")
    merging.add_argument("into", metavar="INTO", help="the name that stays")
    splitting.add_argument("new", metavar="NEW", help="name of the other person")
    splitting.add_argument(
        "--faces", type=_numbers, required=True, metavar="ID[,ID...]", help="their faces, as 'person show' lists them"
    )
    forgetting.add_argument("--photos", action="store_true", help="delete their photos in the watched folder as well")
    renaming.add_argument("name", metavar="OLD")
    renaming.add_argument("new", metavar="NEW")


def run(args: argparse.Namespace) -> int:
    from streamd.configfile import load_config
    from streamd.gallery.opening import open_store

    config = load_config(args.config)
    with open_store(config) as store:
        body, lines = _VERBS[args.verb](args, store, config)
    print(json.dumps(body, ensure_ascii=False, indent=2) if args.json else "\n".join(lines))
    return ExitCode.UNAVAILABLE if args.verb == "forget" and body["undone"] else ExitCode.OK


def _list(args: argparse.Namespace, store: GalleryStore, config: Config) -> tuple[Any, list[str]]:
    from streamd.gallery.labels import admitted, parse_scope

    scope, people = parse_scope(args.label), store.people()
    nobody = f"nobody has {scope}" if scope and people else "the gallery is empty: streamd enroll NAME PHOTO..."
    if scope:
        within = admitted(scope, {p.id: p.labels for p in people})
        people = [p for p in people if p.id in within]
    width = max((len(p.name) for p in people), default=0) + 2
    lines = [
        f"{p.name:<{width}}{_faces(p.faces):<12}{_day(p.created_wall_s)}  {_labels(p.labels)}".rstrip() for p in people
    ]
    return [_person(p) for p in people], lines or [nobody]


def _show(args: argparse.Namespace, store: GalleryStore, config: Config) -> tuple[Any, list[str]]:
    person = store.person(args.name)
    faces = store.faces_of(person.id)
    lines = [f"{person.name}  {person.id}  since {_day(person.created_wall_s)}  {_labels(person.labels)}".rstrip()]
    lines += [f"  {what}: {text}" for what, text in (("notes", person.notes), ("consent", person.consent)) if text]
    lines += [f"  face {f.id:<7}quality {f.quality:.2f}  {f.model_id}  {f.source}" for f in faces]
    return _person(person) | {"faces": [_rounded(asdict(f)) for f in faces]}, lines


def _label(args: argparse.Namespace, store: GalleryStore, config: Config) -> tuple[Any, list[str]]:
    from streamd.gallery.labels import by_key, parse_label, parse_removal

    if not args.labels and not args.remove:
        raise UsageError("nothing to do: give KEY=VALUE to add, or --remove KEY[=VALUE]")
    add, remove = [parse_label(text) for text in args.labels], [parse_removal(text) for text in args.remove]
    labels = store.label(args.name, add, remove=remove)
    lines = [f"{args.name}: {_labels(labels) or 'no labels'}"]
    return {"person": args.name, "labels": by_key(labels)}, lines


def _rename(args: argparse.Namespace, store: GalleryStore, config: Config) -> tuple[Any, list[str]]:
    from streamd.peoplechanges import rename_person

    move = rename_person(config, store, args.name, args.new)
    lines = [f"{args.name} is now {args.new}"]
    if move is not None:
        lines.append(move.words)
    return {"renamed": args.name, "to": args.new}, lines


def _note(args: argparse.Namespace, store: GalleryStore, config: Config) -> tuple[Any, list[str]]:
    if args.notes is None and args.consent is None:
        raise UsageError("nothing to do: give --notes or --consent")
    person = store.describe(args.name, notes=args.notes, consent=args.consent)
    return _person(person), [f"{person.name}: noted"]


def _merge(args: argparse.Namespace, store: GalleryStore, config: Config) -> tuple[Any, list[str]]:
    from streamd.peoplechanges import merge_people

    merged = merge_people(config, store, args.name, args.into)
    lines = [f"{merged.name} is {merged.into} now: {_faces(merged.faces)} went over"]
    if merged.photos:
        lines.append(f"their photos are now in {config.gallery_folder / merged.into}")
    return {"merged": merged.name, "into": merged.into, "faces": merged.faces, "photos": merged.photos}, lines


def _split(args: argparse.Namespace, store: GalleryStore, config: Config) -> tuple[Any, list[str]]:
    faces = store.split(args.name, args.new, args.faces)
    return {"split": args.name, "new": args.new, "faces": faces}, [f"{args.new} has {_faces(faces)} of {args.name}"]


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers, like 3,7") from error


def _forget(args: argparse.Namespace, store: GalleryStore, config: Config) -> tuple[Any, list[str]]:
    from streamd.forgetting import forget_person

    receipt = forget_person(config, store, args.name, photos=args.photos or config.gallery.write_folder)
    return receipt.as_json(), receipt.lines()


_VERBS = {
    "list": _list,
    "show": _show,
    "label": _label,
    "rename": _rename,
    "note": _note,
    "merge": _merge,
    "split": _split,
    "forget": _forget,
}


def _person(person: Person) -> dict[str, Any]:
    from streamd.gallery.labels import by_key

    return _rounded(asdict(person)) | {"labels": by_key(person.labels)}


def _labels(labels: Labels) -> str:
    from streamd.gallery.labels import label_texts

    return ", ".join(label_texts(labels))


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}


def _faces(count: int) -> str:
    return f"{count} {'face' if count == 1 else 'faces'}"


def _day(wall_s: float) -> str:
    from streamd.events import timestamp

    return timestamp(wall_s)[:10]
