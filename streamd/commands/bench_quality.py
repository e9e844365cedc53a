"""``streamd bench quality``: the error-versus-reject curve of the quality figure."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamd.commands.arguments import add_config_argument, add_json_argument, add_model_arguments, with_models
from streamd.errors import ExitCode

if TYPE_CHECKING:
    from streamd.bench.quality import QualityReport


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    add_json_argument(parser)
    add_model_arguments(parser)
    parser.add_argument("--pairs", type=Path, required=True, metavar="CSV", help="columns a,b,same")
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="what the paths in it are relative to")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the curves")


def run(args: argparse.Namespace) -> int:
    from streamd.bench.accuracy import read_pairs
    from streamd.bench.photographs import FaceReader
    from streamd.bench.quality import measure
    from streamd.gallery.opening import load_photo_models

    pairs = read_pairs(args.pairs, args.root)
    models = load_photo_models(with_models(args))
    threshold = models.embedder.scores.threshold(1e-3)
    report = measure(pairs, FaceReader(models.examiner()), threshold=threshold)
    if args.plot:
        _draw(args.plot, report)
    body = report.to_json()
    print(json.dumps(body, indent=2) if args.json else "\n".join(_lines(body)))
    return ExitCode.OK


def _draw(path: Path, report: QualityReport) -> None:
    import numpy as np

    from streamd.bench.plots import draw_lines
    from streamd.bench.quality import REJECTED

    shares = np.array(REJECTED)
    lines = {part: (shares, np.array(report.curve(part))) for part in report.parts}
    draw_lines(path, lines, title="error versus reject", labels=("share rejected", "share of the rest that fails"))


def _lines(body: dict[str, Any]) -> list[str]:
    lines = [
        f"{body['comparisons']} comparisons of damaged photos, {body['undetected']} without a face; "
        f"failed: below {body['threshold']:.3f}",
        "share that fails    " + "".join(f"{f'-{share:.0%}':>8}" for share in body["rejected"]) + "    area",
    ]
    for part, row in body.items():
        if isinstance(row, dict) and "curve" in row:
            lines.append(f"{part:<20}" + "".join(f"{v:>8.3f}" for v in row["curve"]) + f"{row['area']:>8.3f}")
    return lines
