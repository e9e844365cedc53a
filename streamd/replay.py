"""Answers questions for past events, so that a subscriber closes any gap.

One JSON request, one answer (``docs/events.md``)::

    > {"v":1,"kind":"REPLAY","since":117,"limit":1000,"camera":"door","type":"face.identified","id":"7"}
    < {"v":1,"kind":"EVENTS","count":2,"upto":131,"first_seq":1,"last_seq":131,"id":"7"}, event, event
    < {"v":1,"kind":"ERROR","reason":"...","id":"7"}
"""

from __future__ import annotations

import logging

import zmq

from streamd.errors import JournalError, ProtocolError
from streamd.events import EventType
from streamd.journal import Filter, Journal
from streamd.sockets import Sockets, try_send
from streamd.verdicts import waiting_messages
from streamd.wire import Header, decode, encode

logger = logging.getLogger(__name__)

MAX_LIMIT = 1000
MAX_ANSWER_BYTES = 1 << 20
"""An answer ends with the event that reaches this size."""
SCAN = 20_000
"""Events looked at for one answer, so that a rare filter on a long journal does not delay a commit."""
ANSWERS_PER_PASS = 8
_QUEUE_BOUND = 8
"""Answers that wait for one client; further ones are dropped, and the client asks again."""
_MAX_SEQ = 2**53


class ReplayServer:
    """A ROUTER socket over the journal; REQ and DEALER clients are served. Never blocks, takes any bytes."""

    def __init__(self, sockets: Sockets, endpoint: str, journal: Journal) -> None:
        self.socket = sockets.bind(zmq.ROUTER, endpoint, hwm=_QUEUE_BOUND, max_message_bytes=64 * 1024)
        self._journal = journal

    def answer_waiting(self) -> int:
        """Answer up to ``ANSWERS_PER_PASS`` requests; how many there were."""
        messages = waiting_messages(self.socket, ANSWERS_PER_PASS)
        for identity, *parts in messages:
            # A REQ socket puts an empty part in front and wants it back.
            envelope = [identity, b""] if parts[:1] == [b""] else [identity]
            try_send(self.socket, [*envelope, *self._answer(parts[len(envelope) - 1 :])])
        return len(messages)

    def _answer(self, parts: list[bytes]) -> list[bytes]:
        echo: dict[str, str] = {}
        try:
            request = _request(parts)
            echo = _echo(request)
            return self._events(request, echo)
        except (ProtocolError, JournalError) as error:
            return [encode("ERROR", reason=str(error)[:500], **echo)]

    def _events(self, request: Header, echo: dict[str, str]) -> list[bytes]:
        first_seq, last_seq = self._journal.first_seq, self._journal.last_seq
        start = max(_bounded(request, "since", 0, _MAX_SEQ), first_seq - 1)
        limit = _bounded(request, "limit", 1, MAX_LIMIT) if "limit" in request.fields else MAX_LIMIT
        only = Filter(_one(request, "camera"), _type(request), until_seq=start + SCAN)
        rows = self._journal.since(start, limit, only=only, max_bytes=MAX_ANSWER_BYTES)
        cut = len(rows) == limit or sum(len(row.body) for row in rows) >= MAX_ANSWER_BYTES
        upto = rows[-1].seq if cut else min(start + SCAN, last_seq)
        state = {"count": len(rows), "upto": upto, "first_seq": first_seq, "last_seq": last_seq}
        return [encode("EVENTS", **state, **echo), *(row.body for row in rows)]


def _request(parts: list[bytes]) -> Header:
    if len(parts) != 1:
        raise ProtocolError(f"request of {len(parts)} parts: send one, a JSON object")
    header = decode(parts[0])
    if header.kind != "REPLAY":
        raise ProtocolError(f"request {header.kind[:40]!r}: only REPLAY is known here")
    return header


def _echo(request: Header) -> dict[str, str]:
    if "id" not in request.fields:
        return {}
    if len(given := request.text("id")) > 64:
        raise ProtocolError("REPLAY.id: longer than 64 characters")
    return {"id": given}


def _bounded(request: Header, field: str, least: int, most: int) -> int:
    value = request.integer(field)
    if not least <= value <= most:
        raise ProtocolError(f"REPLAY.{field}: {value} is not within {least} and {most}")
    return value


def _one(request: Header, field: str) -> tuple[str, ...]:
    if field not in request.fields:
        return ()
    value = request.text(field)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ProtocolError(f"REPLAY.{field}: not valid text") from error
    return (value,)


def _type(request: Header) -> tuple[str, ...]:
    given = _one(request, "type")
    known = [kind.value for kind in EventType]
    if given and given[0] not in known:
        raise ProtocolError(f"REPLAY.type: {given[0][:40]!r} is none of {' '.join(known)}")
    return given
