"""``streamd recognize``: says who is on photographs."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamd.commands.arguments import add_config_argument, add_json_argument
from streamd.errors import ExitCode, PhotoRefused

if TYPE_CHECKING:
    from streamd.domain import Face, Match
    from streamd.gallery.examiner import PhotoExaminer
    from streamd.gallery.live import LiveGallery


@dataclass(frozen=True, slots=True)
class _Recogniser:
    examiner: PhotoExaminer
    gallery: LiveGallery
    threshold: float
    margin: float

    def name(self, matches: list[Match]) -> str | None:
        """The name that one view is enough for; the daemon asks for several."""
        margin = matches[0].similarity - matches[1].similarity if len(matches) > 1 else 1.0
        sure = bool(matches) and matches[0].similarity >= self.threshold and margin >= self.margin
        return matches[0].name if sure else None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    add_json_argument(parser)
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO")


def run(args: argparse.Namespace) -> int:
    from streamd.configfile import load_config
    from streamd.gallery.live import LiveGallery
    from streamd.gallery.opening import load_photo_models

    config = load_config(args.config)
    models = load_photo_models(config)
    exact = config.gallery.model_copy(update={"index": "exact"})
    with LiveGallery(config.gallery_file, model_id=models.embedder.model_id, config=exact) as gallery:
        threshold = config.recognition.threshold or models.embedder.threshold
        recogniser = _Recogniser(models.examiner(), gallery, threshold, config.recognition.margin)
        found = [_examine(path, recogniser) for path in args.photos]
    if args.json:
        print(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        print("\n".join(line for photo in found for line in _lines(photo)))
    return ExitCode.OK if any("faces" in photo for photo in found) else ExitCode.UNAVAILABLE


def _examine(path: Path, recogniser: _Recogniser) -> dict[str, Any]:
    from streamd.vision.photos import read_photo

    try:
        faces = recogniser.examiner.all_faces(read_photo(path))
    except PhotoRefused as refusal:
        return {"photo": str(path), "error": str(refusal)}
    return {"photo": str(path), "faces": [_recognised(face, recogniser) for face in faces]}


def _recognised(face: Face, recogniser: _Recogniser) -> dict[str, Any]:
    matches = recogniser.gallery.search(face.vector[None], people=2)[0]
    box = face.detection.box
    return {
        "name": recogniser.name(matches),
        "similarity": round(matches[0].similarity, 3) if matches else None,
        "threshold": recogniser.threshold,
        "nearest": matches[0].name if matches else None,
        "runner_up": _brief(matches[1]) if len(matches) > 1 else None,
        "quality": round(face.quality.score, 3),
        "poor": face.quality.reason,
        "box": [round(side) for side in (box.x1, box.y1, box.x2, box.y2)],
    }


def _brief(match: Match) -> dict[str, Any]:
    return {"name": match.name, "similarity": round(match.similarity, 3)}


def _lines(photo: dict[str, Any]) -> list[str]:
    if "error" in photo:
        return [str(photo["error"])]
    return [f"{photo['photo']}: {_said(face)}" for face in photo["faces"]] or [f"{photo['photo']}: no face found"]


def _said(face: dict[str, Any]) -> str:
    text = face["name"] or "unknown"
    if face["nearest"]:
        like = "" if face["name"] else f" to {face['nearest']}"
        text += f", similarity {face['similarity']:.2f}{like} (threshold {face['threshold']:.2f}"
        if runner_up := face["runner_up"]:
            text += f", next {runner_up['name']} {runner_up['similarity']:.2f}"
        text += ")"
    poor = f", {face['poor']}" if face["poor"] else ""
    return f"{text}, box {','.join(map(str, face['box']))}{poor}"
