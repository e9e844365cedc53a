"""``streamd run``: the daemon."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from streamd.commands.arguments import add_config_argument
from streamd.errors import UnavailableError, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    parser.add_argument("--print-events", action="store_true", help="print a line per event on standard output")
    parser.add_argument(
        "--demo",
        action="store_true",
        help="watch four made-up cameras that show free photographs of real people",
    )
    parser.add_argument("--demo-dir", type=Path, metavar="DIR", help="where the demonstration lives")


def run(args: argparse.Namespace) -> int:
    from streamd.configfile import FILE_VARIABLE, find_config, load_config
    from streamd.log import setup_logging
    from streamd.supervisor import supervise

    if args.demo and args.config:
        raise UsageError("--demo brings its own configuration: leave out --config")
    path = _demo(args.demo_dir) if args.demo else args.config
    config = load_config(path)
    if (file := path or find_config()) is not None:
        os.environ[FILE_VARIABLE] = str(file.absolute())  # for the gateway, which can change it
    setup_logging(config.log, role="supervisor")
    return supervise(config, reload=lambda: load_config(path), print_events=args.print_events or args.demo)


def _demo(folder: Path | None) -> Path:
    """Made in a process of its own: the supervisor stays small."""
    import subprocess
    import sys

    from streamd.config import Config
    from streamd.statedir import private_state_dir

    default = Config()
    private_state_dir(default)  # of the models, and of what may be recorded there later
    target = folder or default.state_dir / "demo"
    code = subprocess.call([sys.executable, "-m", "streamd.demo", str(target)])
    if code == 130 or code < 0:
        raise KeyboardInterrupt
    if code:
        raise UnavailableError("the demonstration could not be prepared: see the message above")
    return target / "streamd.yaml"
