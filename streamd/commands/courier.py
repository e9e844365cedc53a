"""``streamd courier``: delivers events to the configured sinks, as the supervisor starts it."""

from __future__ import annotations

import argparse

from streamd.commands.roles import add_role_arguments, run_role


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_role_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from streamd.courier import serve

    return run_role("courier", args, serve)
