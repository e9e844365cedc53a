"""Publishes events over ZeroMQ: topic ``event.<camera>.<type>``, then the event's JSON."""

from __future__ import annotations

import zmq

from streamd.events import Event
from streamd.sockets import Sockets, try_send
from streamd.wire import encode

HEARTBEAT_TOPIC = b"heartbeat"
QUEUE_BOUND = 1000
"""Messages that wait for one subscriber. A slower one loses the newest, sees the gap, asks for a replay."""
LINGER_MS = 1000
_SUBSCRIPTIONS_PER_PASS = 100


class ZeromqSink:
    """An XPUB socket. Never waits for a subscriber, however slow."""

    def __init__(self, sockets: Sockets, endpoint: str) -> None:
        # A subscriber that reads nothing for a while stays: it costs its queue, and finds the gap when it reads again.
        self.socket = sockets.bind(zmq.XPUB, endpoint, hwm=QUEUE_BOUND, max_message_bytes=64 * 1024, heartbeats=False)
        self.socket.set(zmq.XPUB_VERBOSE, 1)

    def emit(self, event: Event) -> None:
        """Hand over one numbered event."""
        try_send(self.socket, [event.topic.encode(), event.to_json()])

    def heartbeat(self, *, first_seq: int, last_seq: int) -> None:
        """Tell what the journal holds, so that an idle subscriber notices what it missed."""
        body = encode("HEARTBEAT", last_seq=last_seq, first_seq=first_seq)
        try_send(self.socket, [HEARTBEAT_TOPIC, body])

    def newcomers(self) -> bool:
        """Whether somebody subscribed since the last call. Call it regularly: what subscribers send waits in
        memory until it is read."""
        found = False
        for _ in range(_SUBSCRIPTIONS_PER_PASS):
            try:
                found |= self.socket.recv_multipart(zmq.NOBLOCK)[0].startswith(b"\x01")
            except zmq.Again:
                break
        return found

    def close(self) -> None:
        """Close; what is queued still goes out for up to ``LINGER_MS``."""
        self.socket.close(linger=LINGER_MS)
