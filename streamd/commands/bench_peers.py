"""``streamd bench peers``: CPU, recall and false names beside a plain OpenCV loop and DeepFace."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from streamd.commands.arguments import add_config_argument, add_json_argument, add_settings_argument, settings_of
from streamd.commands.bench_scene import add_scene_arguments, scene_of
from streamd.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from streamd.bench.peers import Clip, Row

TITLES = {
    "streamd": "streamd",
    "opencv-ssd": "OpenCV loop, SSD + YuNet's landmarks",
    "opencv-yunet": "OpenCV loop, YuNet",
    "deepface-ssd": "DeepFace, SSD",
    "deepface-yunet": "DeepFace, YuNet",
}
PEERS = tuple(TITLES)[1:]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    add_json_argument(parser)
    parser.add_argument(
        "--clip",
        action="extend",
        nargs="+",
        default=[],
        type=Path,
        metavar="FILE",
        help="one camera each (default: made-up streams)",
    )
    parser.add_argument(
        "--truth",
        action="extend",
        nargs="+",
        default=[],
        type=Path,
        metavar="CSV",
        help="who is there: label,enrolled,start_s,end_s; one for each --clip, in order",
    )
    parser.add_argument("--gallery", type=Path, metavar="DIR", help="<person>/*.jpg (default: the demonstration's)")
    parser.add_argument(
        "--streams", type=int, default=6, metavar="N", help="of the made-up streams, 1 to 6 (default: 6)"
    )
    add_scene_arguments(parser)
    parser.add_argument(
        "--peer-seconds",
        type=float,
        default=20.0,
        metavar="S",
        help="only the beginning of each clip, for everybody (default: 20): peers are slow",
    )
    parser.add_argument("--peers", default="", metavar="NAME[,NAME...]", help=f"of {', '.join(PEERS)}; or none")
    parser.add_argument(
        "--deepface-python", default=sys.executable, metavar="PYTHON", help="an interpreter that has deepface"
    )
    add_settings_argument(parser)
    parser.add_argument("--demo-dir", type=Path, metavar="DIR", help="where the demonstration's faces lie")


def run(args: argparse.Namespace) -> int:
    from streamd.bench.peers import Comparison, compare
    from streamd.config import default_state_dir
    from streamd.configfile import load_config

    peers = _peers(args.peers)
    settings = settings_of(args.set)
    if args.peer_seconds < 1:
        raise UsageError(f"--peer-seconds {args.peer_seconds:g}: at least 1")
    folder = args.demo_dir or default_state_dir() / "demo"
    clips = _own(args) if args.clip else _made_up(args, folder)
    comparison = Comparison(
        clips,
        args.gallery or folder / "gallery",
        load_config(args.config).models_path,
        args.peer_seconds,
        deepface_python=args.deepface_python,
        peers=peers,
        settings=settings,
    )
    rows = compare(comparison, tell=_tell)
    if args.json:
        print(json.dumps([row.to_json(rows[0]) for row in rows], indent=2))
    else:
        print("\n".join([*HEAD, *(line(row, rows[0]) for row in rows), *notes(rows)]))
    return ExitCode.OK


def _peers(text: str) -> tuple[str, ...]:
    if text == "none":
        return ()
    named = tuple(name for name in text.split(",") if name)
    if unknown := set(named) - set(PEERS):
        raise UsageError(f"--peers {', '.join(sorted(unknown))}: there are {', '.join(PEERS)}")
    return named or PEERS


def _tell(contender: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"{TITLES[contender]}...\n")


def _own(args: argparse.Namespace) -> list[Clip]:
    from streamd.bench.peers import Clip
    from streamd.bench.stays import recorded_stays

    if len(args.truth) != len(args.clip):
        raise UsageError(f"{len(args.clip)} clips and {len(args.truth)} --truth files: one for each is needed")
    if args.gallery is None:
        raise UsageError("--clip: needs a --gallery of the people in it")
    return [Clip(path, recorded_stays(truth)) for path, truth in zip(args.clip, args.truth, strict=True)]


def _made_up(args: argparse.Namespace, folder: Path) -> list[Clip]:
    from streamd.bench.peers import Clip
    from streamd.bench.stays import scene_stays
    from streamd.bench.streams import VARIANTS, prepare_streams
    from streamd.demo.setup import prepare_gallery

    if args.truth or args.gallery:
        raise UsageError("--truth and --gallery: belong to clips of your own (--clip)")
    if not 1 <= args.streams <= VARIANTS or args.people < 1:
        raise UsageError(f"--streams must be 1 to {VARIANTS}, --people at least 1")
    scene = scene_of(args)
    paths = prepare_streams(scene, prepare_gallery(folder), folder)[: args.streams]
    return [Clip(path, scene_stays(scene, variant)) for variant, path in enumerate(paths)]


HEAD = (
    "| | CPU seconds per camera-second | times streamd | visits named | seconds named | false names | seconds falsely "
    "named |",
    "|---|---|---|---|---|---|---|",
)


def line(row: Row, streamd: Row) -> str:
    from streamd.bench.peers import ratio

    title = TITLES[row.contender]
    if row.cpu_seconds_per_camera_second is None or row.naming is None:
        return f"| {title} | {row.problem} | | | | | |"
    naming, times = row.naming, ratio(row, streamd)
    share = naming.recall_seconds
    return (
        f"| {title} | {row.cpu_seconds_per_camera_second:.4f} | {'-' if times is None else f'{times:.1f}'} "
        f"| {naming.named} of {naming.stays} | {'-' if share is None else f'{100 * share:.1f} %'} "
        f"| {naming.false_names} | {naming.false_s:.1f} |"
    )


def notes(rows: list[Row]) -> list[str]:
    """What a table cannot hold."""
    found = []
    for row in rows:
        if row.runs:
            costs = ", ".join(f"{cost:.4f}" for cost in row.runs)
            found.append(f"{TITLES[row.contender]}: {costs} CPU seconds per camera-second (before and after the peers)")
        if row.versions:
            versions = ", ".join(f"{name} {version}" for name, version in row.versions.items())
            found.append(f"{TITLES[row.contender]}: {row.faces} faces in {row.frames} frames ({versions})")
        if row.whole_named is not None and row.without_face:
            found.append(
                f"{TITLES[row.contender]}: {row.without_face} frames without a face; with enforce_detection=False each "
                f"is embedded whole, and {row.whole_named} of them get a name"
            )
    return ["", *found]
