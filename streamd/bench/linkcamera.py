"""A made-up camera in a process of its own, which sends its frames as the product does, or pushes them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Literal, Protocol

import numpy as np
import zmq

from streamd.domain import Frame, FrameId, Yuv420
from streamd.framelink import FRAME, Asked, CaptureEnd
from streamd.sockets import CurveClient, Socket, Sockets, try_send
from streamd.wire import encode

Way = Literal["on demand", "push/pull"]
CAMERA = "bench"
IMAGE_SIDE_PX = 640
"""Longer side of the image for the detector."""
_PICTURES = 4
"""Different ones that take turns, so that no cache holds them all."""


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


def run_camera(film: Film, road: Road, pipe: Connection) -> None:
    """The child's work: until the other end of the pipe is closed."""
    with Sockets() as sockets:
        made = _OnDemandSender if film.way == "on demand" else _Pusher
        sender: _Sender = made(sockets, road, film)
        poller = zmq.Poller()
        poller.register(sender.socket, zmq.POLLIN)
        poller.register(pipe.fileno(), zmq.POLLIN)
        due_s = time.monotonic()
        while True:
            woken = dict(poller.poll(_wait_ms(due_s, film.fps, idle=sender.idle)))
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


def _wait_ms(due_s: float, fps: float, *, idle: bool) -> int:
    if fps == 0:
        return 1000 if idle else 0
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


class _Sender(Protocol):
    """Whoever sends what the camera gives."""

    socket: Socket

    @property
    def idle(self) -> bool:
        """Whether nothing can be done before the other side says something."""

    def captured(self, now_s: float) -> None:
        """There is a new frame."""

    def step(self, now_s: float) -> None:
        """Hear, and send what is due."""


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
    def idle(self) -> bool:
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

    idle = False

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
        """Nobody asks."""
