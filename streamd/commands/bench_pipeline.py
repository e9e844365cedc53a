"""``streamd bench pipeline``: the real daemon on real-time streams."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamd.commands.arguments import add_config_argument, add_json_argument, add_settings_argument, settings_of
from streamd.commands.bench_scene import add_scene_arguments, scene_of
from streamd.errors import ExitCode, UnavailableError, UsageError

if TYPE_CHECKING:
    from streamd.bench.pipeline import Load, Report

MOST_AGE_S = 0.25
"""Where a sweep ends."""
MOST_CAMERAS = 256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    add_json_argument(parser)
    parser.add_argument("--cameras", type=int, default=4, metavar="N", help="default: 4")
    add_scene_arguments(parser)
    parser.add_argument("--seconds", type=float, default=60.0, metavar="S", help="measured after a warm-up of 8 s")
    parser.add_argument("--detector", metavar="NAME", help="short for --set detection.model=NAME")
    add_settings_argument(parser)
    parser.add_argument(
        "--sweep", type=Path, metavar="PREFIX", help="double the cameras until frames are late; PREFIX.csv, PREFIX.png"
    )
    parser.add_argument("--demo-dir", type=Path, metavar="DIR", help="where the demonstration's faces lie")


def run(args: argparse.Namespace) -> int:
    from streamd.bench.pipeline import measure
    from streamd.bench.streams import prepare_streams
    from streamd.config import default_state_dir
    from streamd.configfile import load_config
    from streamd.demo.setup import prepare_gallery

    folder = args.demo_dir or default_state_dir() / "demo"
    load = _load(args)
    faces = prepare_gallery(folder)
    clips = prepare_streams(load.scene, faces, folder)
    models = load_config(args.config).models_path

    def measured(cameras: int) -> Report:
        return measure(replace(load, cameras=cameras), clips, folder / "gallery", models=models)

    if args.sweep:
        return _sweep(measured, load.cameras, args.sweep, as_json=args.json)
    report = measured(load.cameras)
    print(json.dumps(report.to_json()) if args.json else "\n".join(_lines(report)))
    return ExitCode.OK


def _load(args: argparse.Namespace) -> Load:
    from streamd.bench.pipeline import Load

    if args.cameras < 1:
        raise UsageError("--cameras must be at least 1")
    settings: dict[str, Any] = {"detection.model": args.detector} if args.detector else {}
    settings |= settings_of(args.set)
    return Load(args.cameras, args.seconds, scene_of(args), settings=settings)


def _lines(report: Report) -> list[str]:
    lines = []
    for name, value in report.to_json().items():
        text = " ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else value
        lines.append(f"{name:36} {text}")
    return lines


def _sweep(measured: Callable[[int], Report], cameras: int, prefix: Path, *, as_json: bool) -> int:
    """Twice as many cameras each time, until the 95th percentile of the frames' age passes ``MOST_AGE_S``, or there are
    more than can be started at once."""
    import csv

    from streamd.bench.plots import draw_sweep

    reports: list[dict[str, Any]] = []
    while cameras <= MOST_CAMERAS:
        try:
            report = measured(cameras)
        except UnavailableError as error:
            if not reports:
                raise
            sys.stderr.write(f"{cameras} cameras: {error}\n")
            break
        body = report.to_json()
        reports.append(body)
        if not as_json:
            print(
                f"{cameras:4} cameras: frame age p95 {1000 * (report.frame_age_p95_s or 0):.0f} ms, "
                f"CPU {report.cpu_seconds_per_camera_second:.4f} per camera-second, "
                f"{report.cost_over_floor:.2f} of the floor",
                flush=True,
            )
        if report.frame_age_p95_s is None or report.frame_age_p95_s > MOST_AGE_S:
            break
        cameras *= 2
    flat = [{k: v for k, v in body.items() if not isinstance(v, dict)} for body in reports]
    with prefix.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, flat[0].keys())
        writer.writeheader()
        writer.writerows(flat)
    draw_sweep(prefix.with_suffix(".png"), flat, most_age_s=MOST_AGE_S)
    if as_json:
        print(json.dumps(reports))
    return ExitCode.OK
