"""``streamd bench embedders``: every embedder in every runtime."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from streamd.commands.arguments import add_config_argument, add_json_argument
from streamd.errors import ExitCode

if TYPE_CHECKING:
    from streamd.bench.embedders import Row

HEAD = (
    "| embedder | runtime | threads | faces at once | ms per face | CPU ms per face | of onnxruntime's CPU | MB | "
    "cosine, least | mean |",
    "|---|---|---|---|---|---|---|---|---|---|",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    add_json_argument(parser)
    parser.add_argument("--embedder", action="append", default=[], metavar="NAME", help="default: all that are ready")
    parser.add_argument("--demo-dir", type=Path, metavar="DIR", help="where the demonstration's faces lie")


def run(args: argparse.Namespace) -> int:
    from streamd.bench.embedders import measure
    from streamd.config import default_state_dir
    from streamd.configfile import load_config
    from streamd.demo.setup import prepare_gallery

    config = load_config(args.config)
    photos = sorted(prepare_gallery(args.demo_dir or default_state_dir() / "demo").values())
    rows = []
    if not args.json:
        print("\n".join(HEAD), flush=True)
    for row in measure(config, photos, models=config.models_path, only=args.embedder):
        rows.append(row)
        if not args.json:
            print(line(row), flush=True)
    if args.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    return ExitCode.OK


def line(row: Row) -> str:
    return (
        f"| {row.embedder} | {row.runtime} | {row.threads} | {row.batch} | {row.ms:.2f} | {row.cpu_ms:.2f} "
        f"| {row.ratio:.2f} | {row.memory_mb:.0f} | {row.least_cosine:.5f} | {row.mean_cosine:.5f} |"
    )
