"""Connections that ask for nothing, or never finish asking: aiohttp itself waits for a request's headers for ever.

Connections are counted by the factory that makes their protocols; those that have no request under way are closed after
a while, and at once, longest idle first, while there are too many.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

IDLE_S = 20.0
"""How long a connection may be without a request: also the time to send one's headers in."""
MOST = 400
"""Open connections; a process may usually open 1024 files, and a viewer takes several."""
LOOK_EVERY_S = 1.0

Handler = RequestHandler


class Doorkeeper:
    """Not thread-safe: belongs to the loop."""

    def __init__(self, make: Callable[[], Handler], *, idle_s: float = IDLE_S, most: int = MOST) -> None:
        self._make = make
        self._idle_s = idle_s
        self._most = most
        self._idle_since_s: dict[Handler, float] = {}
        self._busy: dict[Handler, int] = {}
        self.turned_away = 0

    def __call__(self) -> Handler:
        """A protocol for a new connection."""
        handler = self._make()
        self._idle_since_s[handler] = time.monotonic()
        if len(self._idle_since_s) + len(self._busy) > self._most:
            self._make_room()
        return handler

    @property
    def under_way(self) -> int:
        """Connections that have a request."""
        return len(self._busy)

    @contextmanager
    def request(self, request: web.Request) -> Iterator[None]:
        """A request is under way on its connection."""
        handler: Handler = request.protocol
        self._idle_since_s.pop(handler, None)
        self._busy[handler] = self._busy.get(handler, 0) + 1
        try:
            yield
        finally:
            self._busy[handler] -= 1
            if not self._busy[handler]:
                del self._busy[handler]
                self._idle_since_s[handler] = time.monotonic()

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
        """Close what was idle for too long."""
        for handler, since_s in list(self._idle_since_s.items()):
            if handler.transport is None and now_s - since_s > LOOK_EVERY_S:  # closed by itself
                del self._idle_since_s[handler]
            elif now_s - since_s > self._idle_s:
                self._close(handler)

    def _make_room(self) -> None:
        self.look(time.monotonic())
        for handler in list(self._idle_since_s)[: max(0, len(self._idle_since_s) + len(self._busy) - self._most)]:
            self._close(handler)

    def _close(self, handler: Handler) -> None:
        self._idle_since_s.pop(handler, None)
        self.turned_away += 1
        if handler.transport is not None:
            handler.transport.abort()
