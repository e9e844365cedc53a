"""``streamd gallery``: the state of the gallery file, what was changed in it, and the file itself."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from streamd.commands import calibrate, gallery_changes, gallery_moving
from streamd.commands.arguments import add_config_argument, add_json_argument
from streamd.errors import ExitCode

if TYPE_CHECKING:
    from streamd.config import Config
    from streamd.gallery.store import GalleryStore


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    made = {verb: verbs.add_parser(verb, help=told) for verb, told in _HELP.items()}
    calibrate.add_arguments(made.pop("calibrate"))
    for name, verb in made.items():
        if name != "new-key":
            add_config_argument(verb)
            add_json_argument(verb)
    gallery_changes.add_arguments(made["log"], made["undo"], made["audit"])
    gallery_moving.add_arguments(*(made[name] for name in ("export", "import", "backup", "rekey", "new-key")))


_HELP = {
    "status": "sizes, version, models, photos that were refused",
    "log": "changes, oldest first, and who made them",
    "undo": "take back the newest change, or the given one",
    "audit": "is everything consistent?",
    "calibrate": "measure people against each other, set the thresholds, find bad photos",
    "export": "write everybody to one signed file",
    "import": "take people over from such a file",
    "backup": "copy the whole gallery while it is in use",
    "reindex": "build the saved search index again",
    "sync": "fetch and send what is new in a shared gallery",
    "rekey": "encrypt, decrypt, or change the key",
    "new-key": "make a key file",
}


def run(args: argparse.Namespace) -> int:
    if args.verb == "calibrate":
        return calibrate.run(args)
    if args.verb == "new-key":
        return gallery_moving.new_key(args)
    from streamd.configfile import load_config
    from streamd.gallery.opening import open_store

    config = load_config(args.config)
    with open_store(config, adopt=args.verb == "sync" and config.gallery.kind != "local") as store:
        return _VERBS[args.verb](args, store, config)


def _print_state(args: argparse.Namespace, store: GalleryStore, config: Config) -> int:
    _print_status(_status(store, config), as_json=args.json)
    return ExitCode.OK


_VERBS = {
    "status": _print_state,
    "log": gallery_changes.log,
    "undo": gallery_changes.undo,
    "audit": gallery_changes.audit,
    "export": gallery_moving.export,
    "import": gallery_moving.import_,
    "backup": gallery_moving.backup,
    "reindex": gallery_moving.reindex,
    "sync": gallery_moving.sync,
    "rekey": gallery_moving.rekey,
}


def _status(store: GalleryStore, config: Config) -> dict[str, Any]:
    from streamd.gallery.folderrecords import FolderRecords
    from streamd.gallery.index import wants_hnsw
    from streamd.gallery.labels import label_texts
    from streamd.gallery.mirror import Mirror

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
        "encrypted": store.database.vault is not None,
        "index": "hnsw" if approximate else "exact",
        "shared": None if config.gallery.kind == "local" else config.gallery.kind,
        "unsent": Mirror(store).unsent_count(),
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
    print(f"sealed   {'encrypted' if status['encrypted'] else 'no: not encrypted'}")
    print(f"faces    {faces}")
    if status["labels"]:
        print(f"labels   {', '.join(f'{text} ({count})' for text, count in status['labels'].items())}")
    print(f"index    {status['index']}")
    if status["shared"]:
        print(f"shared   {status['shared']}: {status['unsent']} changes to be sent")
    print(f"folder   {status['folder'] or 'not watched'}: {status['photos']} photos enrolled")
    for path, reason in status["refused_photos"].items():
        print(f"refused  {path}: {reason}")
