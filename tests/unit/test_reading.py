import errno
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from streamd.config import CaptureConfig
from streamd.domain import Yuv420
from streamd.errors import SourceDenied, SourceEnded, SourceError, SourceLost, SourceRejected
from streamd.interfaces import DecoderWork, SourceInfo
from streamd.motion import CutDetector
from streamd.reading import Reader
from streamd.sources.pacing import retry_pause_s

CONFIG = CaptureConfig(retry_min_s=0.01, retry_max_s=0.02)


class Still:
    """A grey frame."""

    def __init__(self, level: int = 100, *, size: tuple[int, int] = (160, 90), at_s: float = 0.0) -> None:
        self.size = self.image_size = size
        self.level = level
        self.captured_at_s = at_s
        self.captured_wall_s = time.time()
        self.media_s = 0.0

    def luma(self, step: int) -> NDArray[np.uint8]:
        width, height = self.size
        return np.full((height, width), self.level, np.uint8)[::step, ::step]

    def yuv420(self) -> Yuv420:
        raise NotImplementedError

    def small420(self, width: int, height: int) -> Yuv420:
        raise NotImplementedError

    def bgr(self, width: int, height: int) -> NDArray[np.uint8]:
        raise NotImplementedError


class Scripted:
    """A source that gives frames and errors as told, one at a time."""

    def __init__(self, *script: Still | SourceError) -> None:
        self.script = list(script)
        self.opened = self.closed = self.corrupt_packets = 0
        self.work, self.resting, self.settled = DecoderWork(), False, False
        self.gate = threading.Semaphore(0)

    def open(self) -> SourceInfo:
        self.opened += 1
        return SourceInfo(160, 90, 15, "h264")

    def read(self, timeout_s: float) -> Still:
        self.gate.acquire(timeout=timeout_s)
        step = self.script.pop(0) if self.script else SourceLost("nothing left")
        if isinstance(step, SourceError):
            raise step
        return step

    def close(self) -> None:
        self.closed += 1

    def release(self, count: int = 1) -> None:
        self.gate.release(count)


@pytest.fixture
def running() -> Iterator[Callable[[Scripted], Reader]]:
    readers: list[tuple[Reader, Scripted]] = []

    def start(source: Scripted) -> Reader:
        reader = Reader(lambda: source, CONFIG, name="door")
        readers.append((reader, source))
        reader.start()
        return reader

    yield start
    for reader, source in readers:
        reader.close(timeout_s=0)
        source.release(100)
        reader.close(timeout_s=5)


def until(done: Callable[[], bool]) -> None:
    tick, end_s = threading.Event(), time.monotonic() + 5
    while not done():
        assert time.monotonic() < end_s
        tick.wait(0.005)


Start = Callable[[Scripted], Reader]


def test_the_newest_frame_replaces_the_unread_one(running: Start) -> None:
    source = Scripted(Still(), Still(), Still())
    reader = running(source)
    source.release(3)
    until(lambda: reader.decoded == 3)
    taken = reader.take()
    assert taken is not None
    assert taken.seq == 3
    assert reader.take() is None


def test_motion_is_the_share_that_changed_since_the_frame_last_taken(running: Start) -> None:
    source = Scripted(Still(100), Still(105), Still(160, at_s=1.0))
    reader = running(source)
    source.release()
    until(lambda: reader.decoded == 1)
    first = reader.take()
    assert first is not None
    assert first.motion == 1.0
    source.release()
    until(lambda: reader.decoded == 2)
    assert reader.newest is not None
    assert reader.newest.motion == 0.0
    source.release()
    until(lambda: reader.decoded == 3)
    assert reader.newest is not None
    assert reader.newest.motion == 1.0


def test_a_change_of_resolution_counts_as_motion(running: Start) -> None:
    source = Scripted(Still(), Still(size=(320, 200)))
    reader = running(source)
    source.release()
    until(lambda: reader.decoded == 1)
    reader.take()
    source.release()
    until(lambda: reader.decoded == 2)
    assert reader.newest is not None
    assert reader.newest.motion == 1.0


def test_a_picture_of_another_size_is_a_cut(running: Start) -> None:
    """As when a main stream goes, and the sub-stream's pictures are taken: what was where is nowhere now."""
    source = Scripted(Still(), Still(at_s=1.0), Still(at_s=2.0))
    source.script[1].size = (640, 360)
    reader = running(source)
    cuts = []
    for count in (1, 2, 3):
        source.release()
        until(lambda count=count: reader.decoded == count)
        taken = reader.take()
        assert taken is not None
        cuts.append(taken.cut)
    assert cuts == [False, True, True]


def test_a_lost_camera_is_opened_again(running: Start) -> None:
    source = Scripted(Still(), SourceLost("cable"), Still())
    reader = running(source)
    source.release(3)
    until(lambda: reader.decoded == 2 and reader.state.online)
    assert source.opened >= 2
    assert source.closed >= 1
    assert reader.reconnects >= 1


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many failures in a row each pause counted."""
    counted: list[int] = []

    def pause_s(config: CaptureConfig, failures: int, denials: int) -> float:
        counted.append(failures)
        return 0.0

    monkeypatch.setattr("streamd.reading.retry_pause_s", pause_s)
    return counted


FLAPPING = (Still(), SourceLost("cable"), Still(), SourceLost("cable"), Still(), SourceLost("cable"))


def test_a_camera_that_gives_one_picture_at_a_time_is_tried_less_and_less_often(
    running: Start, failures: list[int]
) -> None:
    source = Scripted(*FLAPPING)
    running(source)
    source.release(6)
    until(lambda: len(failures) == 3)
    assert failures == [1, 2, 3]


def test_a_camera_that_was_there_for_long_is_tried_again_at_once(
    running: Start, failures: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamd.reading.STEADY_S", 0.0)
    source = Scripted(*FLAPPING)
    running(source)
    source.release(6)
    until(lambda: len(failures) == 3)
    assert failures == [0, 0, 0]


def test_a_camera_that_denies_the_password_is_tried_seldom(running: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses_s: list[float] = []

    def pause_s(*counted: object) -> float:
        pauses_s.append(retry_pause_s(CaptureConfig(), *counted[1:]))  # type: ignore[arg-type]
        return 0.0

    monkeypatch.setattr("streamd.reading.retry_pause_s", pause_s)
    monkeypatch.setattr("streamd.sources.pacing.random.random", lambda: 0.0)
    refused = [SourceDenied("wrong password")] * 6
    source = Scripted(*refused, SourceLost("cable"), SourceDenied("wrong password"))
    running(source)
    source.release(8)
    until(lambda: len(pauses_s) >= 8)
    assert pauses_s[:6] == [30, 60, 120, 240, 300, 300]
    assert pauses_s[6:8] == [30, 30]


def test_the_state_says_why_in_words(running: Start) -> None:
    source = Scripted(SourceRejected("wrong password"))
    reader = running(source)
    assert reader.state.reason == "connecting"
    source.release()
    until(lambda: reader.state.reason == "rejected")
    assert not reader.state.online
    assert reader.state.message == "wrong password"


def test_a_path_that_may_not_be_looked_at_is_told_and_tried_again() -> None:
    source, allowed = Scripted(Still()), threading.Event()

    def make() -> Scripted:
        if not allowed.is_set():
            raise PermissionError(errno.EACCES, "Permission denied", "/films/door.mp4")
        return source

    reader = Reader(make, CONFIG, name="door")
    reader.start()
    try:
        until(lambda: reader.state.reason == "rejected")
        assert reader.state.message == "/films/door.mp4: cannot be opened: permission denied"
        allowed.set()
        source.release()
        until(lambda: reader.state.online)
    finally:
        reader.close(timeout_s=0)
        source.release(100)
        reader.close(timeout_s=5)


def test_the_frame_of_a_lost_camera_is_not_kept(running: Start) -> None:
    source = Scripted(Still(), SourceLost("cable"))
    reader = running(source)
    source.release(2)
    until(lambda: reader.state.reason == "lost")
    assert reader.take() is None


def test_a_file_played_once_is_not_opened_again(running: Start) -> None:
    source = Scripted(Still(), SourceEnded("end of file"))
    reader = running(source)
    source.release(2)
    until(lambda: reader.state.reason == "ended")
    until(lambda: source.closed == 1)
    assert source.opened == 1


def test_a_decoder_that_does_not_return_counts_as_hung(running: Start) -> None:
    source = Scripted(Still())
    reader = running(source)
    source.release()
    until(lambda: reader.decoded == 1)
    now_s = time.monotonic()
    assert not reader.hung(now_s)
    assert reader.hung(now_s + 2 * CONFIG.read_timeout_s + 1.5)


def test_a_source_that_gets_packets_but_no_picture_yet_does_not_count_as_hung(running: Start) -> None:
    source = Scripted()
    reader = running(source)
    until(lambda: source.opened == 1)
    now_s = time.monotonic() + 2 * CONFIG.open_timeout_s + 1.5
    source.work.packet_at_s = now_s - 0.1
    assert not reader.hung(now_s)
    assert reader.hung(now_s + 2 * CONFIG.open_timeout_s + 1.5)


def test_a_film_that_has_ended_does_not_count_as_hung(running: Start) -> None:
    source = Scripted(Still(), SourceEnded("end of file"))
    reader = running(source)
    source.release(2)
    until(lambda: reader.state.reason == "ended")
    assert not reader.hung(time.monotonic() + 1e6)


def test_another_scene_is_a_cut_and_a_face_that_moves_is_none() -> None:
    chance = np.random.default_rng(1)
    street, hall = (chance.integers(0, 255, (45, 80)).astype(np.uint8) for _ in range(2))
    walker = street.copy()
    walker[10:40, 20:40] = 90
    flat = np.full((45, 80), 100, np.uint8)

    def cut(*samples: NDArray[np.uint8]) -> bool:
        cuts = CutDetector()
        for sample in samples:
            cuts.look(sample)
        return cuts.seen

    assert not cut(street, street, walker, street)
    assert not cut(street, street // 2)  # somebody switched the light off
    assert cut(street, hall)
    assert cut(street, flat)
    assert not cut(flat, flat + 1)
    assert cut(street, street[:20])
