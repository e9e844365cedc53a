"""A camera with two streams: watched in the small one, cut out of the large one. Against a real server."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from rtsp_fixtures import RtspServer, number_of

from streamd.config import CameraConfig, CaptureConfig
from streamd.errors import SourceLost, SourceRejected
from streamd.interfaces import DecodedFrame, Source
from streamd.sources.mainstream import AWAKE_S
from streamd.sources.mainwork import MainWork
from streamd.sources.opening import open_camera

pytestmark = pytest.mark.e2e

MAIN, SUB = (1280, 720), (320, 180)
CAPTURE = CaptureConfig(read_timeout_s=3.0, open_timeout_s=6.0, retry_min_s=0.1, retry_max_s=0.2)


class Camera:
    """A source of two streams, and what it counted."""

    def __init__(self, url: str, substream: str) -> None:
        self.work = MainWork()
        self.source: Source = open_camera(CameraConfig(url=url, substream=substream, capture=CAPTURE), self.work)

    def __enter__(self) -> Camera:
        self.source.open()
        return self

    def __exit__(self, *exc: object) -> None:
        self.source.close()

    def read(self) -> DecodedFrame:
        return self.source.read(CAPTURE.read_timeout_s)

    def read_until(self, done: Callable[[DecodedFrame], bool], *, within_s: float) -> DecodedFrame:
        end_s = time.monotonic() + within_s
        while not done(frame := self.read()):
            assert time.monotonic() < end_s, f"not within {within_s} s: {self.work}"
        return frame


def error_of(frame: DecodedFrame) -> int | None:
    """How many frames the picture is behind the image; None without a picture of the main stream."""
    frame.bgr(*SUB)
    picture = frame.yuv420()
    if picture is None or frame.size != MAIN:
        return None
    assert picture.size == MAIN
    return number_of(frame.luma(1)) - number_of(picture.planes[: MAIN[1]])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RtspServer]:
    with RtspServer(tmp_path_factory.mktemp("rtsp"), size=MAIN, sub=SUB) as running:
        yield running


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RtspServer]:
    """A server that the test may hurt."""
    with RtspServer(tmp_path, size=MAIN, sub=SUB) as running:
        yield running


def test_the_picture_is_of_the_moment_of_the_image(server: RtspServer) -> None:
    with Camera(server.url("main"), server.url("sub")) as camera:
        errors: deque[int | None] = deque(maxlen=30)

        def right(frame: DecodedFrame) -> bool:
            """Not at once: until the cameras' clocks are told, pictures are matched by when packets came."""
            errors.append(error_of(frame))
            known = [error for error in errors if error is not None]
            return len(known) == 30 and max(map(abs, known)) <= 1 and known.count(0) >= 27

        camera.read_until(right, within_s=20)


def test_a_main_stream_that_comes_later_is_matched_once_the_camera_has_told_its_clock(tmp_path: Path) -> None:
    with (
        RtspServer(tmp_path, size=MAIN, sub=SUB, main_late=3) as server,
        Camera(server.url("main"), server.url("sub")) as camera,
    ):
        errors: deque[int | None] = deque(maxlen=20)
        # Before, pictures are matched by when packets came: off by what the main stream is late, by chance right.
        camera.read_until(lambda frame: errors.append(error_of(frame)) or list(errors) == [0] * 20, within_s=20)


def test_the_main_stream_is_decoded_only_while_pictures_are_asked_for(server: RtspServer) -> None:
    with Camera(server.url("main"), server.url("sub")) as camera:
        counts: deque[tuple[float, int]] = deque(maxlen=30)

        def rests(frame: DecodedFrame) -> bool:
            """Nothing was decoded for thirty frames, and longer than it stays awake."""
            counts.append((time.monotonic(), camera.work.decoded))
            return camera.work.passed > 0 and counts[-1][0] - counts[0][0] > AWAKE_S and counts[-1][1] == counts[0][1]

        camera.read_until(rests, within_s=20)
        decoded = camera.work.decoded
        camera.read_until(lambda frame: error_of(frame) in (-1, 0, 1), within_s=5)
        assert camera.work.decoded > decoded


def test_the_picture_of_a_moment_ago_is_given_too(server: RtspServer) -> None:
    with Camera(server.url("main"), server.url("sub")) as camera:
        camera.read_until(lambda frame: camera.work.passed > 0, within_s=6)
        errors: list[int] = []

        def looked_at_and_asked_for_later(frame: DecodedFrame) -> bool:
            frame.bgr(*SUB)
            for _ in range(5):
                camera.read()
            if (error := error_of(frame)) is not None:  # decoding it may take too long on a busy machine
                errors.append(error)
            return bool(errors)

        camera.read_until(looked_at_and_asked_for_later, within_s=10)
        assert errors[0] in (-1, 0, 1)


def test_without_its_main_stream_a_camera_gives_the_pictures_of_its_sub_stream(own_server: RtspServer) -> None:
    with Camera(own_server.url("main"), own_server.url("sub")) as camera:
        camera.read_until(lambda frame: error_of(frame) is not None, within_s=5)
        own_server.tell("freeze main")
        frame = camera.read_until(lambda frame: frame.size == SUB, within_s=8)
        picture = frame.yuv420()
        assert picture is not None
        assert picture.size == SUB
        own_server.tell("resume")
        camera.read_until(lambda frame: frame.size == MAIN and error_of(frame) is not None, within_s=8)


def test_nobody_waits_for_the_pictures_of_a_main_stream_that_stands_still(own_server: RtspServer) -> None:
    with Camera(own_server.url("main"), own_server.url("sub")) as camera:
        camera.read_until(lambda frame: error_of(frame) is not None, within_s=5)
        own_server.tell("freeze main")
        camera.read_until(lambda frame: error_of(frame) is None and camera.work.down > 0, within_s=3)

        def asked_s() -> float:
            frame = camera.read()
            began_s = time.monotonic()
            assert frame.yuv420() is None
            return time.monotonic() - began_s

        assert min(asked_s() for _ in range(5)) < 0.2


def test_without_its_sub_stream_a_camera_is_lost(own_server: RtspServer) -> None:
    with Camera(own_server.url("main"), own_server.url("sub")) as camera:
        camera.read()
        own_server.tell("freeze sub")
        with pytest.raises(SourceLost, match="sub"):
            camera.read_until(lambda frame: False, within_s=5)


def test_streams_of_different_shapes_are_refused(tmp_path: Path) -> None:
    with (
        RtspServer(tmp_path, size=MAIN, sub=(320, 240)) as server,
        pytest.raises(SourceRejected, match="320x240, of another shape than the main stream's 1280x720"),
        Camera(server.url("main"), server.url("sub")) as camera,
    ):
        camera.read_until(lambda frame: False, within_s=5)


def test_a_main_stream_that_refuses_is_told_of_without_its_password(
    server: RtspServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with (
        caplog.at_level(logging.DEBUG),
        Camera(server.url("private", user="user:hunter2"), server.url("sub", user="admin:hunter2")) as camera,
    ):
        frame = camera.read()
        assert frame.size == SUB
        assert np.asarray(frame.bgr(*SUB)).shape == (*SUB[::-1], 3)
    assert "main stream: rtsp://***@" in caplog.text
    assert "wrong or missing user name and password" in caplog.text
    assert "hunter2" not in "\n".join([caplog.text, *capfd.readouterr()])
