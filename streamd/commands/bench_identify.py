"""``streamd bench identify``: open-set identification of known people among strangers."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from streamd.commands.arguments import add_config_argument, add_json_argument, add_model_arguments, with_models
from streamd.errors import ExitCode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    add_json_argument(parser)
    add_model_arguments(parser)
    parser.add_argument("--gallery", type=Path, required=True, metavar="DIR", help="<person>/*.jpg, who is known")
    parser.add_argument("--probes", type=Path, required=True, metavar="DIR", help="<person>/*.jpg, who comes by")
    parser.add_argument("--strangers", type=Path, metavar="DIR", help="photos of people who are not in the gallery")


def run(args: argparse.Namespace) -> int:
    from streamd.bench.identify import Folders, measure
    from streamd.bench.photographs import FaceReader
    from streamd.gallery.opening import load_photo_models

    config = with_models(args)
    models = load_photo_models(config)
    folders = Folders(args.gallery, args.probes, args.strangers)
    reader = FaceReader(models.examiner())
    body = measure(folders, reader, models.embedder, margin=config.recognition.margin).to_json()
    body |= {"detector": models.detector.model_id, "embedder": models.embedder.model_id}
    print(json.dumps(body, indent=2) if args.json else "\n".join(_lines(body)))
    return ExitCode.OK


def _lines(body: dict[str, Any]) -> list[str]:
    lines = [
        f"{body['detector']} + {body['embedder']}",
        f"gallery             {body['people']} people, {body['gallery_photos']} photos "
        f"({body['undetected_gallery']} without a face, {body['refusable_gallery']} too poor to be enrolled)",
        f"probes              {body['probes']} of known people, {body['strangers']} of strangers "
        f"({body['undetected']} without a face)",
        f"rank 1              {_share(body['rank1'])}",
    ]
    for rate in ("1e-2", "1e-3"):
        threshold = body[f"threshold_at_fpir_{rate}"]
        at = "" if threshold is None else f" (threshold {threshold:.3f})"
        lines.append(f"DIR at FPIR {rate}    {_share(body[f'dir_at_fpir_{rate}'])}{at}")
    lines.append(f"time                {body['ms_per_image']:.0f} ms per image")
    lines.append("stated FAR    threshold   strangers named           known named   misnamed")
    for row in body["stated"]:
        low, high = row["interval"]
        fpir = f"{row['false_names']} ({_share(row['fpir'])}; {low:.4f}..{high:.4f})"
        lines.append(
            f"{row['target_far']:<13g} {row['threshold']:<11.3f} {fpir:<25} {_share(row['identified']):<13} "
            f"{row['misnamed']}"
        )
    return lines


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
