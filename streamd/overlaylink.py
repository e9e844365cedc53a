"""How overlays travel from the workers to the gateway: only those of cameras that somebody watches.

The gateway listens and subscribes; workers connect, and read from the subscriptions what to tell. An overlay that
cannot go at once is dropped: the next look brings another.
"""

from __future__ import annotations

import logging

from streamd.errors import ProtocolError
from streamd.overlays import Overlay, topic
from streamd.sockets import Socket, try_receive, try_send

logger = logging.getLogger(__name__)

_SUBSCRIBED, _UNSUBSCRIBED = b"\x01", b"\x00"


class OverlaySender:
    """A worker's side, over an XPUB socket."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._wanted: set[bytes] = set()

    def wanted(self, camera: str) -> bool:
        """Whether somebody watches this camera."""
        while (parts := try_receive(self._socket)) is not None:
            kind, name = parts[0][:1], parts[0][1:]
            if kind == _SUBSCRIBED:
                self._wanted.add(name)
            elif kind == _UNSUBSCRIBED:
                self._wanted.discard(name)
        return topic(camera) in self._wanted

    def send(self, overlay: Overlay) -> None:
        try_send(self._socket, overlay.to_parts())


class OverlayReceiver:
    """The gateway's side, over a SUB socket."""

    def __init__(self, socket: Socket) -> None:
        self.socket = socket

    def subscribe(self, camera: str) -> None:
        self.socket.subscribe(topic(camera))

    def unsubscribe(self, camera: str) -> None:
        self.socket.unsubscribe(topic(camera))

    def receive(self) -> list[Overlay]:
        """All that has arrived."""
        found: list[Overlay] = []
        while (parts := try_receive(self.socket)) is not None:
            try:
                found.append(Overlay.from_parts(parts))
            except ProtocolError as error:
                logger.warning("overlay link: %s", error)
        return found
