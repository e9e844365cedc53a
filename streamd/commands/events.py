"""``streamd events``: past events from the journal, new ones from the publisher."""

from __future__ import annotations

import argparse
import re
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from streamd.client import Subscription
from streamd.commands.arguments import add_config_argument, add_json_argument, wants_colour
from streamd.config import Config
from streamd.errors import UsageError
from streamd.eventlines import EventLines
from streamd.events import Event, EventType, timestamp
from streamd.journal import Filter, Journal, Stored, readable

DEFAULT_LAST = 20
PAGE = 1000
PATIENCE_S = 2.0
"""A publisher that is silent for this long is reported, once."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="go on with new events until Ctrl-C")
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--since", type=_number, metavar="N", help="events numbered above N (0: all)")
    begin.add_argument(
        "--last", type=_number, metavar="N", help=f"the newest N events (default {DEFAULT_LAST}; with --from all)"
    )
    parser.add_argument("--camera", action="append", default=[], metavar="NAME", help="only of this camera; repeatable")
    parser.add_argument(
        "--type",
        action="append",
        default=[],
        metavar="TYPE",
        choices=[kind.value for kind in EventType],
        help="only of this type, such as face.identified; repeatable",
    )
    parser.add_argument("--person", metavar="WHO", help="only of this person or stranger, by name or id")
    parser.add_argument(
        "--from",
        dest="from_at",
        type=_moment,
        metavar="TIME",
        help="only since: 2026-03-01, '2026-03-01 21:00', 2h",
    )
    parser.add_argument("--until", dest="until_at", type=_moment, metavar="TIME", help="only before then")
    parser.add_argument("--sinks", action="store_true", help="how far each sink is, and what it refused")
    parser.add_argument("--redeliver", metavar="SINK", help="send a sink once more what it refused")
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    from streamd.configfile import load_config

    config = load_config(args.config)
    if args.sinks or args.redeliver:
        from streamd.commands.event_sinks import redeliver, show_sinks

        if args.redeliver:
            return redeliver(config, args.redeliver, as_json=args.json)
        return show_sinks(config, as_json=args.json)
    if args.follow and args.until_at:
        raise UsageError("--until ends in the past, --follow never: give one of them")
    show = _as_json if args.json else _as_lines()
    person = args.person and unicodedata.normalize("NFC", args.person)
    only = Filter(tuple(args.camera), tuple(args.type), person, args.from_at, args.until_at)
    try:
        if args.follow:
            _follow(config, _first(config, args, only), only, show)
        else:
            _past(config, args, only, show)
    except KeyboardInterrupt:
        return 0  # the usual way to leave --follow
    return 0


def show_followed(subscription: Subscription, show: Callable[[Event], None], *, only: Filter) -> None:
    """Hand over event after event, for ever; say once where nobody publishes."""
    told_at_s = time.monotonic() + PATIENCE_S
    while True:
        event = subscription.next(0.5)
        if event is not None and _concerns(event, only.person) and event.at >= (only.from_at or ""):
            show(event)
        if not subscription.connected and time.monotonic() > told_at_s:
            told_at_s = float("inf")
            print("streamd events: no publisher answers yet; waiting for one", file=sys.stderr, flush=True)


def _follow(config: Config, since: int | None, only: Filter, show: Callable[[Event], None]) -> None:
    with Subscription(
        publish=config.events.publish,
        replay=config.events.replay,
        since=since,
        cameras=only.cameras,
        types=only.types,
    ) as subscription:
        show_followed(subscription, show, only=only)


def _first(config: Config, args: argparse.Namespace, only: Filter) -> int | None:
    """The number after which following begins; None for new events only."""
    if (args.last is None and not only.from_at) or args.since is not None or not config.journal_file.exists():
        return args.since  # type: ignore[no-any-return]  # argparse gives an int or None
    with Journal(config.journal_file, read_only=True) as journal:
        rows = journal.since(0, 1, only=only) if args.last is None else journal.last(args.last, only=only)
        return rows[0].seq - 1 if rows else journal.last_seq


def _past(config: Config, args: argparse.Namespace, only: Filter, show: Callable[[Event], None]) -> None:
    with Journal(config.journal_file, read_only=True) as journal:
        for event in readable(_rows(journal, args, only)):
            show(event)


def _rows(journal: Journal, args: argparse.Namespace, only: Filter) -> Iterator[Stored]:
    if args.last is not None or (args.since is None and not args.from_at):
        yield from journal.last(DEFAULT_LAST if args.last is None else args.last, only=only)
        return
    position = args.since or 0
    while rows := journal.since(position, PAGE, only=only):
        yield from rows
        position = rows[-1].seq


def _concerns(event: Event, person: str | None) -> bool:
    if person is None:
        return True
    identity = event.identity or {}
    if event.stranger == person:
        return True
    return identity.get("id") == person or str(identity.get("name")).casefold() == person.casefold()


def _as_json(event: Event) -> None:
    print(event.to_json().decode(), flush=True)


def _as_lines() -> Callable[[Event], None]:
    lines = EventLines(colour=wants_colour(), today=datetime.now().astimezone().date())

    def show(event: Event) -> None:
        for line in lines.lines(event):
            print(line, flush=True)

    return show


def _moment(text: str) -> str:
    """A time as events have it, from a local date, date and time, or an age such as 90m, 2h, 3d."""
    try:
        if found := re.fullmatch(r"(\d{1,9})([smhd])", text):
            ago = timedelta(seconds=int(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]])
            return timestamp((datetime.now().astimezone() - ago).timestamp())
        return timestamp(datetime.fromisoformat(text).astimezone().timestamp())
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: 2026-03-01, '2026-03-01 21:00', or 2h") from error


def _number(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 2**53:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of an event, or of events")
    return value
