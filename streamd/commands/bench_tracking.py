"""``streamd bench tracking``: how well faces are followed."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from streamd.commands.arguments import add_config_argument, add_json_argument
from streamd.errors import ExitCode, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    add_json_argument(parser)
    parser.add_argument(
        "--mot",
        type=Path,
        required=True,
        metavar="DIR",
        help="MOTChallenge folder, or a folder of such (gt/gt.txt, det/det.txt, seqinfo.ini)",
    )
    parser.add_argument("--steps", default="1,2,3,5,10", metavar="N,...", help="look at each Nth frame (1,2,3,5,10)")


def run(args: argparse.Namespace) -> int:
    from streamd.bench.tracking import compare, read_clips
    from streamd.configfile import load_config

    try:
        steps = [int(step) for step in args.steps.split(",")]
    except ValueError as error:
        raise UsageError(f"--steps: {args.steps!r} is no list of numbers") from error
    if min(steps) < 1:
        raise UsageError(f"--steps: {min(steps)} is below 1")
    clips = read_clips(args.mot)
    config = load_config(args.config)
    rows = list(compare(clips, steps, config))
    if args.json:
        print(json.dumps({"clips": [clip.name for clip in clips], "rows": [asdict(row) for row in rows]}, indent=2))
        return ExitCode.OK
    print("each Nth  tracker     HOTA    IDF1    MOTA    switches  tracks  us/frame")
    for row in rows:
        print(
            f"{row.step:<10}{row.tracker:<12}{row.hota:<8.4f}{row.idf1:<8.4f}{row.mota:<8.4f}{row.switches:<10}"
            f"{row.ids:<8}{row.us_per_frame:.0f}"
        )
    return ExitCode.OK
