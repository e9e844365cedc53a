"""``streamd recognize``: says who is on photographs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamd.commands.arguments import add_config_argument, add_json_argument, add_model_arguments, with_models
from streamd.errors import ExitCode, PhotoRefused, one_line

if TYPE_CHECKING:
    from streamd.domain import Match
    from streamd.oneliners import RecognisedFace, Recogniser


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    add_json_argument(parser)
    add_model_arguments(parser)
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="search only people with this label; may be repeated",
    )
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO")


def run(args: argparse.Namespace) -> int:
    from streamd.gallery.labels import parse_scope
    from streamd.oneliners import Recogniser

    labels = dict(parse_scope(args.label).wanted)
    with Recogniser.opened(with_models(args), labels=labels) as recogniser:
        found = [_examine(path, recogniser) for path in args.photos]
    if args.json:
        print(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        print("\n".join(one_line(line) for photo in found for line in _lines(photo)))
    return ExitCode.OK if any("faces" in photo for photo in found) else ExitCode.UNAVAILABLE


def _examine(path: Path, recogniser: Recogniser) -> dict[str, Any]:
    try:
        found = recogniser.look(path)
    except PhotoRefused as refusal:
        return {"photo": str(path), "error": str(refusal)}
    return {"photo": str(path), "faces": [_face(face) for face in found.faces]}


def _face(found: RecognisedFace) -> dict[str, Any]:
    box, nearest = found.face.box, found.nearest
    return {
        "verdict": found.verdict.value,
        "name": found.name,
        "similarity": round(nearest.similarity, 3) if nearest else None,
        "threshold": round(found.threshold, 3),
        "margin": None if found.margin is None else round(found.margin, 3),
        "probability": round(found.probability, 4),
        "nearest": nearest.name if nearest else None,
        "runner_up": _brief(found.runner_up) if found.runner_up else None,
        "quality": round(found.face.quality, 3),
        "poor": found.face.poor,
        "box": [round(side) for side in (box.x1, box.y1, box.x2, box.y2)],
    }


def _brief(match: Match) -> dict[str, Any]:
    return {"name": match.name, "similarity": round(match.similarity, 3)}


def _lines(photo: dict[str, Any]) -> list[str]:
    if "error" in photo:
        return [str(photo["error"])]
    return [f"{photo['photo']}: {_said(face)}" for face in photo["faces"]] or [f"{photo['photo']}: no face found"]


def _said(face: dict[str, Any]) -> str:
    text = face["name"] or face["verdict"]
    if face["nearest"]:
        like = "" if face["name"] else f" to {face['nearest']}"
        text += f", similarity {face['similarity']:.2f}{like} (threshold {face['threshold']:.2f}"
        if runner_up := face["runner_up"]:
            text += f", next {runner_up['name']} {runner_up['similarity']:.2f}"
        text += f"), probability {face['probability']:.3f}"
    poor = f", {face['poor']}" if face["poor"] else ""
    return f"{text}, box {','.join(map(str, face['box']))}{poor}"
