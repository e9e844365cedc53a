"""A subscriber's position in the journal, kept by live events, and by replays wherever they leave a gap. Pure."""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Collection, Sequence

from streamd.errors import ProtocolError
from streamd.events import Event, EventType
from streamd.sinks.zeromq import HEARTBEAT_TOPIC
from streamd.wire import Header, decode, encode

logger = logging.getLogger(__name__)

REPLAY_TIMEOUT_S = 2.0


class CatchUp:
    """What to ask for and what to give out; whoever owns the sockets feeds it.

    Filters are applied here, after everything was received, because a gap in the numbers must mean a loss.
    """

    def __init__(self, *, since: int | None, cameras: Collection[str], types: Collection[str]) -> None:
        self.position = since
        """The last number that was given out or passed over; None before anything was heard."""
        self.missed = 0
        """Events that had been deleted from the journal before they could be fetched."""
        self.connected = False
        """Whether the publisher was ever heard."""
        self.ready: deque[Event] = deque()  # bounded: filled by one answer, and only when empty
        self.behind = since is not None
        """Whether there is a gap, which a replay has to close. Live messages are not to be read meanwhile: what
        overflows is one more gap."""
        self._cameras = frozenset(cameras)
        self._types = frozenset(EventType(kind) for kind in types)
        self._asked_until_s: float | None = None
        self._asked = 0

    def question(self, now_s: float) -> bytes | None:
        """What to ask the replay service now; None while nothing is to be asked, or an answer is awaited."""
        if not self.behind or (self._asked_until_s is not None and now_s < self._asked_until_s):
            return None
        self._asked += 1
        self._asked_until_s = now_s + REPLAY_TIMEOUT_S
        return encode("REPLAY", since=self.position, id=str(self._asked))

    def hear(self, parts: Sequence[bytes]) -> None:
        """One live message; anything is taken."""
        if len(parts) != 2:
            return
        self.connected = True
        try:
            if parts[0] == HEARTBEAT_TOPIC:
                self._compare(decode(parts[1]).integer("last_seq"))
            else:
                self._take(Event.from_json(parts[1]))
        except ProtocolError as error:
            logger.warning("message of the publisher ignored: %s", error)

    def answer(self, parts: Sequence[bytes]) -> None:
        """One message of the replay service; anything is taken."""
        try:
            header = decode(parts[0])
            if header.fields.get("id") != str(self._asked):  # late: it was asked again since
                return
            if header.kind != "EVENTS":
                # Asked again when the time-out is over: a journal that cannot be read may recover.
                raise ProtocolError(f"replay refused: {header.fields.get('reason')}")
            self._advance(header, parts[1:])
        except ProtocolError as error:
            logger.warning("answer of the replay service ignored: %s", error)

    def _compare(self, last_seq: int) -> None:
        """A heartbeat is older than what a replay gave meanwhile: only an answer says where the journal stands."""
        if self.position is None:
            self.position = last_seq
        self.behind = last_seq != self.position

    def _take(self, event: Event) -> None:
        if self.position is None:
            self.position = event.seq - 1
        if event.seq == self.position + 1:
            self._give(event)
            self.position = event.seq
        elif event.seq > self.position:
            self.behind = True

    def _give(self, event: Event) -> None:
        if self._cameras and event.camera not in self._cameras:
            return
        if self._types and event.type not in self._types:
            return
        self.ready.append(event)

    def _advance(self, header: Header, bodies: Sequence[bytes]) -> None:
        """Take an answer in: its events follow the position without a gap, but for what was deleted."""
        upto, first, last = (header.integer(name) for name in ("upto", "first_seq", "last_seq"))
        self.connected = True
        self._asked_until_s = None
        position = self.position or 0
        if last < position:
            logger.warning("the journal was started anew: it ends at %d, %d was seen: from its start", last, position)
            self.position, self.behind = 0, True
            return
        if first > position + 1:
            self.missed += first - 1 - position
            logger.warning("events %d to %d were deleted before they were fetched", position + 1, first - 1)
        for body in bodies:
            self._give_replayed(body, position)
        self.position = max(position, upto, first - 1)
        self.behind = self.position < last

    def _give_replayed(self, body: bytes, position: int) -> None:
        try:
            event = Event.from_json(body)
        except ProtocolError as error:
            logger.warning("event skipped: %s: %s", error, json.dumps(body[:120].decode(errors="replace")))
            return
        if event.seq > position:
            self._give(event)
