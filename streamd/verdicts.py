"""The way of an event from the process that decided it to the journal: never lost, never twice.

A sender numbers its events 1, 2, 3... within its epoch (one run of one process) as it first transmits them,
and keeps each until the publisher says that the journal has it. The receiver (``streamd.inbox``) takes them
strictly in order, so that whatever a broken connection swallowed shows as a gap and is asked for again::

    sender   > EVENT worker epoch n base + JSON     base: everything up to it is acknowledged
    sender   > HELLO worker epoch base              once a second while nothing is acknowledged
    receiver > ACK   epoch committed                after the journal's commit
    receiver > STATE epoch committed received       answer to HELLO and to a gap: go on after ``received``
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Collection
from typing import NamedTuple

import zmq

from streamd.errors import ProtocolError
from streamd.events import Event, EventType, new_id
from streamd.sockets import Socket, Sockets, try_receive, try_send
from streamd.wire import Header, decode, encode

logger = logging.getLogger(__name__)

QUEUE_BOUND = 10_000
"""Events that a sender keeps for a publisher that is away; see ``_Backlog`` for what goes first."""
WINDOW = 256
"""Events on their way at a time, so that ZeroMQ's own queues stay small."""
HELLO_AFTER_S = 1.0
_READS_PER_PUMP = 1000
_MINOR = frozenset({EventType.FACE_APPEARED, EventType.FACE_LEFT})


class _Waiting(NamedTuple):
    order: int
    body: bytes


class _Backlog:
    """Events not transmitted yet. When full, the oldest that names nobody goes first, then the oldest."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._next = 0
        self._minor: deque[_Waiting] = deque()
        self._major: deque[_Waiting] = deque()

    @property
    def taken(self) -> int:
        """How many events were pushed so far."""
        return self._next

    @property
    def oldest(self) -> int:
        """The number of the oldest, from 0; ``taken`` where there is none."""
        return min((queue[0].order for queue in (self._minor, self._major) if queue), default=self._next)

    def __len__(self) -> int:
        return len(self._minor) + len(self._major)

    def push(self, event: Event) -> bool:
        """Add; False where an event had to go for it."""
        fits = len(self) < self._bound
        if not fits:
            (self._minor or self._major).popleft()
        queue = self._minor if event.type in _MINOR else self._major
        queue.append(_Waiting(self._next, event.to_json()))
        self._next += 1
        return fits

    def pop(self) -> _Waiting:
        """The oldest, of either kind."""
        older = min((queue[0].order, queue) for queue in (self._minor, self._major) if queue)
        return older[1].popleft()


class VerdictSender:
    """A process's end. ``send`` and ``pump`` never block; call ``pump`` in each pass of the work loop."""

    def __init__(
        self, sockets: Sockets, endpoint: str, *, worker: str, bound: int = QUEUE_BOUND, window: int = WINDOW
    ) -> None:
        self.worker = worker
        self.epoch = new_id()[:12]
        self.dropped = 0
        """Events that went because the publisher was away for too long."""
        self.socket = sockets.connect(zmq.DEALER, endpoint, hwm=2 * window, identity=worker.encode())
        self._window = window
        self._backlog = _Backlog(max(1, bound - window))
        self._flight: deque[_Waiting] = deque()
        self._base = 0
        self._sent = 0
        self._heard_at_s = 0.0

    @property
    def unacknowledged(self) -> int:
        """Events that the journal is not known to have."""
        return len(self._flight) + len(self._backlog)

    @property
    def taken(self) -> int:
        """How many events were given to ``send`` so far."""
        return self._backlog.taken

    @property
    def settled(self) -> int:
        """How many of them, from the first on, are waited for no more: the journal has them, or they had to go."""
        return self._flight[0].order if self._flight else self._backlog.oldest

    def send(self, event: Event) -> bool:
        """Take over one event, in order; False where an earlier one had to go for it."""
        fits = self._backlog.push(event)
        if not fits:
            self.dropped += 1
            if self.dropped == 1 or self.dropped % 1000 == 0:
                logger.error("publisher away for too long: %d events dropped so far", self.dropped)
        self._transmit()
        return fits

    def pump(self, now_s: float, woken: Collection[object] | None = None) -> None:
        """Hear the publisher, transmit what is due.

        Args:
            now_s: Monotonic.
            woken: What a poller found readable, if it was asked.
        """
        heard = self._hear() if woken is None or self.socket in woken else False
        if heard or not self._flight:
            self._heard_at_s = now_s
        elif now_s - self._heard_at_s >= HELLO_AFTER_S:
            self._heard_at_s = now_s
            try_send(self.socket, [self._header("HELLO", base=self._base)])
        self._transmit()

    def flush(self, timeout_s: float) -> bool:
        """Wait until the journal has everything; False where it does not by then."""
        end_s = time.monotonic() + timeout_s
        self.pump(time.monotonic())
        while self.unacknowledged and (left_s := end_s - time.monotonic()) > 0:
            self.socket.poll(int(min(left_s, 0.1) * 1000) + 1)
            self.pump(time.monotonic())
        return not self.unacknowledged

    def _transmit(self) -> None:
        while len(self._flight) < self._window and self._backlog:
            self._flight.append(self._backlog.pop())
        while (at := self._sent - self._base) < len(self._flight):
            header = self._header("EVENT", n=self._sent + 1, base=self._base)
            if not try_send(self.socket, [header, self._flight[at].body]):
                return
            self._sent += 1

    def _header(self, kind: str, **fields: int) -> bytes:
        return encode(kind, worker=self.worker, epoch=self.epoch, **fields)

    def _hear(self) -> bool:
        heard = False
        for parts in waiting_messages(self.socket, _READS_PER_PUMP):
            try:
                heard |= self._obey(decode(parts[0]))
            except ProtocolError as error:
                logger.warning("message of the publisher ignored: %s", error)
        return heard

    def _obey(self, header: Header) -> bool:
        if header.text("epoch") != self.epoch or header.kind not in ("ACK", "STATE"):
            return False
        committed = header.integer("committed")
        received = header.integer("received") if header.kind == "STATE" else self._sent
        if committed > self._base + len(self._flight):
            raise ProtocolError(f"{committed} acknowledged, of {self._sent} sent")
        for _ in range(committed - self._base):
            self._flight.popleft()
        self._base = max(self._base, committed)
        # A publisher that lost its journal may stand before what it acknowledged once: that is gone here.
        self._sent = max(self._base, min(self._sent, received))
        return True


def waiting_messages(socket: Socket, limit: int) -> list[list[bytes]]:
    """Up to ``limit`` messages that have arrived; never waits."""
    found: list[list[bytes]] = []
    while len(found) < limit:
        if (parts := try_receive(socket)) is None:
            break
        found.append(parts)
    return found
