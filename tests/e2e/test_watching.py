"""Cameras as people watch them: WebRTC, MJPEG and still pictures of a real daemon."""

from __future__ import annotations

import asyncio
import json
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import cv2
import numpy as np
import pytest
from e2e.conftest import OBAMA, SIZE
from e2e.daemon import Daemon, eventually
from mediafiles import write_video
from numpy.typing import NDArray
from rtsp_fixtures import RtspServer, placed
from watcher import Watcher, hang_up, post_sdp, post_sdp_until_there_is_time

from streamd.drawing import COLOURS
from streamd.gateway.api.events import PULSE_S
from streamd.gateway.eventfeed import MOST_STREAMS

Picture = NDArray[np.uint8]
STEP_PX = 4
"""How far the moving face gets from one frame to the next."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RtspServer]:
    with RtspServer(tmp_path_factory.mktemp("rtsp"), size=SIZE) as made:
        yield made


@pytest.fixture(scope="module")
def daemon(
    server: RtspServer, tmp_path_factory: pytest.TempPathFactory, faces_dir: Path, models_dir: Path, obama: Picture
) -> Iterator[Daemon]:
    """The camera ``door`` shows somebody who is known, ``walk`` the same on the move, and ``away`` is not there."""
    folder = tmp_path_factory.mktemp("watching")
    gallery = folder / "gallery" / OBAMA
    gallery.mkdir(parents=True)
    (gallery / "obama.jpg").write_bytes((faces_dir / "obama.jpg").read_bytes())
    server.show("cam1", obama)
    picture = cv2.imread(str(faces_dir / "obama2.jpg"))
    assert picture is not None
    way = [*range(0, 160, STEP_PX), *range(160, 0, -STEP_PX)]
    walk = [placed(np.asarray(picture[100:900], np.uint8), SIZE, height=300, at=(0.3 + x / 640, 0.5)) for x in way]
    cameras = {
        "door": {"url": server.url("cam1")},
        "walk": {"url": str(write_video(folder / "walk.mp4", walk, fps=20))},
        "away": {"url": str(folder / "nothing.mp4")},
    }
    made = Daemon(folder / "d", models=models_dir, cameras=cameras, gallery=gallery.parent)
    made.body["gateway"]["max_viewers"] = 4
    made.write_config()
    with made:
        made.await_event("face.identified", camera="door")
        yield made


def faces(daemon: Daemon, camera: str = "door") -> list[dict[str, object]]:
    code, text = daemon.get(f"/api/v1/cameras/{camera}/faces")
    if code != 200:
        raise LookupError(text)
    found: list[dict[str, object]] = json.loads(text)["faces"]
    return found


def known_face(daemon: Daemon) -> dict[str, object]:
    """The one that the camera ``door`` shows, once it has its name (again)."""
    (face,) = eventually(lambda: [face for face in faces(daemon) if face["name"] == OBAMA], what="a known face")
    return face


def has_box(picture: Picture | None, box: object) -> bool:
    """Whether the box is drawn in the colour of somebody known, within two pixels."""
    if picture is None:
        return False
    assert isinstance(box, list)
    x1, y1, x2, y2 = map(round, box)
    green = np.abs(picture.astype(int) - COLOURS["known"]).max(axis=2) < 60
    middle_x, middle_y = (x1 + x2) // 2, (y1 + y2) // 2
    sides = (
        green[middle_y, x1 - 4 : x1 + 2],
        green[middle_y, x2 - 2 : x2 + 4],
        green[y1 - 4 : y1 + 2, middle_x],
        green[y2 - 2 : y2 + 4, middle_x],
    )
    return all(side.any() for side in sides)


def fetched(daemon: Daemon, path: str) -> bytes:
    def look() -> bytes:
        try:
            with urllib.request.urlopen(daemon.http + path, timeout=10) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                raise LookupError(error.code, error.read()) from error

    return eventually(look, what=path)


def decoded(jpeg: bytes) -> Picture:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(picture, np.uint8)


def viewers(daemon: Daemon) -> float:
    return daemon.metrics().total("streamd_viewers")


@pytest.mark.parametrize("codec", ["H264", "VP8"])
def test_a_viewer_sees_the_box_at_the_face(daemon: Daemon, codec: str) -> None:
    async def watch() -> None:
        async with Watcher(daemon.http, "door", codecs=(codec,)) as watcher:
            face = await asyncio.to_thread(known_face, daemon)
            await watcher.until(lambda: has_box(watcher.newest, face["box"]), what="a box at the face")
            assert watcher.sizes == [SIZE]

    asyncio.run(watch())
    eventually(lambda: viewers(daemon) == 0, what="who has left is not counted")


def test_three_viewers_cost_one_encoding_and_none_costs_nothing(daemon: Daemon) -> None:
    def counted() -> tuple[float, float]:
        metrics = daemon.metrics()
        given = metrics.total("streamd_view_frames_total", camera="door")
        return given, metrics.total("streamd_view_encoded_total", camera="door", codec="h264")

    def idle() -> bool:
        before = counted()
        frames = daemon.metrics().total("streamd_decoded_frames_total", camera="door")
        eventually(lambda: daemon.metrics().total("streamd_decoded_frames_total", camera="door") > frames + 3)
        return counted() == before

    eventually(idle, what="no frame travels while nobody watches")
    given, encoded = counted()

    async def watch() -> int:
        async with AsyncExitStack() as stack:
            watchers = [await stack.enter_async_context(Watcher(daemon.http, "door")) for _ in range(3)]
            for watcher in watchers:
                await watcher.until(lambda w=watcher: w.frames >= 20)  # type: ignore[misc]
            await asyncio.to_thread(eventually, lambda: viewers(daemon) == 3)
            return sum(watcher.frames for watcher in watchers)

    seen = asyncio.run(watch())
    eventually(lambda: viewers(daemon) == 0)
    eventually(idle, what="no frame travels when all have left")
    assert seen >= 60
    assert 20 <= counted()[1] - encoded <= counted()[0] - given


def test_boxes_keep_step_with_a_face_that_moves(daemon: Daemon) -> None:
    """Where the box is and where the photograph is in the same picture: without the delay it would be a look behind,
    tens of pixels."""
    daemon.await_event("face.identified", camera="walk")
    offsets: list[int] = []

    def measure(picture: Picture) -> None:
        background = np.abs(picture[200].astype(int) - (96, 104, 100)).max(axis=1) < 12
        photograph = np.flatnonzero(~background)
        green = np.abs(picture.astype(int) - COLOURS["known"]).max(axis=2) < 60
        columns = np.flatnonzero(green[120:240].sum(axis=0) > 60)
        if len(columns) and len(photograph) > 50:
            offsets.append(int(columns[0] - photograph[0]))

    def steady() -> bool:
        """Over a whole walk there and back, once the delay is found; where the machine halts one walk may be spoilt."""
        latest = np.array(offsets[-2 * 160 // STEP_PX :])
        return len(offsets) >= 120 and bool(np.mean(np.abs(latest - np.median(latest))) <= STEP_PX)

    async def watch() -> None:
        async with Watcher(daemon.http, "walk") as watcher:
            watcher.on_frame = measure
            await watcher.until(steady, timeout_s=60, what="boxes that keep step")

    asyncio.run(watch())


def test_a_still_picture_has_the_box_and_the_width_that_was_asked_for(daemon: Daemon) -> None:
    face = known_face(daemon)
    eventually(lambda: has_box(decoded(fetched(daemon, "/api/v1/cameras/door/picture.jpg")), face["box"]))
    plain = decoded(fetched(daemon, "/api/v1/cameras/door/picture.jpg?annotated=false&width=320"))
    assert plain.shape == (180, 320, 3)
    assert not has_box(plain, [side / 2 for side in face["box"]])  # type: ignore[attr-defined]


def test_mjpeg_goes_on_and_a_client_who_vanishes_is_forgotten(daemon: Daemon) -> None:
    stream = urllib.request.urlopen(daemon.http + "/api/v1/cameras/door/stream.mjpeg?width=320", timeout=10)
    with stream:
        assert stream.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=frame"
        body = b""
        while body.count(b"--frame") < 4:
            body += stream.read(4096)
        assert decoded(body.split(b"\r\n\r\n", 1)[1]).shape == (180, 320, 3)
        eventually(lambda: viewers(daemon) == 1)
    eventually(lambda: viewers(daemon) == 0)
    assert "Error handling request" not in daemon.logged()


def test_pages_that_were_closed_make_room_for_others(daemon: Daemon) -> None:
    def follow() -> int:
        try:
            with urllib.request.urlopen(daemon.http + "/api/v1/events/stream", timeout=10) as answer:
                answer.readline()
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    assert [follow() for _ in range(MOST_STREAMS)] == [200] * MOST_STREAMS
    eventually(lambda: follow() == 200, timeout_s=PULSE_S / 2)


def test_more_viewers_than_allowed_are_sent_away(daemon: Daemon) -> None:
    async def watch() -> None:
        async with AsyncExitStack() as stack:
            watchers = [await stack.enter_async_context(Watcher(daemon.http, "door")) for _ in range(4)]
            offer = watchers[0].peer.localDescription.sdp
            status, body, _ = await asyncio.to_thread(post_sdp, daemon.http, "/whep/door", offer)
            assert status == 503
            assert "gateway.max_viewers" in body
            assert await asyncio.to_thread(hang_up, daemon.http, watchers[0].location) == 200
            await asyncio.to_thread(eventually, lambda: viewers(daemon) == 3)

    asyncio.run(watch())
    eventually(lambda: viewers(daemon) == 0)


OFFER = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 98\r\nc=IN IP4 0.0.0.0\r\n"
VP9 = OFFER + (
    "a=rtpmap:98 VP9/90000\r\na=recvonly\r\na=mid:0\r\na=rtcp-mux\r\na=ice-ufrag:abcd\r\n"
    "a=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=setup:actpass\r\na=fingerprint:sha-256 " + ":".join(["AB"] * 32) + "\r\n"
)


@pytest.mark.parametrize(
    ("camera", "sdp", "status", "words"),
    [
        ("door", "hello", 400, "no SDP offer"),
        ("door", b"\xff\xfe\x00", 400, "no UTF-8 text"),
        ("door", OFFER, 400, "direction"),
        ("door", VP9, 406, "H.264 and VP8"),
        ("away", VP9, 503, "no such file"),
        ("nobody", VP9, 404, "no camera"),
    ],
)
def test_what_cannot_be_watched_is_refused_in_words_and_logged(
    daemon: Daemon, camera: str, sdp: str | bytes, status: int, words: str
) -> None:
    before = len(daemon.logged())
    code, body, _ = (post_sdp if status == 503 else post_sdp_until_there_is_time)(daemon.http, f"/whep/{camera}", sdp)
    assert code == status, body
    assert words in json.loads(body)["error"]
    assert words in daemon.logged()[before:]
    eventually(lambda: viewers(daemon) == 0)


def test_watching_goes_on_when_the_cameras_process_was_killed(daemon: Daemon) -> None:
    async def watch() -> None:
        async with Watcher(daemon.http, "door") as watcher:
            await watcher.until(lambda: watcher.frames > 3)
            before = daemon.kill("capture@door", signal.SIGKILL)
            await asyncio.to_thread(eventually, lambda: daemon.running("capture@door", instead_of=before))
            seen = watcher.frames
            await watcher.until(lambda: watcher.frames > seen + 10, what="pictures of the new process")

    asyncio.run(watch())


def test_after_a_kill_of_the_gateway_people_can_watch_again(daemon: Daemon) -> None:
    pid = daemon.kill("gateway", signal.SIGKILL)
    eventually(lambda: daemon.running("gateway", instead_of=pid) and daemon.get("/healthz")[0] == 200)

    async def watch() -> None:
        async with Watcher(daemon.http, "door") as watcher:
            face = await asyncio.to_thread(known_face, daemon)
            await watcher.until(lambda: has_box(watcher.newest, face["box"]), what="a box at the face")

    asyncio.run(watch())
