"""Every ZeroMQ socket of streamd is made here, with the same care, and closed by the ``with`` that made it."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import zmq
import zmq.auth
from zmq.auth.thread import ThreadAuthenticator

from streamd.errors import UnavailableError, UsageError

MAX_MESSAGE_BYTES = 64 << 20
"""A frame part of a 4K picture has 12 MB; more than this closes the connection."""
HEARTBEAT_MS = 1000
HEARTBEAT_TIMEOUT_MS = 5000
CONNECT_TIMEOUT_MS = 5000
"""The kernel alone doubles its pauses between tries at a host that was cut off, to a minute in the end."""
HANDSHAKE_TIMEOUT_MS = 10000

Socket = zmq.Socket[bytes]


@dataclass(frozen=True, slots=True)
class CurveServer:
    """Keys of a listening socket: its own secret, and a folder of the public keys that may connect."""

    secret_key: Path
    clients: Path


@dataclass(frozen=True, slots=True)
class CurveClient:
    """Keys of a connecting socket: its own secret key file, and the server's public key file."""

    secret_key: Path
    server_key: Path


class Sockets:
    """A context and the sockets made from it. Not thread-safe: one per thread that does I/O."""

    def __init__(self) -> None:
        self._context: zmq.Context[Socket] = zmq.Context()
        self._open: list[Socket] = []
        self._authenticator: ThreadAuthenticator | None = None

    def __enter__(self) -> Sockets:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every socket; what is still queued is dropped."""
        for socket in self._open:
            socket.close(linger=0)
        self._open.clear()
        if self._authenticator is not None:
            self._authenticator.stop()
            self._authenticator = None
        self._context.term()

    def drop(self, socket: Socket) -> None:
        """Close one before the others; nothing more of it is sent."""
        self._open.remove(socket)
        socket.close(linger=0)

    def bind(
        self,
        kind: int,
        endpoint: str,
        *,
        hwm: int = 1000,
        curve: CurveServer | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        heartbeats: bool = True,
    ) -> Socket:
        """A listening socket; whoever sends it a larger part than ``max_message_bytes`` is disconnected.

        Args:
            heartbeats: whether a peer that does not answer pings is given up.

        Raises:
            UnavailableError: the address is taken, or cannot be listened on.
            UsageError: a tcp address that others can reach, without keys.
        """
        if curve is None and not is_private(endpoint):
            raise UsageError(f"{endpoint}: an address that other hosts can reach needs CURVE keys")
        socket = self._make(kind, hwm, heartbeats=heartbeats and not endpoint.startswith("ipc:"))
        socket.set(zmq.MAXMSGSIZE, max_message_bytes)
        if kind == zmq.ROUTER:
            socket.set(zmq.ROUTER_MANDATORY, 1)
            socket.set(zmq.ROUTER_HANDOVER, 1)
        if curve is not None:
            self._serve_curve(socket, curve)
        try:
            socket.bind(endpoint)
        except zmq.ZMQError as error:
            raise UnavailableError(_bind_failure(endpoint, error)) from error
        return socket

    def connect(
        self,
        kind: int,
        endpoint: str,
        *,
        hwm: int = 1000,
        identity: bytes | None = None,
        queue_unconnected: bool = True,
        curve: CurveClient | None = None,
        heartbeats: bool = True,
    ) -> Socket:
        """A connecting socket; it reconnects for ever by itself.

        Args:
            heartbeats: whether a peer that does not answer pings is given up. Not for a socket that may stay unread
                while messages come: libzmq (4.3.5) ends the process where a connection with a full queue is given up,
                and the queue is read then.
            queue_unconnected: whether messages wait for a peer that is not there (up to ``hwm``).
        """
        if curve is None and not is_private(endpoint):
            raise UsageError(f"{endpoint}: an address on another host needs CURVE keys (streamd keys new)")
        socket = self._make(kind, hwm, heartbeats=heartbeats and not endpoint.startswith("ipc:"))
        if identity is not None:
            socket.set(zmq.IDENTITY, identity)
        if not queue_unconnected:
            socket.set(zmq.IMMEDIATE, 1)
        if curve is not None:
            public, secret = load_secret_key(curve.secret_key)
            socket.curve_publickey, socket.curve_secretkey = public, secret
            socket.curve_serverkey = load_public_key(curve.server_key)
        socket.connect(endpoint)
        return socket

    def _make(self, kind: int, hwm: int, *, heartbeats: bool) -> Socket:
        socket = self._context.socket(kind)
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.SNDHWM, hwm)
        socket.set(zmq.RCVHWM, hwm)
        socket.set(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        socket.set(zmq.RECONNECT_IVL, 100)
        socket.set(zmq.RECONNECT_IVL_MAX, 1000)
        socket.set(zmq.CONNECT_TIMEOUT, CONNECT_TIMEOUT_MS)
        socket.set(zmq.HANDSHAKE_IVL, HANDSHAKE_TIMEOUT_MS)
        if heartbeats:
            socket.set(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
            socket.set(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)
        self._open.append(socket)
        return socket

    def _serve_curve(self, socket: Socket, curve: CurveServer) -> None:
        public, secret = load_secret_key(curve.secret_key)
        if not curve.clients.is_dir():
            raise UnavailableError(f"{curve.clients}: no such folder of public keys (frames.clients)")
        if self._authenticator is None:
            self._authenticator = ThreadAuthenticator(self._context)
            self._authenticator.start()
        # Each socket has a ZAP domain of its own, so that a key is good for the socket that trusts it alone.
        domain = curve.secret_key.name
        self._authenticator.configure_curve(domain=domain, location=str(curve.clients))
        socket.zap_domain = domain.encode()
        socket.curve_publickey, socket.curve_secretkey = public, secret
        socket.curve_server = True


def is_private(endpoint: str) -> bool:
    """Whether only this host can reach an endpoint: ipc, inproc, or tcp on the loopback."""
    if not endpoint.startswith("tcp://"):
        return True
    host = urlsplit(endpoint).hostname or "*"
    return host in ("localhost", "::1") or host.startswith("127.")


def try_send(socket: Socket, parts: Sequence[bytes | memoryview], *, copy: bool = True) -> bool:
    """Send without waiting; False where the peer is gone or its queue is full."""
    try:
        socket.send_multipart(parts, zmq.NOBLOCK, copy=copy)
    except zmq.ZMQError as error:
        if error.errno in (zmq.EAGAIN, zmq.EHOSTUNREACH):
            return False
        raise
    return True


def redial(socket: Socket, old: str, new: str) -> None:
    """Connect to another endpoint of the same host, with the same keys."""
    socket.disconnect(old)
    socket.connect(new)


def try_receive(socket: Socket) -> list[bytes] | None:
    """A message that has arrived, or None; never waits. Asking first costs a tenth of the exception that says there is
    nothing, which loops that wake for another socket would raise most of the time."""
    if not has_message(socket):
        return None
    try:
        return socket.recv_multipart(zmq.NOBLOCK)
    except zmq.Again:
        return None


def try_receive_frames(socket: Socket) -> list[zmq.Frame] | None:
    """The same without copying."""
    if not has_message(socket):
        return None
    try:
        return socket.recv_multipart(zmq.NOBLOCK, copy=False)
    except zmq.Again:
        return None


def has_message(socket: Socket) -> bool:
    """Whether there is one to take; never waits."""
    return bool(int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)


def load_secret_key(path: Path) -> tuple[bytes, bytes]:
    """Public and secret half of a key file made by ``streamd keys new``."""
    public, secret = _load_key(path)
    if secret is None:
        raise UnavailableError(f"{path}: holds no secret key: give the file that ends in .key_secret")
    return public, secret


def load_public_key(path: Path) -> bytes:
    return _load_key(path)[0]


def public_key_names(folder: Path) -> dict[str, str]:
    """Name (file stem) by public key, of every ``*.key`` in a folder."""
    return {load_public_key(path).decode(): path.stem for path in sorted(folder.glob("*.key"))}


def _load_key(path: Path) -> tuple[bytes, bytes | None]:
    try:
        return zmq.auth.load_certificate(path)
    except (OSError, ValueError) as error:
        raise UnavailableError(f"{path}: not a readable key file: {error} (streamd keys new makes one)") from error


def _bind_failure(endpoint: str, error: zmq.ZMQError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{endpoint}: address in use: another program, or another streamd, listens there"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{endpoint}: not allowed to listen there"
    return f"{endpoint}: cannot listen: {zmq.strerror(error.errno or 0)}"
