"""What the supervisor knows of everyone."""

from __future__ import annotations

import asyncio

import zmq
import zmq.asyncio

from streamd.control import STATUS, SystemStatus
from streamd.errors import ProtocolError, UnavailableError
from streamd.wire import encode

ASK_TIMEOUT_S = 2.0


class SupervisorClient:
    """Asks the supervisor for its status."""

    def __init__(self, endpoint: str) -> None:
        self._context = zmq.asyncio.Context()
        self._endpoint = endpoint

    async def status(self) -> SystemStatus:
        """Raises UnavailableError where no answer comes in time."""
        socket = self._context.socket(zmq.DEALER)
        socket.set(zmq.LINGER, 0)
        try:
            socket.connect(self._endpoint)
            await socket.send(encode(STATUS))
            parts = await asyncio.wait_for(socket.recv_multipart(), ASK_TIMEOUT_S)
            return SystemStatus.from_parts(parts)
        except (TimeoutError, ProtocolError) as error:
            raise UnavailableError(f"supervisor: no answer: {error}") from error
        finally:
            socket.close()

    def close(self) -> None:
        self._context.destroy(linger=0)
