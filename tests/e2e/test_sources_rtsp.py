"""RTSP cameras as they are: reachable, protected, silent, gone and back. Against a real server."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mediafiles import PATCHES, bar_centres, patches
from numpy.typing import NDArray
from rtsp_fixtures import RtspServer

from streamd.config import CaptureConfig
from streamd.errors import SourceError, SourceLost, SourceRejected
from streamd.interfaces import DecodedFrame, Source
from streamd.sources.opening import open_source

pytestmark = pytest.mark.e2e

SIZE = (640, 360)
READ_TIMEOUT_S = 1.0
OPEN_TIMEOUT_S = 4.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RtspServer]:
    with RtspServer(tmp_path_factory.mktemp("rtsp"), size=SIZE) as running:
        yield running


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RtspServer]:
    """A server that the test may hurt."""
    with RtspServer(tmp_path, size=SIZE) as running:
        yield running


def source_of(url: str, **options: object) -> Source:
    limits = {"read_timeout_s": READ_TIMEOUT_S, "open_timeout_s": OPEN_TIMEOUT_S}
    return open_source(url, CaptureConfig.model_validate({**limits, **options}))


def first_frames(source: Source, count: int) -> list[DecodedFrame]:
    source.open()
    return [source.read(READ_TIMEOUT_S) for _ in range(count)]


def read_until_lost(source: Source) -> tuple[SourceError, float]:
    """What ended the stream, and the seconds it took from now."""
    began_s = time.monotonic()
    try:
        while time.monotonic() - began_s < 30:
            source.read(READ_TIMEOUT_S)
    except SourceError as error:
        return error, time.monotonic() - began_s
    raise AssertionError("the stream goes on")


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize(("mount", "codec"), [("cam1", "h264"), ("h265", "hevc"), ("mjpeg", "mjpeg")])
def test_a_stream_is_read_in_its_colours(server: RtspServer, mount: str, codec: str, transport: str) -> None:
    server.show(mount, patches(*SIZE))
    source = source_of(server.url(mount), transport=transport)
    try:
        info = source.open()
        frames = [source.read(READ_TIMEOUT_S) for _ in range(4)]
    finally:
        source.close()
    assert (info.width, info.height, info.fps, info.codec) == (*SIZE, 15.0, codec)
    assert frames[-1].size == SIZE
    # The server's JPEG encoder writes limited-range numbers, which a JPEG means as full range: paler.
    tolerance = 15 if codec == "mjpeg" else 8
    np.testing.assert_allclose(bar_centres(frames[-1].bgr(*SIZE)), PATCHES, atol=tolerance)


def test_the_first_picture_comes_within_half_a_second(server: RtspServer) -> None:
    def first_picture_s() -> float:
        began_s = time.monotonic()
        source = source_of(server.url("cam2"))
        (frame,) = first_frames(source, 1)
        source.close()
        return frame.captured_at_s - began_s

    assert min(first_picture_s() for _ in range(5)) < 0.5  # the machine's load, and the encoder's start, only add to it


def test_a_new_picture_arrives_soon_after_it_was_shown(server: RtspServer) -> None:
    dark, light = (np.full((SIZE[1], SIZE[0], 3), value, np.uint8) for value in (40, 200))
    source = source_of(server.url("cam3"))
    source.open()

    def after_s(picture: NDArray[np.uint8]) -> float:
        shown_s = server.show("cam3", picture)
        mean = picture.mean()
        frame = next(f for _ in range(60) if abs((f := source.read(READ_TIMEOUT_S)).luma(8).mean() - mean) < 30)
        return frame.captured_at_s - shown_s

    after_s(dark)
    delays_s = [after_s(picture) for _ in range(3) for picture in (light, dark)]
    source.close()
    assert 0 <= min(delays_s) < 0.3  # the machine's load only adds to it


@pytest.mark.parametrize("auth", ["BASIC", "DIGEST"])
def test_a_protected_stream_opens_with_the_right_password_only(tmp_path: Path, auth: str) -> None:
    with RtspServer(tmp_path, size=SIZE, auth=auth) as server:
        source = source_of(server.url("private", user="user:secret"))
        assert len(first_frames(source, 3)) == 3
        source.close()
        for user in ("", "user:hunter2"):
            with pytest.raises(SourceRejected, match="user name and password") as caught:
                source_of(server.url("private", user=user)).open()
            assert "hunter2" not in str(caught.value)


def test_a_path_that_the_server_does_not_have_is_rejected(server: RtspServer) -> None:
    with pytest.raises(SourceRejected, match="no such stream"):
        source_of(server.url("attic")).open()


def test_a_stream_without_video_is_rejected(server: RtspServer) -> None:
    with pytest.raises(SourceRejected, match="no video stream"):
        source_of(server.url("audio")).open()


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("mount", ["cam1", "h265", "mjpeg"])
def test_a_silent_stream_is_lost_within_twice_the_time_out(own_server: RtspServer, mount: str, transport: str) -> None:
    source = source_of(own_server.url(mount), transport=transport)
    first_frames(source, 3)
    own_server.tell("freeze")
    error, seconds = read_until_lost(source)
    source.close()
    assert isinstance(error, SourceLost)
    assert READ_TIMEOUT_S * 0.9 <= seconds <= READ_TIMEOUT_S * 2 + 0.5


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_killed_server_is_a_loss_and_its_return_is_read_again(own_server: RtspServer, transport: str) -> None:
    source = source_of(own_server.url("cam1"), transport=transport)
    first_frames(source, 3)
    own_server.kill()
    error, seconds = read_until_lost(source)
    assert isinstance(error, SourceLost)
    assert seconds < READ_TIMEOUT_S * 2 + 0.5
    with pytest.raises(SourceLost, match="connection refused"):
        source.open()
    own_server.start()
    assert len(first_frames(source, 3)) == 3
    source.close()


def test_a_dropped_connection_is_a_loss(own_server: RtspServer) -> None:
    source = source_of(own_server.url("cam1"))
    first_frames(source, 3)
    own_server.tell("drop")
    error, _ = read_until_lost(source)
    source.close()
    assert isinstance(error, SourceLost)
    assert "the stream ended" in str(error)


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_host_that_accepts_and_says_nothing_is_lost_within_the_time_out(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"{scheme}://admin:hunter2@127.0.0.1:{mute.getsockname()[1]}/1"
        began_s = time.monotonic()
        with pytest.raises(SourceLost, match="no answer for 1 s") as caught:
            source_of(url, open_timeout_s=1.0).open()
    assert time.monotonic() - began_s < 2.5
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("mount", ["private", "attic", "cam1"])
def test_credentials_are_in_no_message_and_no_output(
    own_server: RtspServer, mount: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    source = source_of(own_server.url(mount, user="admin:hunter2"))
    error: BaseException | None = None
    try:
        first_frames(source, 3)
        own_server.kill()
        error, _ = read_until_lost(source)
    except SourceError as rejected:
        error = rejected
    source.close()
    told = [str(error), repr(error), caplog.text, *capfd.readouterr()]
    while error is not None:  # a traceback would print the whole chain, unless it is suppressed
        told.append(str(error))
        error = None if error.__suppress_context__ and error.__cause__ is None else error.__cause__ or error.__context__
    assert "hunter2" not in "\n".join(told)
