"""``streamd verify``: says whether two photographs show the same person."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamd.commands.arguments import add_config_argument, add_json_argument, add_model_arguments, with_models
from streamd.errors import ExitCode, ModelError, UsageError, one_line

if TYPE_CHECKING:
    from streamd.config import Config
    from streamd.oneliners import FoundFace, Verification


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    add_json_argument(parser)
    add_model_arguments(parser)
    parser.add_argument(
        "--target-far", type=float, metavar="RATE", help="pairs of different people that may pass (default: configured)"
    )
    parser.add_argument("--threshold", type=float, help="similarity to ask for, in place of a rate")
    parser.add_argument("--all-models", action="store_true", help="a table over all embedders that are ready")
    parser.add_argument("first", type=Path, metavar="A", help="a photo; of several faces the largest counts")
    parser.add_argument("second", type=Path, metavar="B")


def run(args: argparse.Namespace) -> int:
    if args.target_far is not None and not 1e-9 <= args.target_far <= 0.5:
        raise UsageError(f"--target-far {args.target_far:g}: a rate from 1e-9 to 0.5")
    if args.threshold is not None and not -1 <= args.threshold <= 1:
        raise UsageError(f"--threshold {args.threshold:g}: a similarity from -1 to 1")
    config = with_models(args)
    if args.all_models:
        return _compare_models(args, config)
    body = _body(_verify(args, config))
    print(json.dumps(body, ensure_ascii=False, indent=2) if args.json else "\n".join(map(one_line, _lines(body))))
    return ExitCode.OK


def _verify(args: argparse.Namespace, config: Config) -> Verification:
    from streamd.oneliners import verify

    return verify(args.first, args.second, config=config, threshold=args.threshold, target_far=args.target_far)


def _compare_models(args: argparse.Namespace, config: Config) -> int:
    """The same question to every embedder; one that is not there is named with the reason."""
    rows: list[dict[str, Any]] = []
    for name in _embedders(config):
        recognition = config.recognition.model_copy(update={"embedder": name})
        try:
            found = _verify(args, config.model_copy(update={"recognition": recognition}))
        except ModelError as error:
            rows.append({"embedder": name, "error": str(error)})
        else:
            rows.append({"embedder": name, **_body(found)})
    print(json.dumps(rows, ensure_ascii=False, indent=2) if args.json else "\n".join(_table(rows)))
    return ExitCode.OK if any("error" not in row for row in rows) else ExitCode.UNAVAILABLE


def _embedders(config: Config) -> list[str]:
    from streamd.vision.catalog import catalogue
    from streamd.vision.modelstore import ModelStore

    known = catalogue(ModelStore(config.models_path).manifests).values()
    return [manifest.name for manifest in known if manifest.kind == "embedder"]


def _body(found: Verification) -> dict[str, Any]:
    return {
        "same": found.same,
        "similarity": round(found.similarity, 4),
        "distance": round(found.distance, 4),
        "threshold": round(found.threshold, 4),
        "probability": round(found.probability, 4),
        "model": found.model,
        "faces": [_face(face) for face in found.faces],
    }


def _face(face: FoundFace) -> dict[str, Any]:
    box = face.box
    return {
        "photo": face.photo,
        "box": [round(side) for side in (box.x1, box.y1, box.x2, box.y2)],
        "quality": round(face.quality, 3),
        "poor": face.poor,
        "of": face.of,
    }


def _lines(body: dict[str, Any]) -> list[str]:
    said = "the same person" if body["same"] else "different people"
    lines = [
        f"{said}: similarity {body['similarity']:.3f} (distance {body['distance']:.3f}), "
        f"threshold {body['threshold']:.3f}, probability {body['probability']:.3f}"
    ]
    for face in body["faces"]:
        poor = f", {face['poor']}" if face["poor"] else ""
        which = f"the largest of {face['of']} faces, " if face["of"] > 1 else ""
        box = ",".join(map(str, face["box"]))
        lines.append(f"  {face['photo']}: {which}box {box}, quality {face['quality']:.2f}{poor}")
    return lines


def _table(rows: list[dict[str, Any]]) -> list[str]:
    width = max(8, *(len(row["embedder"]) for row in rows)) + 2
    lines = [f"{'embedder':<{width}}same   similarity  distance  threshold  probability"]
    for row in rows:
        if "error" in row:
            lines.append(f"{row['embedder']:<{width}}{row['error']}")
        else:
            lines.append(
                f"{row['embedder']:<{width}}{'yes' if row['same'] else 'no':<7}{row['similarity']:<12.3f}"
                f"{row['distance']:<10.3f}{row['threshold']:<11.3f}{row['probability']:.3f}"
            )
    return lines
