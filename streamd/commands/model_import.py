"""``streamd models import``: makes a model of one's own ONNX file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from streamd.errors import ExitCode, UsageError
from streamd.vision.modelstore import ModelStore, pull
from streamd.vision.profiles import NORMALISATIONS, profile_names
from streamd.vision.progress import terminal_progress

if TYPE_CHECKING:
    from streamd.domain import Image

_KNOWN = {"Obama": ("obama.jpg", "obama2.jpg", "obama3.jpg"), "Biden": ("biden.jpg",), "Collins": ("astronaut.png",)}
"""The demonstration's portraits: three of one person, and two other people."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="an ONNX file")
    parser.add_argument("--profile", required=True, metavar="PROFILE", help=", ".join(profile_names()))
    parser.add_argument("--name", help="what to call it (default: the profile's name, then 'own-')")
    parser.add_argument("--colour", choices=["bgr", "rgb"], help="order of the channels, where not the profile's")
    parser.add_argument(
        "--normalisation",
        choices=list(NORMALISATIONS),
        help="-1..1, 0..1, 0..255 or per picture, where not the profile's",
    )
    parser.add_argument(
        "--faces", type=Path, metavar="DIR", help="<person>/*.jpg to try it on (default: five portraits)"
    )
    parser.add_argument("--accept-license", metavar="TERMS", help="accept a profile's terms, like non-commercial")
    parser.add_argument("--force", action="store_true", help="replace an imported model of this name")


def run(args: argparse.Namespace, folder: Path) -> int:
    from streamd.importing import Request, import_model, known_faces

    pull(["yunet"], folder, terminal_progress())
    request = Request(
        file=args.file,
        profile=args.profile,
        name=args.name or f"own-{args.profile}",
        accept_license=args.accept_license,
        replace=args.force,
        changes=_changes(args),
    )
    people = _people_of(args.faces) if args.faces else _portraits()
    manifest, said = import_model(request, ModelStore(folder), known_faces(people, folder))
    if args.json:
        print(json.dumps({"name": manifest.name, "model_id": manifest.model_id, "kind": manifest.kind, "said": said}))
    else:
        key = "detection.model" if manifest.kind == "detector" else "recognition.embedder"
        print(f"{manifest.name}: imported; {said}. Use it with {key}: {manifest.name}")
    return ExitCode.OK


def _changes(args: argparse.Namespace) -> dict[str, object]:
    """Keys of the manifest's input that the options replace."""
    colour = {"colour": args.colour} if args.colour else {}
    return colour | dict(NORMALISATIONS.get(args.normalisation, {}))


def _people_of(folder: Path) -> dict[str, Iterator[Image]]:
    """Photos are read as they are asked for: a folder of thousands is not held in memory."""
    from streamd.bench.photographs import people_in
    from streamd.vision.photos import read_photo

    return {name: map(read_photo, paths) for name, paths in people_in(folder).items()}


def _portraits() -> dict[str, Iterator[Image]]:
    """The demonstration's faces; fetched where they are not there yet."""
    from streamd.config import default_state_dir
    from streamd.demo.faces import pull_faces
    from streamd.vision.photos import read_photo

    files = pull_faces(default_state_dir() / "demo" / "faces", progress=terminal_progress())
    missing = [name for names in _KNOWN.values() for name in names if name not in files]
    if missing:
        raise UsageError(f"no portrait {', '.join(missing)}; give your own with --faces DIR")
    return {person: map(read_photo, [files[name] for name in names]) for person, names in _KNOWN.items()}
