"""``streamd verify``: says whether two photographs show the same person."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamd.commands.arguments import add_config_argument, add_json_argument
from streamd.errors import ExitCode, PhotoRefused

if TYPE_CHECKING:
    from streamd.domain import Face
    from streamd.gallery.examiner import PhotoExaminer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    add_json_argument(parser)
    parser.add_argument(
        "--threshold", type=float, help="similarity of the same person (default: the model's for pairs)"
    )
    parser.add_argument("first", type=Path, metavar="A", help="a photo; of several faces the largest counts")
    parser.add_argument("second", type=Path, metavar="B")


def run(args: argparse.Namespace) -> int:
    from streamd.configfile import load_config
    from streamd.gallery.index import cosine
    from streamd.gallery.opening import load_photo_models

    models = load_photo_models(load_config(args.config))
    threshold = models.pair_threshold if args.threshold is None else args.threshold
    examiner = models.examiner()
    faces = [_largest(examiner, path) for path in (args.first, args.second)]
    similarity = cosine(faces[0].vector, faces[1].vector)
    body = {
        "same": similarity >= threshold,
        "similarity": round(similarity, 4),
        "threshold": threshold,
        "model": models.embedder.model_id,
        "faces": [_face(path, face) for path, face in zip((args.first, args.second), faces, strict=True)],
    }
    print(json.dumps(body, ensure_ascii=False, indent=2) if args.json else "\n".join(_lines(body)))
    return ExitCode.OK


def _largest(examiner: PhotoExaminer, path: Path) -> Face:
    from streamd.vision.photos import read_photo

    faces = examiner.all_faces(read_photo(path))
    if not faces:
        raise PhotoRefused("no_face", f"{path}: no face found")
    return faces[0]


def _face(path: Path, face: Face) -> dict[str, Any]:
    box = face.detection.box
    return {
        "photo": str(path),
        "box": [round(side) for side in (box.x1, box.y1, box.x2, box.y2)],
        "quality": round(face.quality.score, 3),
        "poor": face.quality.reason,
    }


def _lines(body: dict[str, Any]) -> list[str]:
    said = "the same person" if body["same"] else "different people"
    lines = [f"{said}: similarity {body['similarity']:.3f}, threshold {body['threshold']:.3f}"]
    for face in body["faces"]:
        poor = f", {face['poor']}" if face["poor"] else ""
        lines.append(f"  {face['photo']}: box {','.join(map(str, face['box']))}, quality {face['quality']:.2f}{poor}")
    return lines
