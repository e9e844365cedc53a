"""HTTP cameras: MJPEG and HLS from a real server."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pytest
from mediafiles import PATCHES, bar_centres, patches, write_video

from streamd.config import CaptureConfig
from streamd.errors import SourceError, SourceLost, SourceRejected
from streamd.interfaces import Source
from streamd.sources.opening import open_source

pytestmark = pytest.mark.e2e

FPS = 10
SIZE = (320, 240)
LIVE_WINDOW = 4


class Camera(BaseHTTPRequestHandler):
    """``/mjpeg`` for ever, ``/brief`` for ten pictures, ``/stuck`` for ten and silence, ``/private``, ``/text``, files,
    and ``/live.m3u8`` over ``part<n>.ts``, one more each second."""

    folder: ClassVar[Path]
    began_s: ClassVar[float]
    stopping: ClassVar[threading.Event]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/private" and self.headers.get("Authorization") != _basic("user:secret"):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif path in ("/mjpeg", "/private"):
            self._mjpeg(10_000)
        elif path in ("/brief", "/stuck"):
            self._mjpeg(10)
            if path == "/stuck":
                self.stopping.wait(20)
        elif path in ("/snapshot", "/snapshot.jpg"):
            self._answer("image/jpeg", cv2.imencode(".jpg", patches(*SIZE))[1].tobytes())
        elif path == "/text":
            self._answer("text/plain", b"this is not a video\n" * 200)
        elif path == "/live.m3u8":
            self._answer("application/vnd.apple.mpegurl", self._playlist().encode())
        elif path.startswith("/part"):
            self._answer("video/mp2t", (self.folder / "part.ts").read_bytes())
        elif (self.folder / path[1:]).is_file():
            self._answer("video/mp4", (self.folder / path[1:]).read_bytes())
        else:
            self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        """Silent: pytest shows what matters."""

    def _mjpeg(self, pictures: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        jpeg = cv2.imencode(".jpg", patches(*SIZE))[1].tobytes()
        part = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
        try:
            for _ in range(pictures):
                self.wfile.write(part + jpeg + b"\r\n")
                self.wfile.flush()
                if self.stopping.wait(1 / FPS):
                    return
        except OSError:  # the reader has left
            return

    def _playlist(self) -> str:
        newest = int(time.monotonic() - self.began_s) + LIVE_WINDOW
        parts = [f"#EXTINF:1.0,\npart{n}.ts\n#EXT-X-DISCONTINUITY\n" for n in range(newest - LIVE_WINDOW, newest)]
        head = f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{newest - LIVE_WINDOW}\n"
        return head + "".join(parts)

    def _answer(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``host:port`` of a running camera."""
    Camera.folder = tmp_path_factory.mktemp("http")
    Camera.began_s = time.monotonic()
    Camera.stopping = threading.Event()
    write_video(Camera.folder / "part.ts", [patches(*SIZE)] * FPS, fps=FPS)
    write_video(Camera.folder / "clip.mp4", [patches(*SIZE)] * FPS, fps=FPS)
    with ThreadingHTTPServer(("127.0.0.1", 0), Camera) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        Camera.stopping.set()
        server.shutdown()
        thread.join()


def opened(url: str, **options: object) -> Source:
    limits = {"read_timeout_s": 1.0, "open_timeout_s": 10.0}
    source = open_source(url, CaptureConfig.model_validate({**limits, **options}))
    source.open()
    return source


def read_until_lost(source: Source) -> tuple[SourceError, float]:
    """What ended the stream, and the seconds between the last picture and the end."""
    last_s = time.monotonic()
    try:
        for _ in range(100):
            last_s = source.read(1.0).captured_at_s
    except SourceError as error:
        return error, time.monotonic() - last_s
    raise AssertionError("the stream goes on")


def test_mjpeg_is_read_in_its_colours_and_without_brooding(camera: str) -> None:
    began_s = time.monotonic()
    source = open_source(f"http://{camera}/mjpeg", CaptureConfig(read_timeout_s=1.0))
    assert source.open().fps == 0, "it does not say"
    frame = source.read(1.0)
    assert time.monotonic() - began_s < 2.0
    np.testing.assert_allclose(bar_centres(frame.bgr(*SIZE)), PATCHES, atol=10)
    assert frame.yuv420().full_range
    source.close()


def test_mjpeg_comes_at_the_cameras_pace_and_not_behind_it(camera: str) -> None:
    source = opened(f"http://{camera}/mjpeg")
    for _ in range(FPS):  # what was probed comes at once
        source.read(1.0)

    def second_s() -> float:
        began_s = time.monotonic()
        for _ in range(FPS):
            source.read(1.0)
        return time.monotonic() - began_s

    # A machine that halts makes one long, and what came meanwhile the next one short.
    assert 0.5 < np.median([second_s() for _ in range(5)]) < 2.0
    source.close()


def test_a_live_stream_that_ends_is_lost(camera: str) -> None:
    source = opened(f"http://{camera}/brief", loop=False)
    error, _ = read_until_lost(source)
    source.close()
    assert isinstance(error, SourceLost)
    assert "broke off" in str(error)


def test_a_live_stream_that_falls_silent_is_lost_within_twice_the_time_out(camera: str) -> None:
    source = opened(f"http://{camera}/stuck")
    error, silent_s = read_until_lost(source)
    source.close()
    assert isinstance(error, SourceLost)
    assert "no answer for 1 s" in str(error)
    assert 0.9 < silent_s < 2.5


def test_a_protected_stream_opens_with_the_right_password_only(camera: str) -> None:
    opened(f"http://user:secret@{camera}/private").close()
    with pytest.raises(SourceRejected, match="401") as caught:
        opened(f"http://user:hunter2@{camera}/private")
    assert "hunter2" not in str(caught.value)


def test_a_missing_page_is_rejected(camera: str) -> None:
    with pytest.raises(SourceRejected, match="404"):
        opened(f"http://{camera}/nothing")


def test_a_page_that_is_no_video_fails_with_a_reason(camera: str) -> None:
    with pytest.raises((SourceLost, SourceRejected), match="invalid data"):
        opened(f"http://{camera}/text?token=hunter2")


@pytest.mark.parametrize("name", ["snapshot", "snapshot.jpg"])
def test_a_single_picture_is_no_stream(camera: str, name: str) -> None:
    source = opened(f"http://{camera}/{name}?channel=1")
    error, _ = read_until_lost(source)
    source.close()
    assert isinstance(error, SourceRejected)
    assert "give the address of a stream" in str(error)


def test_a_recording_behind_http_is_paced_and_looped_like_a_file(camera: str) -> None:
    source = opened(f"http://{camera}/clip.mp4")
    due = np.array([source.read(1.0).captured_at_s for _ in range(FPS + 5)])
    source.close()
    steps_s = np.diff(due)
    np.testing.assert_allclose(np.delete(steps_s, FPS - 1), 1 / FPS, atol=0.01)
    assert 1 / FPS - 0.01 <= steps_s[FPS - 1] < 5.0, "it is opened again there"


def test_live_hls_comes_evenly_instead_of_a_segment_at_once(camera: str) -> None:
    source = opened(f"http://{camera}/live.m3u8", open_timeout_s=8.0, read_timeout_s=3.0)
    frames = [source.read(3.0) for _ in range(2 * FPS + FPS // 2)]
    source.close()
    gaps_s = np.diff([frame.captured_at_s for frame in frames])
    assert frames[0].size == SIZE
    assert np.median(gaps_s) == pytest.approx(1 / FPS, abs=0.02)
    assert gaps_s.max() < 1.5


def _basic(user: str) -> str:
    return "Basic " + base64.b64encode(user.encode()).decode()
