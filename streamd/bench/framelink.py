"""``streamd bench framelink``: what a frame's way from one process to the next costs, and how old frames get.

Both ends are real processes with the product's own sockets and protocol; only the camera's pictures are made up.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamd.bench.linkcamera import Film, Way
from streamd.bench.linkends import TRANSPORTS, Receiver, Transport, linked

SIZES = ((1280, 720), (1920, 1080))
PACED_FPS = 15.0
OVERLOAD = 2.0
"""How many times longer work on a frame takes than the next one takes to come, on average."""
UNEVEN = 0.25
"""By which share that differs from frame to frame: else it would keep pace with the camera."""
SETTLE_S = 0.5


@dataclass(frozen=True, slots=True)
class Cost:
    """Frames of one kind over one transport."""

    transport: str
    width: int
    height: int
    picture: bool
    """Whether the full picture came along."""
    paced: bool
    """At 15 frames a second; else as many as go."""
    frames_per_second: float
    us: float
    """Paced: from the moment when the frame was there until it has arrived (READY, SEND, FRAME), median; else the time
    that each frame took."""
    sender_cpu_us: float
    receiver_cpu_us: float


@dataclass(frozen=True, slots=True)
class Age:
    """How old frames are when work on them starts, where work takes twice as long as they take to come."""

    way: str
    transport: str
    width: int
    height: int
    p50_ms: float
    p95_ms: float
    frames: int


def costs(
    seconds: float, *, transports: Sequence[Transport] = TRANSPORTS, sizes: Sequence[tuple[int, int]] = SIZES
) -> Iterator[Cost]:
    """Every size, with and without the full picture, paced and saturated. Raises UnavailableError."""
    for transport in transports:
        for width, height in sizes:
            for picture in (False, True):
                for fps in (PACED_FPS, 0.0):
                    yield _cost(Film(width, height, fps, picture=picture), transport, seconds)


def ages(
    seconds: float, *, transports: Sequence[Transport] = ("ipc", "tcp"), sizes: Sequence[tuple[int, int]] = SIZES
) -> Iterator[Age]:
    """On demand, and pushed with the least queues there are. Raises UnavailableError."""
    ways: tuple[Way, ...] = ("on demand", "push/pull")
    for width, height in sizes:
        for transport in transports:
            for way in ways:
                yield _age(Film(width, height, PACED_FPS, way), transport, seconds)


def _cost(film: Film, transport: Transport, seconds: float) -> Cost:
    with (
        tempfile.TemporaryDirectory(prefix="streamd-link-") as folder,
        linked(film, transport, Path(folder)) as (receiver, camera),
    ):
        _taken(receiver, SETTLE_S)
        sent_s, received_s, began_s = camera.cpu_s(), time.process_time(), time.monotonic()
        delays_s = _taken(receiver, seconds)
        elapsed_s = time.monotonic() - began_s
        received_s, sent_s = time.process_time() - received_s, camera.cpu_s() - sent_s
    count = max(1, len(delays_s))
    each_s = float(np.median(delays_s)) if film.fps and delays_s else elapsed_s / count
    return Cost(
        transport,
        film.width,
        film.height,
        film.picture,
        bool(film.fps),
        round(len(delays_s) / elapsed_s, 1),
        round(1e6 * each_s, 1),
        round(1e6 * sent_s / count, 1),
        round(1e6 * received_s / count, 1),
    )


def _age(film: Film, transport: Transport, seconds: float) -> Age:
    work_s = OVERLOAD / film.fps
    with (
        tempfile.TemporaryDirectory(prefix="streamd-link-") as folder,
        linked(film, transport, Path(folder)) as (receiver, _),
    ):
        _taken(receiver, 4 * work_s, work_s=work_s)  # until the queues are full
        found_s = _taken(receiver, seconds, work_s=work_s)
    p50, p95 = np.percentile(found_s, (50, 95)) if found_s else (np.nan, np.nan)
    return Age(
        film.way,
        transport,
        film.width,
        film.height,
        round(1000 * float(p50), 1),
        round(1000 * float(p95), 1),
        len(found_s),
    )


def _taken(receiver: Receiver, seconds: float, *, work_s: float = 0.0) -> list[float]:
    """Ages of the frames on arrival, for so long."""
    found: list[float] = []
    random = np.random.default_rng(7)
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        captured_at_s = receiver.take(1.0)
        if captured_at_s is not None:
            found.append(time.monotonic() - captured_at_s)
            if work_s:
                time.sleep(work_s * random.uniform(1 - UNEVEN, 1 + UNEVEN))
    return found
