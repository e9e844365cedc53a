"""Packets of a live stream that are left to come and are decoded together: by a real connection, with a clock that
moves only when it is waited for."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from mediafiles import write_video
from sourceclock import FakeClock

from streamd.config import CaptureConfig
from streamd.sources.av import AvSource

FPS, COUNT = 10, 100


@contextmanager
def server(path: Path) -> Iterator[str]:
    """Sends the file to whoever connects first, and keeps the connection."""
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(path.read_bytes())
                done.wait(30)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            done.set()
            thread.join(5)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A still view, and a key frame in every second."""
    picture = np.random.default_rng(1).integers(0, 255, (240, 320, 3)).astype(np.uint8)
    return write_video(tmp_path_factory.mktemp("clips") / "a.ts", [picture] * COUNT, fps=FPS)


@contextmanager
def source(clip: Path) -> Iterator[tuple[AvSource, FakeClock]]:
    clock = FakeClock(1000.0)
    with server(clip) as url:
        opened = AvSource(url, config=CaptureConfig(), clock=clock.as_clock())
        opened.open()
        try:
            yield opened, clock
        finally:
            opened.close()


def test_every_frame_is_given_while_somebody_is_not_known(clip: Path) -> None:
    with source(clip) as (opened, clock):
        times = [opened.read(5.0).media_s for _ in range(20)]
        assert np.allclose(np.diff(times), 1 / FPS)
        assert clock.now_s == 1000.0, "the network is what it waits for"


def test_while_all_are_known_it_sleeps_and_decodes_two_at_a_time(clip: Path) -> None:
    with source(clip) as (opened, clock):
        opened.read(5.0)
        opened.settled = True
        times = []
        for _ in range(20):
            before_s = clock.now_s
            times.append(opened.read(5.0).media_s)
            assert 0.1 <= clock.now_s - before_s + 0.13 * (len(times) == 1) < 2 / FPS, "less than they take to come"
        two, three = np.isclose(np.diff(times), 2 / FPS), np.isclose(np.diff(times), 3 / FPS)
        assert np.all(two | three)
        assert three.sum() == opened.work.skipped <= 1, "what comes before a key frame is left out"
        opened.settled = False
        after = [opened.read(5.0).media_s for _ in range(5)]
        assert np.allclose(np.diff(after), 1 / FPS), "and every one again as soon as somebody is not"


def test_while_packets_are_held_back_it_sleeps(clip: Path) -> None:
    with source(clip) as (opened, clock):
        opened.resting = True
        for _ in range(4):
            opened.read(5.0)
        while opened.read(5.0).media_s < 5.0:
            opened.resting = True
        before_s, packets = clock.now_s, opened.work.packets
        times = [opened.read(5.0).media_s for _ in range(4)]
        assert np.allclose(np.diff(times), 1.0), "key frames alone"
        assert opened.work.unchanged_at_s > before_s, "packets after the last one said that nothing moves"
        slept_s, came = clock.now_s - before_s, opened.work.packets - packets
        assert came >= 3 * FPS
        assert 0.5 * came / FPS <= slept_s < came / FPS, "half of the time at least, and never longer than they take"
