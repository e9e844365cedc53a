"""``streamd enroll``: puts a person's photographs, or views of a video or camera, into the gallery."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamd.commands.arguments import add_config_argument, add_json_argument
from streamd.errors import ExitCode, UsageError, one_line

if TYPE_CHECKING:
    from streamd.config import Config
    from streamd.gallery.enrolment import Enroller, PhotoResult
    from streamd.gallery.labels import Label

_MANY = 5
"""From so many photos a count is shown on a terminal."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    add_json_argument(parser)
    parser.add_argument("--dry-run", action="store_true", help="examine, store nothing")
    parser.add_argument("--force", action="store_true", help="take faces unlike the person's others, or like others'")
    parser.add_argument("--views", type=int, default=8, metavar="N", help="of a video or camera (default: 8)")
    parser.add_argument("--seconds", type=float, metavar="S", help="of a camera (default: 20) or video (default: all)")
    parser.add_argument("--people", type=Path, metavar="DIR", help="everybody in DIR/<person>/*.jpg, in place of NAME")
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a label for the person, like site=hq (repeatable)",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="the person")
    parser.add_argument(
        "photos",
        nargs="*",
        metavar="PHOTO|DIR|VIDEO|CAMERA",
        help="photos or videos of that person alone, rtsp:// and other urls, or the name of a configured camera",
    )


def run(args: argparse.Namespace) -> int:
    from streamd.gallery.labels import by_key, parse_label

    if args.views < 1 or not (args.seconds is None or 0 < args.seconds < math.inf):
        raise UsageError("--views and --seconds: more than 0")
    labels = [parse_label(text) for text in args.label]
    jobs = _jobs(args)
    bodies, accepted, total = [], 0, 0
    for body in _enrolled(args, labels, jobs):
        bodies.append(body | {"labels": by_key(labels)})
        accepted, total = accepted + body["accepted"], total + len(body["photos"])
    if args.json:
        print(json.dumps(bodies if args.people else bodies[0], ensure_ascii=False, indent=2))
    elif args.people:
        print(f"{len(bodies)} people: {accepted} of {total} photos {_did(args)}")
    return ExitCode.OK if accepted else ExitCode.UNAVAILABLE


def _jobs(args: argparse.Namespace) -> list[tuple[str, list[str]]]:
    """Names, and what is given of each. Raises UsageError."""
    from streamd.gallery.names import person_name

    if not args.people:
        if not args.name or not args.photos:
            raise UsageError("give NAME and photos, or --people DIR")
        given = [str(path) for photo in args.photos for path in _photos(photo)]
        if not given:
            raise UsageError(f"no photos in {', '.join(args.photos)}")
        return [(person_name(args.name), given)]
    if args.name:
        raise UsageError("--people takes the names from the folders: give no NAME")
    if not args.people.is_dir():
        raise UsageError(f"--people {args.people}: no such folder")
    if loose := _photos_in(args.people):
        print(f"passed over: {loose[0]} and all photos beside the folders: whose are they?", file=sys.stderr)
    folders = sorted(path for path in args.people.iterdir() if path.is_dir() and not path.name.startswith("."))
    jobs = [(person_name(folder.name), list(map(str, _photos(str(folder))))) for folder in folders]
    if not any(given for _, given in jobs):
        raise UsageError(f"--people {args.people}: no photos as <person>/*.jpg")
    return [(name, given) for name, given in jobs if given]


def _photos(given: str) -> list[str]:
    """What is given, and of a folder the photos that lie directly in it; what else lies there is told."""
    from streamd.gallery.listing import is_by_the_way

    path = Path(given)
    if not path.is_dir():
        return [given]
    for inner in sorted(p for p in path.iterdir() if p.is_dir() and not is_by_the_way(p.name)):
        print(f"passed over: {inner}, a folder inside a person's; give it by itself", file=sys.stderr)
    return list(map(str, _photos_in(path)))


def _photos_in(folder: Path) -> list[Path]:
    """Also those of a kind that cannot be read, so that the refusal is said."""
    from streamd.gallery.listing import PHOTO_SUFFIXES

    found = [p for p in folder.iterdir() if p.name.lower().endswith(PHOTO_SUFFIXES) and p.is_file()]
    return sorted(p for p in found if not p.name.startswith("."))


def _enrolled(
    args: argparse.Namespace, labels: Sequence[Label], jobs: Sequence[tuple[str, list[str]]]
) -> Iterator[dict[str, Any]]:
    """Person after person, printed as it goes."""
    from streamd.configfile import load_config
    from streamd.gallery.enrolment import Enroller
    from streamd.gallery.folderwriter import FolderWriter
    from streamd.gallery.live import LiveGallery
    from streamd.gallery.opening import load_photo_models, open_store

    config = load_config(args.config)
    counter = _Counter(sum(len(given) for _, given in jobs))
    with open_store(config) as store:
        models = load_photo_models(config)
        model_id = models.embedder.model_id
        with LiveGallery(config.gallery_file, model_id=model_id, config=config.gallery) as gallery:
            writer = FolderWriter(config.gallery_folder, store.database) if config.gallery.write_folder else None
            enroller = Enroller(store, models.detector, models.embedder, gallery=gallery, writer=writer)
            for name, given in jobs:
                results: list[PhotoResult] = []
                for result in _results(args, config, enroller, name=name, given=given, counter=counter):
                    counter.clear()
                    if result.accepted and labels and not args.dry_run and not any(r.accepted for r in results):
                        store.label(name, labels)
                    results.append(result)
                    if not args.json:
                        print(f"{'accepted' if result.accepted else 'refused '}  {_said(result)}", flush=True)
                accepted = sum(result.accepted for result in results)
                if not args.json:
                    print(_summary(name, accepted, len(results), args) + _labelled(labels if accepted else []))
                yield _as_json(name, results, dry_run=args.dry_run)


def _results(
    args: argparse.Namespace,
    config: Config,
    enroller: Enroller,
    *,
    name: str,
    given: Sequence[str],
    counter: _Counter,
) -> Iterator[PhotoResult]:
    from streamd.commands.enroll_footage import enroll_footage, is_footage

    photos = [Path(text) for text in given if not is_footage(text, config)]
    yield from enroller.enroll(name, photos, dry_run=args.dry_run, force=args.force, noticed=counter.count)
    for text in given:
        if is_footage(text, config):
            yield from enroll_footage(args, config, enroller, name=name, given=text)
            counter.count()


class _Counter:
    """How many photos are done, and how long the rest may take, on a terminal."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._started_s = time.monotonic()
        self._shown = sys.stderr.isatty() and total >= _MANY

    def count(self) -> None:
        self._done += 1
        if self._shown and self._done < self._total:
            rate = self._done / max(1e-3, time.monotonic() - self._started_s)
            left_s = (self._total - self._done) / rate
            text = f"\r\x1b[K{self._done} of {self._total}, {rate:.1f} a second, {left_s / 60:.0f} min left"
            print(text, end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _said(result: PhotoResult) -> str:
    return one_line(result.message if result.accepted else f"{result.message} ({result.reason})")


def _summary(name: str, accepted: int, total: int, args: argparse.Namespace) -> str:
    return f"{name}: {accepted} of {total} {'photo' if total == 1 else 'photos'} {_did(args)}"


def _did(args: argparse.Namespace) -> str:
    return "would be enrolled" if args.dry_run else "enrolled"


def _labelled(labels: Sequence[Label]) -> str:
    return "".join(f", {key}={value}" for key, value in labels)


def _as_json(name: str, results: Sequence[PhotoResult], *, dry_run: bool) -> dict[str, Any]:
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
