"""``streamd bench pipeline``: the real daemon on real-time streams."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from streamd.commands.arguments import add_config_argument, add_json_argument
from streamd.errors import ExitCode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    add_json_argument(parser)
    parser.add_argument("--cameras", type=int, default=4, metavar="N")
    parser.add_argument("--seconds", type=float, default=30.0, metavar="S", help="measured after a warm-up of 5 s")
    parser.add_argument("--detector", default="yunet", help="detector's name (default: yunet)")
    parser.add_argument("--demo-dir", type=Path, metavar="DIR", help="where the demonstration's clips lie")


def run(args: argparse.Namespace) -> int:
    from streamd.bench.pipeline import Load, measure
    from streamd.config import default_state_dir
    from streamd.configfile import load_config
    from streamd.demo.setup import prepare_demo

    folder = args.demo_dir or default_state_dir() / "demo"
    prepare_demo(folder)
    clips = sorted(folder.glob("**/*.mp4"))
    report = measure(
        Load(args.cameras, args.seconds, detector=args.detector),
        clips,
        folder / "gallery",
        models=load_config(args.config).models_path,
    )
    if args.json:
        print(json.dumps(report.to_json()))
    else:
        for name, value in report.to_json().items():
            print(f"{name:32} {value}")
    return ExitCode.OK
