"""The line between the supervisor and its children.

A child says READY once, then HEARTBEAT from its work loop with its metrics as a second part; the supervisor says
DRAIN, RELOAD and asks nothing that must be waited for. The gateway may say RELOAD, too, after it has changed the
configuration file, and is told by RELOADED what came of it. Anyone local may ask STATUS.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import zmq

from streamd.errors import ProtocolError, UnavailableError
from streamd.notify import notify
from streamd.sockets import Socket, Sockets, try_receive, try_send
from streamd.wire import Header, decode, encode

logger = logging.getLogger(__name__)

METRICS_EVERY_S = 1.95
"""A little less than every second heartbeat of the default pace."""
READY, HEARTBEAT, DRAIN, STATUS = "READY", "HEARTBEAT", "DRAIN", "STATUS"
RELOAD, RELOADED = "RELOAD", "RELOADED"


class ControlLink:
    """A child's end."""

    def __init__(self, socket: Socket | None, *, heartbeat_s: float) -> None:
        self.socket = socket
        self.trouble: str | None = None
        """What is wrong although the process runs ("journal: disk is full"); shown by /readyz."""
        self._heartbeat_s = heartbeat_s
        self._last_beat_s = float("-inf")
        self._told_at_s = float("-inf")

    @classmethod
    def connect(cls, sockets: Sockets, endpoint: str, *, name: str, heartbeat_s: float) -> ControlLink:
        # A short queue: heartbeats that nobody fetched are worth nothing later.
        socket = sockets.connect(zmq.DEALER, endpoint, identity=name.encode(), hwm=8)
        return cls(socket, heartbeat_s=heartbeat_s)

    @classmethod
    def unattended(cls) -> ControlLink:
        """The link of a process that was started by hand, or by systemd, which is told instead."""
        return cls(None, heartbeat_s=1.0)

    def ready(self) -> None:
        """Say that the work loop is about to begin."""
        self._send(encode(READY))
        if self.socket is None:
            notify("READY=1")

    def due(self, now_s: float) -> bool:
        return now_s - self._last_beat_s >= self._heartbeat_s

    def beat(self, now_s: float, snapshot: Callable[[], bytes]) -> None:
        """Say that the work loop turns. Call it where ``due``. The metrics go along every two seconds: they cost more
        than the sign of life."""
        self._last_beat_s = now_s
        header = encode(HEARTBEAT, trouble=self.trouble)
        if now_s - self._told_at_s < METRICS_EVERY_S:
            self._send(header)
        else:
            self._told_at_s = now_s
            self._send(header, snapshot())
        if self.socket is None:
            notify("WATCHDOG=1")

    def commands(self) -> list[Header]:
        """What the supervisor said since the last call."""
        found: list[Header] = []
        while self.socket is not None and (parts := try_receive(self.socket)) is not None:
            try:
                found.append(decode(parts[0]))
            except ProtocolError as error:
                logger.warning("control message dropped: %s", error)
        return found

    def ask_reload(self) -> bool:
        """Have the supervisor read the configuration anew; False where there is none."""
        return self.socket is not None and try_send(self.socket, [encode(RELOAD)])

    def _send(self, *parts: bytes) -> None:
        if self.socket is not None:
            try_send(self.socket, parts)


@dataclass(frozen=True, slots=True)
class ChildStatus:
    """What the supervisor knows of one child."""

    name: str
    state: str
    pid: int | None
    restarts: int
    for_s: float
    """Seconds in this state."""
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class SystemStatus:
    """What the supervisor knows of everyone, and each one's latest metrics."""

    children: tuple[ChildStatus, ...]
    snapshots: Mapping[str, bytes] = field(default_factory=dict)

    def to_parts(self) -> list[bytes]:
        rows = [
            {
                "name": c.name,
                "state": c.state,
                "pid": c.pid,
                "restarts": c.restarts,
                "for_s": round(c.for_s, 3),
                "trouble": c.trouble,
            }
            for c in self.children
        ]
        names = list(self.snapshots)
        return [encode(STATUS, children=rows, snapshots=names), *(self.snapshots[n] for n in names)]

    @classmethod
    def from_parts(cls, parts: list[bytes]) -> SystemStatus:
        """Raises ProtocolError on anything that ``to_parts`` did not make."""
        if not parts:
            raise ProtocolError("status without a header")
        header = decode(parts[0])
        names = header.fields.get("snapshots")
        rows = header.fields.get("children")
        if header.kind != STATUS or not isinstance(names, list) or not isinstance(rows, list):
            raise ProtocolError(f"{header.kind} is not a status")
        if len(names) != len(parts) - 1:
            raise ProtocolError(f"status names {len(names)} snapshots and carries {len(parts) - 1}")
        try:
            children = tuple(ChildStatus(**row) for row in rows)
        except TypeError as error:
            raise ProtocolError(f"status row: {error}") from error
        return cls(children, dict(zip(map(str, names), parts[1:], strict=True)))


def ask_status(endpoint: str, *, timeout_s: float) -> SystemStatus:
    """Ask a running supervisor.

    Raises:
        UnavailableError: none answers.
    """
    with Sockets() as sockets:
        socket = sockets.connect(zmq.DEALER, endpoint)
        socket.send(encode(STATUS))
        if not socket.poll(int(timeout_s * 1000)):
            raise UnavailableError(f"no daemon answers at {endpoint}: is 'streamd run' running?")
        return SystemStatus.from_parts(socket.recv_multipart())
