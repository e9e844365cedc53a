"""``streamd enroll``: puts a person's photographs into the gallery."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from streamd.commands.arguments import add_config_argument, add_json_argument
from streamd.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from streamd.gallery.enrolment import PhotoResult
    from streamd.gallery.labels import Label

_MANY = 5
"""From so many photos a count is shown on a terminal."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    add_json_argument(parser)
    parser.add_argument("--dry-run", action="store_true", help="examine the photos, store nothing")
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a label for the person, like site=hq (repeatable)",
    )
    parser.add_argument("name", metavar="NAME", help="the person")
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO|DIR", help="photos of that person alone")


def run(args: argparse.Namespace) -> int:
    from streamd.gallery.labels import by_key, parse_label
    from streamd.gallery.names import person_name

    name, labels = person_name(args.name), [parse_label(text) for text in args.label]
    paths = list(_photos(args.photos))
    if not paths:
        raise UsageError(f"no photos in {', '.join(map(str, args.photos))}")
    results = []
    for result in _progress(_enroll(args, name, labels, paths), len(paths)):
        results.append(result)
        if not args.json:
            print(f"{'accepted' if result.accepted else 'refused '}  {_said(result)}", flush=True)
    accepted = sum(result.accepted for result in results)
    if args.json:
        body = _as_json(name, results, dry_run=args.dry_run) | {"labels": by_key(labels)}
        print(json.dumps(body, ensure_ascii=False, indent=2))
    else:
        print(_summary(name, accepted, len(results), dry_run=args.dry_run) + _labelled(labels if accepted else []))
    return ExitCode.OK if accepted else ExitCode.UNAVAILABLE


def _enroll(
    args: argparse.Namespace, name: str, labels: Sequence[Label], paths: Sequence[Path]
) -> Iterator[PhotoResult]:
    """Photo after photo; the person has the labels from the first that is accepted on."""
    from streamd.configfile import load_config
    from streamd.gallery.enrolment import Enroller
    from streamd.gallery.opening import load_photo_models, open_store

    config = load_config(args.config)
    with open_store(config) as store:
        models = load_photo_models(config)
        unlabelled = bool(labels) and not args.dry_run
        for result in Enroller(store, models.detector, models.embedder).enroll(name, paths, dry_run=args.dry_run):
            if result.accepted and unlabelled:
                store.label(name, labels)
                unlabelled = False
            yield result


def _photos(given: Iterable[Path]) -> Iterator[Path]:
    """Files as given, and the photos that lie directly in the folders."""
    from streamd.vision.photos import SUFFIXES

    for path in given:
        if path.is_dir():
            yield from sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
        else:
            yield path


def _progress(results: Iterator[PhotoResult], total: int) -> Iterator[PhotoResult]:
    shown = sys.stderr.isatty() and total >= _MANY
    for done, result in enumerate(results, start=1):
        if shown:
            print("\r\x1b[K", end="", file=sys.stderr)
        yield result
        if shown and done < total:
            print(f"{done} of {total}", end="", file=sys.stderr, flush=True)


def _said(result: PhotoResult) -> str:
    return result.message if result.accepted else f"{result.message} ({result.reason})"


def _summary(name: str, accepted: int, total: int, *, dry_run: bool) -> str:
    did = "would be enrolled" if dry_run else "enrolled"
    return f"{name}: {accepted} of {total} {'photo' if total == 1 else 'photos'} {did}"


def _labelled(labels: Sequence[Label]) -> str:
    return "".join(f", {key}={value}" for key, value in labels)


def _as_json(name: str, results: Sequence[PhotoResult], *, dry_run: bool) -> dict[str, object]:
    photos = [
        {
            "path": str(r.path),
            "accepted": r.accepted,
            "reason": r.reason,
            "message": r.message,
            "quality": None if r.quality is None else round(r.quality, 3),
        }
        for r in results
    ]
    return {
        "person": name,
        "dry_run": dry_run,
        "accepted": sum(r.accepted for r in results),
        "photos": photos,
    }
