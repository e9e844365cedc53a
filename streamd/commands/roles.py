"""What the roles' commands share: being a child of the supervisor, or being run by hand with a file."""

from __future__ import annotations

import argparse

from streamd.child import Launch, Serve, run_alone, run_supervised
from streamd.commands.arguments import add_config_argument


def add_role_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    parser.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)


def run_role(role: str, args: argparse.Namespace, serve: Serve, *, index: int = 0) -> int:
    """Run a role with the launch line from standard input, or by hand with the configuration file."""
    if args.supervised:
        return run_supervised(serve)
    from streamd.configfile import load_config
    from streamd.statedir import prepare_directories

    config = load_config(args.config)
    prepare_directories(config)
    return run_alone(Launch(role, index, "", config), serve)
