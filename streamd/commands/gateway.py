"""``streamd gateway``: the HTTP process, as the supervisor starts it."""

from __future__ import annotations

import argparse

from streamd.commands.roles import add_role_arguments, run_role


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_role_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from streamd.gateway.app import serve

    return run_role("gateway", args, serve)
