"""A link between two processes: a made-up camera in a child, and whoever receives its frames here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal, Protocol

import zmq
import zmq.auth

from streamd.bench.linkcamera import CAMERA, Film, Road, run_camera
from streamd.domain import Frame
from streamd.errors import UnavailableError
from streamd.framelink import Ready, WorkerEnd
from streamd.sockets import CurveClient, CurveServer, Socket, Sockets, public_key_names
from streamd.wire import decode

Transport = Literal["ipc", "tcp", "tcp+curve"]
TRANSPORTS: tuple[Transport, ...] = ("ipc", "tcp", "tcp+curve")
_START_TIMEOUT_S = 30.0


class Receiver(Protocol):
    """Whoever takes frames."""

    def take(self, timeout_s: float) -> float | None:
        """When the next frame was captured (monotonic); None where none comes in time."""


class OnDemand:
    """The worker's side of streamd's own protocol: each READY is granted as soon as somebody waits for a frame."""

    def __init__(self, worker: WorkerEnd, *, picture: bool) -> None:
        self._worker = worker
        self._picture = picture
        self._ready = False
        self._poller = zmq.Poller()
        for socket in worker.sockets:
            self._poller.register(socket, zmq.POLLIN)

    def take(self, timeout_s: float) -> float | None:
        end_s, frame = time.monotonic() + timeout_s, None
        while frame is None and time.monotonic() < end_s:
            if self._ready and self._worker.grant(CAMERA, picture=self._picture):
                self._ready = False
            self._poller.poll(50)
            for message in self._worker.receive():
                if isinstance(message, Frame):
                    frame = message
                self._ready |= isinstance(message, Ready)
        return None if frame is None else frame.captured_at_s


class Pulled:
    """PUSH and PULL with the least queues that ZeroMQ has, one message on each side."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket

    def take(self, timeout_s: float) -> float | None:
        if not self._socket.poll(int(1000 * timeout_s)):
            return None
        return decode(self._socket.recv_multipart(copy=False)[0].bytes).number("captured_at")


@dataclass(frozen=True, slots=True, eq=False)
class Camera:
    """The child, seen from here."""

    pipe: Connection

    def cpu_s(self) -> float:
        """CPU seconds of the child until now, its threads included."""
        self.pipe.send("cpu")
        return float(self.pipe.recv())


@contextmanager
def linked(film: Film, transport: Transport, folder: Path) -> Iterator[tuple[Receiver, Camera]]:
    """A camera that runs, and its receiver. Raises UnavailableError where no frame comes."""
    spawn = get_context("spawn")
    with Sockets() as sockets:
        receiver, road = _listening(sockets, film, transport, folder)
        here, there = spawn.Pipe()
        child = spawn.Process(target=run_camera, args=(film, road, there), daemon=True)
        child.start()
        try:
            _await_frame(receiver, child.is_alive, transport)
            yield receiver, Camera(here)
        finally:
            here.close()
            child.join(5)
            child.kill()


def _await_frame(receiver: Receiver, alive: Callable[[], bool], transport: Transport) -> None:
    end_s = time.monotonic() + _START_TIMEOUT_S
    while receiver.take(0.5) is None:
        if not alive() or time.monotonic() > end_s:
            raise UnavailableError(f"{transport}: the camera's process {'gave no frame' if alive() else 'ended'}")


def _listening(sockets: Sockets, film: Film, transport: Transport, folder: Path) -> tuple[Receiver, Road]:
    """Bind, and say where."""
    endpoint = f"ipc://{folder}/frames.sock" if transport == "ipc" else "tcp://127.0.0.1:*"
    if film.way == "push/pull":
        pull = sockets.bind(zmq.PULL, endpoint, hwm=1, heartbeats=False)  # it stays unread while it is full
        return Pulled(pull), Road(_bound(pull))
    if transport != "tcp+curve":
        router = sockets.bind(zmq.ROUTER, endpoint)
        return OnDemand(WorkerEnd(router), picture=film.picture), Road(_bound(router))
    clients = folder / "clients"
    if not clients.exists():
        clients.mkdir()
        zmq.auth.create_certificates(folder, "worker")
        zmq.auth.create_certificates(clients, CAMERA)
    local = sockets.bind(zmq.ROUTER, f"ipc://{folder}/local.sock")
    remote = sockets.bind(zmq.ROUTER, endpoint, curve=CurveServer(folder / "worker.key_secret", clients))
    worker = WorkerEnd(local, remote, trusted=public_key_names(clients))
    keys = CurveClient(clients / f"{CAMERA}.key_secret", folder / "worker.key")
    return OnDemand(worker, picture=film.picture), Road(_bound(remote), keys)


def _bound(socket: Socket) -> str:
    where = socket.get(zmq.LAST_ENDPOINT)
    return (where.decode() if isinstance(where, bytes) else str(where)).rstrip("\0")
