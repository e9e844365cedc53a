"""Events for programs: in order, each once, across restarts of either side.

from streamd.client import subscribe

for event in subscribe(since=0, types=["face.identified"]):
    print(event.camera, event.identity["name"])
"""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from types import TracebackType

import zmq

from streamd.config import EventsConfig
from streamd.errors import ProtocolError
from streamd.events import Event, EventType
from streamd.sinks.zeromq import HEARTBEAT_TOPIC
from streamd.sockets import Socket, Sockets, try_send
from streamd.wire import Header, decode, encode

logger = logging.getLogger(__name__)

PUBLISH = str(EventsConfig.model_fields["publish"].default)
REPLAY = str(EventsConfig.model_fields["replay"].default)
REPLAY_TIMEOUT_S = 2.0
_POLL_S = 0.5


def subscribe(
    *,
    publish: str = PUBLISH,
    replay: str = REPLAY,
    since: int | None = None,
    cameras: Collection[str] = (),
    types: Collection[str] = (),
) -> Iterator[Event]:
    """Events numbered above ``since`` (None: only new ones), for ever; empty ``cameras`` and ``types`` mean all."""
    with Subscription(publish=publish, replay=replay, since=since, cameras=cameras, types=types) as events:
        yield from events


class Subscription:
    """A subscriber's position in the journal, kept by live events, and by replays wherever they leave a gap.

    Iterating gives events in order of ``seq``, each once. It waits for ever, or ends after ``timeout_s`` without
    one. Filters are applied here, after everything was received, because a gap in the numbers must mean a loss.
    """

    def __init__(
        self,
        *,
        publish: str = PUBLISH,
        replay: str = REPLAY,
        since: int | None = None,
        cameras: Collection[str] = (),
        types: Collection[str] = (),
        timeout_s: float | None = None,
    ) -> None:
        self.position = since
        """The last number that was given out or passed over; None before anything was heard."""
        self.missed = 0
        """Events that had been deleted from the journal before they could be fetched."""
        self.connected = False
        """Whether the publisher was ever heard."""
        self._cameras, self._timeout_s = frozenset(cameras), timeout_s
        self._types = frozenset(EventType(kind) for kind in types)
        self._replay_endpoint = replay
        self._ready: deque[Event] = deque()  # bounded: filled by one answer, and only when empty
        self._behind = since is not None
        self._asked_until_s: float | None = None
        self._asked = 0
        self._resources = ExitStack()
        self._sockets = self._resources.enter_context(Sockets())
        self._live = self._sockets.connect(zmq.SUB, publish)
        for topic in (b"event.", HEARTBEAT_TOPIC):
            self._live.set(zmq.SUBSCRIBE, topic)
        self._asking = self._sockets.connect(zmq.DEALER, replay, hwm=8)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._resources.close()

    def __iter__(self) -> Iterator[Event]:
        while (event := self.next(self._timeout_s)) is not None:
            yield event

    def next(self, timeout_s: float | None = None) -> Event | None:
        """The next event; None where there is none for ``timeout_s`` (None: wait for ever)."""
        end_s = float("inf") if timeout_s is None else time.monotonic() + timeout_s
        while not self._ready:
            now_s = time.monotonic()
            self._step(now_s, max(0.0, min(_POLL_S, end_s - now_s)))
            if not self._ready and time.monotonic() >= end_s:
                return None
        return self._ready.popleft()

    def _step(self, now_s: float, wait_s: float) -> None:
        if not self._behind:
            self._hear(wait_s)
        elif self._asked_until_s is None or now_s >= self._asked_until_s:
            self._ask(now_s)
        elif parts := _received(self._asking, wait_s):
            self._take_answer(parts)

    def _hear(self, wait_s: float) -> None:
        """One live message. While behind nothing is heard: what overflows meanwhile is one more gap to close."""
        parts = _received(self._live, wait_s)
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

    def _compare(self, last_seq: int) -> None:
        """A heartbeat is older than what a replay gave meanwhile: only an answer says where the journal stands."""
        if self.position is None:
            self.position = last_seq
        self._behind = last_seq != self.position

    def _take(self, event: Event) -> None:
        if self.position is None:
            self.position = event.seq - 1
        if event.seq == self.position + 1:
            self._give(event)
            self.position = event.seq
        elif event.seq > self.position:
            self._behind = True

    def _give(self, event: Event) -> None:
        if self._cameras and event.camera not in self._cameras:
            return
        if self._types and event.type not in self._types:
            return
        self._ready.append(event)

    def _ask(self, now_s: float) -> None:
        self._asked += 1
        self._asked_until_s = now_s + REPLAY_TIMEOUT_S
        try_send(self._asking, [encode("REPLAY", since=self.position, id=str(self._asked))])

    def _take_answer(self, parts: list[bytes]) -> None:
        try:
            header = decode(parts[0])
            if header.fields.get("id") != str(self._asked):  # late: it was asked again since
                return
            if header.kind != "EVENTS":
                # Asked again when the time-out is over: a journal that cannot be read may recover.
                raise ProtocolError(f"replay refused: {header.fields.get('reason')}")
            self._advance(header, parts[1:])
        except ProtocolError as error:
            logger.warning("answer of %s ignored: %s", self._replay_endpoint, error)

    def _advance(self, header: Header, bodies: list[bytes]) -> None:
        """Take an answer in: its events follow the position without a gap, but for what was deleted."""
        upto, first, last = (header.integer(name) for name in ("upto", "first_seq", "last_seq"))
        self.connected = True
        self._asked_until_s = None
        position = self.position or 0
        if last < position:
            logger.warning("the journal was started anew: it ends at %d, %d was seen: from its start", last, position)
            self.position, self._behind = 0, True
            return
        if first > position + 1:
            self.missed += first - 1 - position
            logger.warning("events %d to %d were deleted before they were fetched", position + 1, first - 1)
        for body in bodies:
            self._give_replayed(body, position)
        self.position = max(position, upto, first - 1)
        self._behind = self.position < last

    def _give_replayed(self, body: bytes, position: int) -> None:
        try:
            event = Event.from_json(body)
        except ProtocolError as error:
            logger.warning("event skipped: %s: %s", error, json.dumps(body[:120].decode(errors="replace")))
            return
        if event.seq > position:
            self._give(event)


def _received(socket: Socket, wait_s: float) -> list[bytes]:
    """The next message, empty where there is none for ``wait_s``."""
    if not socket.poll(int(wait_s * 1000)):
        return []
    return socket.recv_multipart()
