"""Connections that ask for nothing, never finish asking, or do not take what they asked for, and too many of any kind.

aiohttp by itself closes connections that have sent no whole request for some seconds (``keepalive_timeout``), and no
others. The factory of protocols counts here what is open, from before the handshake of TLS until the socket is closed.
A connection that has no request under way and takes nothing of its last answer is closed after a while. While there
are too many, those that still owe something make room at once, longest silent first: a handshake, a request, what is
left of a body. Where all others have asked and wait for their answer, a newcomer is turned away.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

IDLE_S = 20.0
"""How long a connection may be without a request: also the time to send one's headers in."""
MOST = 400
"""Open connections; a process may usually open 1024 files, and a viewer takes several."""
LOOK_EVERY_S = 1.0
_TCP_INFO_BYTES, _ACKNOWLEDGED_AT = 128, 120
"""Where ``tcpi_bytes_acked`` is in Linux's ``struct tcp_info``."""

Handler = RequestHandler


class Connection(asyncio.Protocol):
    """aiohttp's handler of one connection, and what is known of the connection."""

    def __init__(self, handler: Handler, lost: Callable[[Connection], None]) -> None:
        self.handler = handler
        self.transport: asyncio.Transport | None = None
        """From the end of the handshake on, until everything is sent: aiohttp's own forgets it when it hangs up."""
        self.shaking: asyncio.Task[None] | None = None
        """asyncio's, until the handshake is over."""
        self.asked: web.Request | None = None
        """The request under way."""
        self.idle_since_s = self.heard_at_s = time.monotonic()
        self.taken_bytes = -1
        """What the other side had taken at the last look."""
        self._lost = lost

    @property
    def idle(self) -> bool:
        return self.transport is not None and self.asked is None

    @property
    def owes(self) -> bool:
        """Whether it is the other side's turn: to shake hands, to ask, or to send what is left of a body."""
        return self.asked is None or not self.asked.content.is_eof()

    @property
    def silent_since_s(self) -> float:
        """Since when it owes that; a body that goes on coming begins anew with each part, headers do not."""
        return self.idle_since_s if self.asked is None else self.heard_at_s

    def acknowledged(self) -> int:
        """How much of what was sent the other side has taken; what is left may wait here, in TLS, or in the kernel."""
        if self.transport is not None:
            with suppress(OSError, AttributeError, struct.error):  # closed just now, or no TCP
                sock = self.transport.get_extra_info("socket")
                info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
                return int(struct.unpack_from("=Q", info, _ACKNOWLEDGED_AT)[0])
        return 0

    # All goes on to the handler.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self.transport = transport
        self.handler.connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.transport = None
        self._lost(self)
        self.handler.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self.heard_at_s = time.monotonic()
        self.handler.data_received(data)

    def eof_received(self) -> None:
        self.handler.eof_received()

    def pause_writing(self) -> None:
        self.handler.pause_writing()

    def resume_writing(self) -> None:
        self.handler.resume_writing()


class Doorkeeper:
    """Not thread-safe: belongs to the loop."""

    def __init__(self, make: Callable[[], Handler], *, idle_s: float = IDLE_S, most: int = MOST) -> None:
        self._make = make
        self._idle_s = idle_s
        self._most = most
        self._connections: dict[Handler, Connection] = {}
        self.turned_away = 0

    def __call__(self) -> asyncio.Protocol:
        """A protocol for a new connection. Raises ConnectionAbortedError: there are too many; asyncio closes it."""
        while len(self._connections) >= self._most:
            owing = (one for one in self._connections.values() if one.owes)
            longest = min(owing, key=lambda one: one.silent_since_s, default=None)
            if longest is None:
                self.turned_away += 1
                raise ConnectionAbortedError(f"{self._most} connections are busy")
            self._close(longest)
        connection = Connection(self._make(), self._forget)
        self._connections[connection.handler] = connection
        # A handshake that fails is told to no protocol, but it ends asyncio's task for this connection.
        if (task := asyncio.current_task()) is not None:
            connection.shaking = task
            task.add_done_callback(lambda _: self._shaken(connection))
        return connection

    @property
    def open(self) -> int:
        """Connections of every kind, as far as they were let in."""
        return len(self._connections)

    @property
    def under_way(self) -> int:
        """Connections that have a request."""
        return sum(one.asked is not None for one in self._connections.values())

    @contextmanager
    def request(self, request: web.Request) -> Iterator[None]:
        """A request is under way on its connection."""
        connection = self._connections.get(request.protocol)
        if connection is None:  # closed just now
            yield
            return
        connection.asked = request
        try:
            yield
        finally:
            connection.asked, connection.idle_since_s = None, time.monotonic()

    @asynccontextmanager
    async def on_duty(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.look(time.monotonic())

    def look(self, now_s: float) -> None:
        """Close what was idle for too long. Whoever still takes an answer, however slowly, is not."""
        for one in [one for one in self._connections.values() if one.idle]:
            before, one.taken_bytes = one.taken_bytes, one.acknowledged()
            if 0 <= before < one.taken_bytes:
                one.idle_since_s = now_s
            elif now_s - one.idle_since_s > self._idle_s:
                self._close(one)

    def _shaken(self, connection: Connection) -> None:
        connection.shaking = None
        if connection.transport is None:
            self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        self._connections.pop(connection.handler, None)

    def _close(self, connection: Connection) -> None:
        self._forget(connection)
        self.turned_away += 1
        if connection.transport is not None:
            connection.transport.abort()
        elif connection.shaking is not None:
            connection.shaking.cancel()  # asyncio closes the socket then
