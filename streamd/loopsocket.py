"""A ZeroMQ socket in an asyncio loop, without polling: the loop is woken when something comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import zmq

from streamd.sockets import Socket


class LoopSocket:
    """Calls ``receive``, which is to take all that is there, whenever a message may have come."""

    def __init__(self, socket: Socket, receive: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._fd = cast(int, socket.getsockopt(zmq.FD))
        self._receive = receive
        self._closed = False
        self._loop.add_reader(self._fd, self._look)
        self._loop.call_soon(self._look)

    def touched(self) -> None:
        """To be called after a send: ZeroMQ may have swallowed the wake-up of a message that came meanwhile."""
        self._loop.call_soon(self._look)

    def close(self) -> None:
        """To be called before the socket is closed.

        The loop would go on believing that it watches this file descriptor, and would never hear of the next file with
        the same number, such as a connection that somebody makes to an HTTP server in this loop.
        """
        self._closed = True
        if not self._loop.is_closed():
            self._loop.remove_reader(self._fd)

    def _look(self) -> None:
        if not self._closed:  # it may have been closed since this was put into the loop's queue
            self._receive()
