"""``streamd bench unknowns``: strangers who come again."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from streamd.commands.arguments import add_config_argument, add_json_argument, add_model_arguments, with_models
from streamd.errors import ExitCode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    add_json_argument(parser)
    add_model_arguments(parser)
    parser.add_argument("--faces", type=Path, required=True, metavar="DIR", help="<person>/*.jpg")
    parser.add_argument("--enrolled", type=float, default=0.25, metavar="SHARE", help="of the people (default: 0.25)")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="orders to try (default: 5)")


def run(args: argparse.Namespace) -> int:
    from streamd.bench.photographs import FaceReader
    from streamd.bench.unknowns import measure
    from streamd.gallery.opening import load_photo_models

    config = with_models(args)
    models = load_photo_models(config)
    reader = FaceReader(models.examiner())
    far = config.recognition.target_far
    runs = [
        measure(args.faces, reader, models.embedder, enrolled_share=args.enrolled, target_far=far, seed=seed).to_json()
        for seed in range(args.seeds)
    ]
    if args.json:
        print(json.dumps({"embedder": models.embedder.model_id, "runs": runs}, indent=2))
        return ExitCode.OK
    print("sightings  people  enrolled  unknown ids  precision  recall  F1      known given an id  known absorbed")
    for run in runs:
        print(
            f"{run['sightings']:<11}{run['people']:<8}{run['enrolled']:<10}{run['strangers']:<13}"
            f"{run['pairwise_precision']:<11.4f}{run['pairwise_recall']:<8.4f}{run['pairwise_f1']:<8.4f}"
            f"{run['known_given_an_id']:<19}{run['known_absorbed']}"
        )
    return ExitCode.OK
