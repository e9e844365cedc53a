"""``streamd gallery calibrate``: measures the gallery's people against each other, and says what to mend."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamd.commands.arguments import add_config_argument, add_json_argument
from streamd.commands.outputs import admit_output
from streamd.errors import ExitCode, GalleryError, PhotoRefused, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from streamd.config import Config
    from streamd.gallery.calibration import Calibration, Enrolled, PersonReport, Suspect
    from streamd.gallery.examiner import PhotoExaminer
    from streamd.gallery.store import GalleryStore
    from streamd.interfaces import Embedder

_RATES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
_MOST_LINES = 20
"""People and photos told of on a terminal; ``--json`` has them all."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    add_json_argument(parser)
    parser.add_argument(
        "--strangers", type=Path, metavar="DIR", help="photos of people who are not in the gallery, one face each"
    )
    parser.add_argument("--plot", type=Path, metavar="PNG", help="where the histograms go (default: in state_dir)")
    parser.add_argument("--dry-run", action="store_true", help="report, but leave the thresholds as they are")
    parser.add_argument("--reset", action="store_true", help="go back to the embedder's own statistics")


def run(args: argparse.Namespace) -> int:
    from streamd.configfile import load_config
    from streamd.gallery.opening import load_photo_models, open_store

    config = load_config(args.config)
    admit_output(args.plot, "PNG")
    models = load_photo_models(config)
    with open_store(config) as store:
        if args.reset:
            return _reset(store, models.embedder.model_id, as_json=args.json)
        enrolled = _enrolled(store, models.embedder.model_id)
        strangers = _strangers(args.strangers, models.examiner()) if args.strangers else None
        found = _calibrate(enrolled, models.embedder, config, strangers)
        plot = args.plot or config.state_dir / "calibration.png"
        _draw(found, plot)
        if not args.dry_run:
            _save(store, models.embedder.model_id, found)
    body = _body(found, enrolled, plot, saved=not args.dry_run and found.measured is not None)
    print(json.dumps(body, ensure_ascii=False, indent=2) if args.json else "\n".join(_lines(found, body)))
    return ExitCode.OK


def _reset(store: GalleryStore, model_id: str, *, as_json: bool) -> int:
    from streamd.gallery.scorerecords import drop_spread

    gone = drop_spread(store.database, model_id)
    words = "back to the embedder's own statistics" if gone else "there was no calibration of this embedder"
    print(json.dumps({"reset": gone, "model": model_id}) if as_json else words)
    return ExitCode.OK


def _enrolled(store: GalleryStore, model_id: str) -> Enrolled:
    from streamd.gallery.calibration import Enrolled
    from streamd.gallery.delta import Mark

    delta = store.delta(model_id, Mark())
    if not len(delta.face_ids):
        raise GalleryError(f"gallery {store.path}: no face of {model_id}; streamd enroll NAME PHOTO...")
    faces = [int(face) for face in delta.face_ids]
    sources = {face.id: face.source for person in set(delta.person_ids) for face in store.faces_of(person)}
    return Enrolled(delta.vectors, faces, delta.person_ids, delta.names, sources)


def _strangers(folder: Path, examiner: PhotoExaminer) -> NDArray[np.float32]:
    """The largest face of each photo in the folder, at any depth."""
    import numpy as np

    from streamd.vision.photos import SUFFIXES, read_photo

    if not folder.is_dir():
        raise UsageError(f"{folder}: not a folder")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    vectors = []
    for path in _progress(paths):
        try:
            faces = examiner.all_faces(read_photo(path))
        except PhotoRefused as refusal:
            print(refusal, file=sys.stderr)
            continue
        if faces:
            vectors.append(faces[0].vector)
    if not vectors:
        raise UsageError(f"{folder}: no face in {len(paths)} photos")
    return np.stack(vectors)


def _progress(paths: list[Path]) -> Iterator[Path]:
    shown = sys.stderr.isatty()
    for number, path in enumerate(paths, start=1):
        if shown:
            print(f"\r\x1b[Kstrangers: {number} of {len(paths)}", end="", file=sys.stderr, flush=True)
        yield path
    if shown:
        print("\r\x1b[K", end="", file=sys.stderr)


def _calibrate(
    enrolled: Enrolled, embedder: Embedder, config: Config, strangers: NDArray[np.float32] | None
) -> Calibration:
    from streamd.gallery.calibration import calibrate

    return calibrate(enrolled, embedder.scores, target_far=config.recognition.target_far, strangers=strangers)


def _save(store: GalleryStore, model_id: str, found: Calibration) -> None:
    from streamd.gallery.scorerecords import save_spread

    if found.measured is not None:
        save_spread(store.database, model_id, found.scores.impostor)


def _draw(found: Calibration, path: Path) -> None:
    from streamd.bench.plots import draw_scores

    draw_scores(path, genuine=found.genuine, impostor=found.impostor, threshold=found.threshold)


def _body(found: Calibration, enrolled: Enrolled, plot: Path, *, saved: bool) -> dict[str, Any]:
    from streamd.domain import Population

    population = Population(len(found.people), len(enrolled.face_ids))
    spread = found.scores.impostor
    roc = []
    for far in _RATES:
        threshold, share = found.found_at(far, population)
        roc.append({"far": far, "threshold": round(threshold, 4), "recognised": _rounded(share)})
    return {
        "people": len(found.people),
        "faces": len(enrolled.face_ids),
        "impostor": {"mean": round(spread.mean, 4), "std": round(spread.std, 4), "weight": round(found.weight, 3)},
        "threshold": round(found.threshold, 4),
        "roc": roc,
        "persons": [_person(person) for person in found.people],
        "suspects": [_suspect(suspect) for suspect in found.suspects],
        "plot": str(plot),
        "saved": saved,
    }


def _person(person: PersonReport) -> dict[str, Any]:
    return {
        "name": person.name,
        "faces": person.faces,
        "genuine": _rounded(person.genuine),
        "nearest": person.nearest_name,
        "nearest_similarity": _rounded(person.nearest_similarity),
        "threshold": _rounded(person.threshold),
    }


def _suspect(suspect: Suspect) -> dict[str, Any]:
    return {
        "face": suspect.face_id,
        "name": suspect.name,
        "source": suspect.source,
        "own": _rounded(suspect.own),
        "other": _rounded(suspect.other),
        "other_name": suspect.other_name,
        "reason": suspect.reason,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _lines(found: Calibration, body: dict[str, Any]) -> list[str]:
    from streamd.gallery.calibration import advice

    lines = [f"{body['people']} people, {body['faces']} faces; threshold {found.threshold:.3f}"]
    if found.measured is None:
        lines.append("too few people for statistics of their own: the embedder's are used")
    else:
        own = f"mean {found.measured.mean:.3f}, std {found.measured.std:.3f}"
        lines.append(f"different people here: {own}, weighed {found.weight:.0%} against the embedder's own")
    lines.append(f"{'stated FAR':>12}{'threshold':>11}  own photos recognised")
    for row in body["roc"]:
        share = "-" if row["recognised"] is None else f"{row['recognised']:.1%}"
        lines.append(f"{row['far']:>12g}{row['threshold']:>11.3f}  {share}")
    advised = advice(found)
    rest = len(advised) - _MOST_LINES
    lines += advised if rest <= 0 else [*advised[:_MOST_LINES], f"... and {rest} more (--json has all)"]
    lines.append(f"histograms: {body['plot']}")
    lines.append("thresholds are in use from now on" if body["saved"] else "nothing was changed")
    return lines
