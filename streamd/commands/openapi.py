"""``streamd openapi``: the HTTP API as an OpenAPI document."""

from __future__ import annotations

import argparse
import json

from streamd.errors import ExitCode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """There are none."""


def run(args: argparse.Namespace) -> int:
    from streamd.gateway.app import described

    print(json.dumps(described(), ensure_ascii=False, indent=2))
    return ExitCode.OK
