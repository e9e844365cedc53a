"""``streamd bench quality``: the error-versus-reject curve of the quality figure."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamd.commands.arguments import add_config_argument, add_json_argument, add_model_arguments, with_models
from streamd.commands.outputs import admit_output
from streamd.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from streamd.bench.accuracy import Pair
    from streamd.bench.quality import QualityReport


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    add_json_argument(parser)
    add_model_arguments(parser)
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--pairs", type=Path, metavar="CSV", help="columns a,b,same; needs --root")
    given.add_argument("--faces", type=Path, metavar="DIR", help="<person>/*.jpg, in place of a list of pairs")
    parser.add_argument("--root", type=Path, metavar="DIR", help="what the paths in the CSV are relative to")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the curves")


def run(args: argparse.Namespace) -> int:
    from streamd.bench.photographs import FaceReader
    from streamd.bench.quality import measure
    from streamd.gallery.opening import load_photo_models

    admit_output(args.plot, "PNG")
    pairs = _pairs(args)
    models = load_photo_models(with_models(args))
    threshold = models.embedder.scores.threshold(1e-3)
    report = measure(pairs, FaceReader(models.examiner()), threshold=threshold)
    if args.plot:
        _draw(args.plot, report)
    body = report.to_json()
    print(json.dumps(body, indent=2) if args.json else "\n".join(_lines(body)))
    return ExitCode.OK


def _pairs(args: argparse.Namespace) -> list[Pair]:
    from streamd.bench.accuracy import read_pairs
    from streamd.bench.quality import genuine_pairs

    if args.faces:
        return genuine_pairs(args.faces)
    if not args.root:
        raise UsageError("--pairs needs --root, the folder that its paths are relative to")
    return read_pairs(args.pairs, args.root)


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
    lines.append(f"{'damage':<26}fails   refused")
    for kind, share in body["failed"].items():
        reasons = body["refused"][kind]
        why = ", ".join(f"{reason} {of_all:.2f}" for reason, of_all in reasons.items())
        lines.append(f"{kind:<26}{share:<8.2f}{sum(reasons.values()):<7.2f} {why}".rstrip())
    return lines
