"""``streamd gallery``: the state of the gallery file, and what was changed in it."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from streamd.commands import calibrate
from streamd.commands.arguments import add_config_argument, add_json_argument
from streamd.errors import ExitCode

if TYPE_CHECKING:
    from streamd.config import Config
    from streamd.gallery.store import GalleryStore


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    status = verbs.add_parser("status", help="sizes, version, models, photos that were refused")
    log = verbs.add_parser("log", help="changes, oldest first")
    calibrate.add_arguments(
        verbs.add_parser("calibrate", help="measure people against each other, set the thresholds, find bad photos")
    )
    for verb in (status, log):
        add_config_argument(verb)
        add_json_argument(verb)
    log.add_argument("--after", type=int, default=0, metavar="VERSION", help="only changes after this one")
    log.add_argument("-n", "--limit", type=int, default=1000, help="at most so many (default: 1000)")


def run(args: argparse.Namespace) -> int:
    if args.verb == "calibrate":
        return calibrate.run(args)
    from streamd.configfile import load_config
    from streamd.gallery.opening import open_store

    config = load_config(args.config)
    with open_store(config) as store:
        if args.verb == "log":
            _print_log(args, store)
        else:
            _print_status(_status(store, config), as_json=args.json)
    return ExitCode.OK


def _print_log(args: argparse.Namespace, store: GalleryStore) -> None:
    from streamd.events import timestamp

    for change in store.changes(after=args.after, limit=args.limit):
        if args.json:
            print(json.dumps(asdict(change) | {"at": timestamp(change.at_wall_s)}, ensure_ascii=False))
        else:
            who = change.name or f"({change.person_id[:8]})"
            print(f"{change.version:<6}{timestamp(change.at_wall_s)}  {change.what:<17}{who}  {change.detail}".rstrip())


def _status(store: GalleryStore, config: Config) -> dict[str, Any]:
    from streamd.gallery.folderrecords import FolderRecords
    from streamd.gallery.index import wants_hnsw
    from streamd.gallery.labels import label_texts

    models = store.faces_by_model()
    people = store.people()
    photos = FolderRecords(store.database).photos().values()
    approximate = wants_hnsw(config.gallery.index, sum(models.values()), hnsw_from=config.gallery.hnsw_from)
    return {
        "file": str(store.path),
        "bytes": store.path.stat().st_size,
        "version": store.version(),
        "people": len(people),
        "labels": dict(sorted(Counter(text for p in people for text in label_texts(p.labels)).items())),
        "faces": models,
        "index": "hnsw" if approximate else "exact",
        "folder": str(config.gallery_folder) if config.gallery.sync else None,
        "photos": sum(not photo.reason for photo in photos),
        "refused": dict(sorted(Counter(photo.reason for photo in photos if photo.reason).items())),
        "refused_photos": {photo.path: photo.reason for photo in photos if photo.reason},
    }


def _print_status(status: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(status, ensure_ascii=False, indent=2))
        return
    faces = ", ".join(f"{count} of {model}" for model, count in status["faces"].items()) or "none"
    print(f"file     {status['file']} ({status['bytes'] / 1e6:.1f} MB), version {status['version']}")
    print(f"people   {status['people']}")
    print(f"faces    {faces}")
    if status["labels"]:
        print(f"labels   {', '.join(f'{text} ({count})' for text, count in status['labels'].items())}")
    print(f"index    {status['index']}")
    print(f"folder   {status['folder'] or 'not watched'}: {status['photos']} photos enrolled")
    for path, reason in status["refused_photos"].items():
        print(f"refused  {path}: {reason}")
