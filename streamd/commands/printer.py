"""``streamd printer``: a line per event on standard output, as a child of ``streamd run --print-events``."""

from __future__ import annotations

import argparse
from datetime import datetime
from typing import TYPE_CHECKING

from streamd.commands.arguments import wants_colour
from streamd.commands.roles import add_role_arguments, run_role

if TYPE_CHECKING:
    from streamd.child import ChildContext


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_role_arguments(parser)


def run(args: argparse.Namespace) -> int:
    return run_role("printer", args, _serve)


def _serve(context: ChildContext) -> int:
    from streamd.client import Subscription
    from streamd.eventlines import EventLines

    events = context.config.events
    lines = EventLines(colour=wants_colour(), today=datetime.now().astimezone().date())
    with Subscription(publish=events.publish, replay=events.replay, since=None) as subscription:
        context.link.ready()
        event = None
        # It is stopped last, and prints what has arrived by then.
        while event is not None or not context.draining:
            context.turn()
            event = subscription.next(timeout_s=0.2)
            for line in lines.lines(event) if event is not None else ():
                print(line, flush=True)
    return 0
