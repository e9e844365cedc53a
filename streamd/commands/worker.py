"""``streamd worker``: the inference process, as the supervisor starts it."""

from __future__ import annotations

import argparse

from streamd.commands.roles import add_role_arguments, run_role


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_role_arguments(parser)
    parser.add_argument("--index", type=int, default=0, help="which worker, where the configuration has several")


def run(args: argparse.Namespace) -> int:
    from streamd.worker import serve

    return run_role("worker", args, serve, index=args.index)
