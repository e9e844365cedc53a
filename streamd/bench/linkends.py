"""Both ends of a link between two processes: a made-up camera in a child, and whoever receives its frames here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import zmq
import zmq.auth

from streamd.domain import Frame, FrameId, Yuv420
from streamd.errors import UnavailableError
from streamd.framelink import FRAME, Asked, CaptureEnd, Ready, WorkerEnd
from streamd.sockets import CurveClient, CurveServer, Socket, Sockets, public_key_names, try_send
from streamd.wire import decode, encode

Transport = Literal["ipc", "tcp", "tcp+curve"]
Way = Literal["on demand", "push/pull"]
TRANSPORTS: tuple[Transport, ...] = ("ipc", "tcp", "tcp+curve")
CAMERA = "bench"
IMAGE_SIDE_PX = 640
"""Longer side of the image for the detector."""
_PICTURES = 4
"""Different ones that take turns, so that no cache holds them all."""
_START_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Film:
    """What the camera gives."""

    width: int
    height: int
    fps: float
    """0: there is always a new frame."""
    way: Way = "on demand"
    picture: bool = True
    """Whether the full picture is asked for."""


@dataclass(frozen=True, slots=True)
class Road:
    """Where the camera connects, and with which keys."""

    endpoint: str
    curve: CurveClient | None = None


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


def run_camera(film: Film, road: Road, pipe: Connection) -> None:
    """The child's work: until the other end of the pipe is closed."""
    with Sockets() as sockets:
        sender = _OnDemandSender(sockets, road, film) if film.way == "on demand" else _Pusher(sockets, road, film)
        poller = zmq.Poller()
        poller.register(sender.socket, zmq.POLLIN)
        poller.register(pipe.fileno(), zmq.POLLIN)
        due_s = time.monotonic()
        while True:
            woken = dict(poller.poll(_wait_ms(due_s, film.fps, ready=sender.full)))
            if pipe.fileno() in woken:
                try:
                    pipe.recv()
                except EOFError:
                    return
                pipe.send(time.process_time())
            now_s = time.monotonic()
            if film.fps == 0 or now_s >= due_s:
                sender.captured(now_s)
                due_s += 1 / film.fps if film.fps else 0
            sender.step(now_s)


def _wait_ms(due_s: float, fps: float, *, ready: bool) -> int:
    if fps == 0:
        return 1000 if ready else 0
    return max(0, round(1000 * (due_s - time.monotonic())))


class _Pictures:
    """Frames with a moment and a number, of the same few pictures."""

    def __init__(self, film: Film) -> None:
        random = np.random.default_rng(5)
        width, height = film.width, film.height
        small = (round(height * IMAGE_SIDE_PX / width), IMAGE_SIDE_PX, 3)
        self._images = [random.integers(0, 256, small, np.uint8) for _ in range(_PICTURES)]
        self._planes = [random.integers(0, 256, (height * 3 // 2, width), np.uint8) for _ in range(_PICTURES)]
        self._size = width, height

    def frame(self, seq: int, at_s: float, *, picture: bool = True) -> Frame:
        full = Yuv420(self._planes[seq % _PICTURES], "bt709", False) if picture else None
        image = self._images[seq % _PICTURES]
        return Frame(FrameId(CAMERA, "e1", seq), at_s, time.time(), image, full, 0.5, full_size=self._size)


class _OnDemandSender:
    """As the capture process does it."""

    def __init__(self, sockets: Sockets, road: Road, film: Film) -> None:
        self.socket = sockets.connect(
            zmq.DEALER, road.endpoint, identity=CAMERA.encode(), hwm=2, queue_unconnected=False, curve=road.curve
        )
        self._end = CaptureEnd(self.socket)
        self._pictures = _Pictures(film)
        self._newest: tuple[int, float] | None = None
        self._seq = 0
        self._wanted: Asked | None = None
        self._announced = False

    @property
    def full(self) -> bool:
        """Whether the newest frame waits to be asked for, which is known to the other side."""
        return self._announced

    def captured(self, now_s: float) -> None:
        self._seq += 1
        self._newest = self._seq, now_s

    def step(self, now_s: float) -> None:
        asked = self._end.asked()
        if asked.frame:
            self._wanted = asked
        if self._newest is None:
            return
        if self._wanted is None:
            self._end.announce(motion=0.5, now_s=now_s)
            self._announced = True
            return
        self._end.send(self._pictures.frame(*self._newest, picture=self._wanted.picture))
        self._newest = self._wanted = None
        self._announced = False


class _Pusher:
    """Sends each frame; one that does not fit is dropped."""

    full = False

    def __init__(self, sockets: Sockets, road: Road, film: Film) -> None:
        self.socket = sockets.connect(zmq.PUSH, road.endpoint, hwm=1, queue_unconnected=False, heartbeats=False)
        self._pictures = _Pictures(film)
        self._seq = 0

    def captured(self, now_s: float) -> None:
        self._seq += 1
        frame = self._pictures.frame(self._seq, now_s)
        if isinstance(frame.picture, Yuv420):
            parts: list[bytes | memoryview] = [
                encode(FRAME, captured_at=now_s),
                frame.image.data,
                frame.picture.planes.data,
            ]
            try_send(self.socket, parts, copy=False)

    def step(self, now_s: float) -> None:
        """Nothing is asked."""
