"""What the made-up streams of the benches show, as arguments."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from streamd.errors import UsageError

if TYPE_CHECKING:
    from streamd.bench.streams import Scene


def add_scene_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--resolution", default="1280x720", metavar="WxH", help="of the streams (default: 1280x720)")
    parser.add_argument("--fps", type=int, default=15, metavar="F", help="frames a second (default: 15)")
    parser.add_argument("--people", type=int, default=2, metavar="P", help="who walk in and out (default: 2)")
    parser.add_argument("--present", type=float, default=1 / 3, metavar="SHARE", help="of the time (default: a third)")
    parser.add_argument(
        "--rate", choices=("constant", "variable"), default="constant", help="of the encoders (default: constant)"
    )
    parser.add_argument("--noise", type=float, default=3.0, metavar="LEVELS", help="of the sensors, in grey levels")


def scene_of(args: argparse.Namespace) -> Scene:
    """Raises UsageError."""
    from streamd.bench.streams import Scene

    size = re.fullmatch(r"(\d{2,5})x(\d{2,5})", args.resolution)
    if size is None:
        raise UsageError(f"--resolution {args.resolution}: give width and height, like 1280x720")
    if not 1 <= args.fps <= 120 or args.people < 0 or not 0 <= args.present <= 1 or not 0 <= args.noise <= 50:
        raise UsageError("--fps must be 1 to 120, --people 0 or more, --present 0 to 1, --noise 0 to 50")
    width, height = (int(side) & ~1 for side in size.groups())
    return Scene(width, height, args.fps, args.people, present=args.present, rate=args.rate, noise=args.noise)
