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
        self._loop.add_reader(self._fd, receive)
        self._loop.call_soon(receive)

    def touched(self) -> None:
        """To be called after a send: ZeroMQ may have swallowed the wake-up of a message that came meanwhile."""
        self._loop.call_soon(self._receive)

    def close(self) -> None:
        self._loop.remove_reader(self._fd)
