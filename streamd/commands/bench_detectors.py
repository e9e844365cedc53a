"""``streamd bench detectors``: recall, precision and time of each detector on labelled pictures."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamd.commands.arguments import add_config_argument, add_json_argument
from streamd.errors import ExitCode, UnavailableError

if TYPE_CHECKING:
    from streamd.config import Config
    from streamd.vision.catalog import Manifest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    add_json_argument(parser)
    parser.add_argument("--boxes", type=Path, required=True, metavar="JSON", help='{"photo.jpg": [[x, y, w, h], ...]}')
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="where the photos lie")
    parser.add_argument(
        "--detector", action="append", metavar="NAME", help="may be repeated (default: all that are ready)"
    )
    parser.add_argument(
        "--longer-side-px", type=int, default=640, metavar="PX", help="size of detection (default: 640)"
    )


def run(args: argparse.Namespace) -> int:
    import cv2

    from streamd.bench.detectors import measure, read_boxes
    from streamd.configfile import load_config
    from streamd.vision.loading import load_detector

    cv2.setNumThreads(1)
    config = load_config(args.config)
    pictures = read_boxes(args.boxes, args.root)
    rows: dict[str, dict[str, Any]] = {}
    for manifest in _detectors(config, args.detector):
        if sys.stderr.isatty():
            print(f"{manifest.name} ...", file=sys.stderr)
        detector = load_detector(manifest.name, models=config.models_path, device="cpu", landmarks=False)
        report = measure(detector, pictures, longer_side_px=args.longer_side_px, min_score=manifest.threshold)
        rows[manifest.name] = report.to_json()
    print(json.dumps(rows, indent=2) if args.json else "\n".join(_table(rows)))
    return ExitCode.OK


def _detectors(config: Config, names: list[str] | None) -> list[Manifest]:
    from streamd.vision.catalog import catalogue
    from streamd.vision.modelstore import ModelStore

    store = ModelStore(config.models_path)
    if names:
        return [store.manifest(name, kind="detector") for name in names]
    known = [manifest for manifest in catalogue(store.manifests).values() if manifest.kind == "detector"]
    ready = [manifest for manifest in known if store.problem(manifest) is None]
    if not ready:
        raise UnavailableError("no detector is ready: run 'streamd models pull'")
    return ready


def _table(rows: dict[str, dict[str, Any]]) -> list[str]:
    """A Markdown table."""
    lines = ["| detector | recall | precision | false | ms | own landmarks |", "|---|---|---|---|---|---|"]
    for name, row in rows.items():
        recall, precision = (f"{row[key]:.3f}" if row[key] is not None else "-" for key in ("recall", "precision"))
        lines.append(
            f"| `{name}` | {recall} | {precision} | {row['false']} | {row['ms']:.0f} "
            f"| {'yes' if row['landmarks'] else 'no'} |"
        )
    return lines
