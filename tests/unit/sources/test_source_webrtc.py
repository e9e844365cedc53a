"""Whoever sends, as a source: the slot and the words, without a connection (tests/e2e has those)."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from streamd.config import CameraConfig, CaptureConfig
from streamd.errors import SourceAwaited, SourceLost, SourceRejected
from streamd.sources.avframe import AvFrame
from streamd.sources.mainwork import MainWork
from streamd.sources.opening import camera_opener, capture_config, open_source
from streamd.sources.webrtc import Slot, WhipSource

CAMERA = CameraConfig(url="whip://", capture=CaptureConfig(open_timeout_s=0.05, read_timeout_s=0.05))


def frame(width: int = 64, height: int = 48) -> AvFrame:
    picture = av.VideoFrame(width, height, "yuv420p")
    return AvFrame(picture, captured_at_s=time.monotonic(), captured_wall_s=time.time())


@pytest.fixture
def source(tmp_path: Path) -> Iterator[WhipSource]:
    made = WhipSource(f"ipc://{tmp_path}/whip-phone.sock", config=CAMERA.capture)
    yield made
    made._receiver.stop()


def test_without_a_sender_the_words_say_so(source: WhipSource) -> None:
    with pytest.raises(SourceAwaited, match="no browser or phone is sending"):
        source.open()


def test_a_sender_without_a_picture_is_awaited(source: WhipSource) -> None:
    source._slot.begin("H264")
    with pytest.raises(SourceAwaited, match="sends no picture"):
        source.open()


def test_the_newest_picture_is_given_and_each_once(source: WhipSource) -> None:
    source._slot.begin("H264")
    for size in ((64, 48), (128, 96), (48, 64)):
        source._slot.put(frame(*size))
    assert source.open().in_words == "h264 48x64"
    assert source.read(1.0).size == (48, 64)
    with pytest.raises(SourceLost, match=r"silent: no picture for 0\.05 s"):
        source.read(0.05)


def test_a_sender_who_leaves_is_noticed_at_once(source: WhipSource) -> None:
    source._slot.begin("VP8")
    threading.Timer(0.05, source._slot.end).start()
    began_s = time.monotonic()
    with pytest.raises(SourceAwaited, match="no browser or phone is sending"):
        source.read(10.0)
    assert time.monotonic() - began_s < 5


def test_who_comes_while_it_is_waited_for_is_there_at_once() -> None:
    slot = Slot()

    def come() -> None:
        slot.begin("VP8")
        slot.put(frame())

    threading.Timer(0.05, come).start()
    began_s = time.monotonic()
    assert slot.wait(10.0, idle=True)
    assert time.monotonic() - began_s < 5


def test_it_is_opened_again_and_again_as_the_same(tmp_path: Path) -> None:
    opener = camera_opener(CAMERA, MainWork(), offers=f"ipc://{tmp_path}/x.sock")
    assert opener() is opener()
    assert capture_config(CAMERA).retry_max_s == CAMERA.capture.retry_min_s
    plain = CameraConfig(url="rtsp://h/x")
    assert capture_config(plain) is plain.capture


def test_it_cannot_be_opened_as_an_address() -> None:
    with pytest.raises(SourceRejected, match="sent to by a browser or phone"):
        open_source("whip://", CaptureConfig()).open()
