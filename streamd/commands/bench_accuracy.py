"""``streamd bench accuracy``: ten-fold accuracy, TAR at FAR and EER over pairs of photographs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamd.commands.arguments import add_config_argument, add_json_argument, add_model_arguments, with_models
from streamd.commands.outputs import admit_output
from streamd.errors import ExitCode

if TYPE_CHECKING:
    from streamd.bench.accuracy import Accuracy


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    add_json_argument(parser)
    add_model_arguments(parser)
    parser.add_argument("--pairs", type=Path, required=True, metavar="CSV", help="columns a,b,same")
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="what the paths in it are relative to")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the ROC curve")
    parser.add_argument("--scores", type=Path, metavar="CSV", help="write each pair's similarity")


def run(args: argparse.Namespace) -> int:
    from streamd.bench.accuracy import measure, read_pairs, write_scores
    from streamd.bench.photographs import FaceReader
    from streamd.gallery.opening import load_photo_models

    admit_output(args.plot, "PNG")
    pairs = read_pairs(args.pairs, args.root)
    models = load_photo_models(with_models(args))
    result = measure(pairs, FaceReader(models.examiner()))
    body = result.to_json(models.embedder.scores)
    body |= {"detector": models.detector.model_id, "embedder": models.embedder.model_id}
    if args.scores:
        write_scores(args.scores, result)
    if args.plot:
        _draw(args.plot, result, body)
    print(json.dumps(body, indent=2) if args.json else "\n".join(_lines(body)))
    return ExitCode.OK


def _draw(path: Path, result: Accuracy, body: dict[str, Any]) -> None:
    from streamd.bench.plots import draw_roc
    from streamd.bench.rates import roc

    _, far, tar = roc(result.genuine, result.impostor)
    title = f"{body['detector']} + {body['embedder']}: {body['pairs']} pairs, EER {body['eer']:.3%}"
    draw_roc(path, far, tar, title=title)


def _lines(body: dict[str, Any]) -> list[str]:
    lines = [
        f"{body['detector']} + {body['embedder']}",
        f"pairs               {body['pairs']} of {body['images']} photos, {body['undetected']} without a face",
        f"ten-fold accuracy   {body['accuracy']:.4f} +- {body['std']:.4f} (threshold {body['threshold']:.3f})",
    ]
    for rate in ("1e-2", "1e-3", "1e-4"):
        lines.append(f"TAR at FAR {rate}     {body[f'tar_at_far_{rate}']:.4f}{_at(body, rate)}")
    lines.append(f"EER                 {body['eer']:.4f}")
    lines.append(f"time                {body['ms_per_image']:.0f} ms per image")
    lines.append("stated FAR    threshold   measured FAR   TAR")
    for row in body["stated"]:
        measured = f"{row['measured_far']:<12.2g}"
        lines.append(f"{row['target_far']:<13g} {row['threshold']:<11.3f} {measured}   {row['tar']:.4f}")
    return lines


def _at(body: dict[str, Any], rate: str) -> str:
    threshold = body[f"threshold_at_far_{rate}"]
    return "" if threshold is None else f" (threshold {threshold:.3f})"
