"""A phone as a camera: it sends by WebRTC, and is recognised, survived and replaced as other cameras are."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import unavailable
from e2e.conftest import OBAMA
from e2e.daemon import Daemon, eventually
from numpy.typing import NDArray
from rtsp_fixtures import NEEDS, PYTHON, SERVER, placed
from sender import Phone
from watcher import Watcher, csrf, post_sdp

from streamd.access import new_token
from streamd.events import Event

Picture = NDArray[np.uint8]
WHIP_SENDER = SERVER.with_name("whipsender.py")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, faces_dir: Path, models_dir: Path) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("sending")
    gallery = folder / "gallery" / OBAMA
    gallery.mkdir(parents=True)
    (gallery / "obama.jpg").write_bytes((faces_dir / "obama.jpg").read_bytes())
    cameras = {
        "phone": {"url": "whip://", "capture": {"read_timeout_s": 1.5, "open_timeout_s": 2}},
        "door": {"url": "x.mp4"},
    }
    with Daemon(folder / "d", models=models_dir, cameras=cameras, gallery=gallery.parent) as made:
        yield made


@pytest.fixture(scope="module")
def face(faces_dir: Path) -> Picture:
    picture = cv2.imread(str(faces_dir / "obama2.jpg"))
    assert picture is not None
    return np.asarray(picture[100:900], np.uint8)


@pytest.fixture(scope="module")
def wide(face: Picture) -> Picture:
    return placed(face, (640, 480), height=460)


def seq(daemon: Daemon) -> int:
    return len(daemon.journal())


async def told(daemon: Daemon, kind: str, after: int) -> Event:
    return await asyncio.to_thread(daemon.await_event, kind, camera="phone", after=after)


async def offline(daemon: Daemon, after: int, words: str) -> None:
    """It has gone after it had come, and this is why. Where the machine halts there are silences before."""
    online = await told(daemon, "camera.online", after)

    def gone() -> bool:
        last = [e for e in daemon.journal() if e.camera == "phone" and e.type.value.startswith("camera.")][-1]
        return last.seq > online.seq and words in (last.message or "")

    await asyncio.to_thread(eventually, gone, what=words)


def named(event: Event) -> object:
    return (event.identity or {}).get("name")


@pytest.mark.parametrize("codec", ["H264", "VP8"])
def test_who_is_before_the_phone_is_recognised(daemon: Daemon, wide: Picture, codec: str) -> None:
    async def send() -> None:
        before = seq(daemon)
        async with Phone(daemon.http, "phone", wide, codec=codec) as phone:
            assert phone.answer[0] == 201
            assert phone.location.startswith("/whip/phone/")
            assert named(await told(daemon, "face.identified", before)) == OBAMA
            assert await phone.hang_up() == 200
            await offline(daemon, before, "no browser or phone is sending")

    asyncio.run(send())


def test_a_phone_that_is_turned_shows_upright_and_is_recognised_again(
    daemon: Daemon, wide: Picture, face: Picture
) -> None:
    async def send() -> None:
        before = seq(daemon)
        async with Phone(daemon.http, "phone", wide) as phone:
            await told(daemon, "face.identified", before)
            async with Watcher(daemon.http, "phone") as watcher:
                await watcher.until(lambda: watcher.sizes == [(640, 480)])
                turned = seq(daemon)
                phone.show.picture = placed(face, (480, 640), height=560)
                await watcher.until(lambda: watcher.sizes[-1] == (480, 640), what="the other way up")
                assert named(await told(daemon, "face.identified", turned)) == OBAMA
            await phone.hang_up()

    asyncio.run(send())


async def taken(daemon: Daemon, picture: Picture) -> Phone:
    """A sender, as soon as there is room for one."""
    while True:
        phone = Phone(daemon.http, "phone", picture)
        await phone.__aenter__()
        if phone.answer[0] == 201:
            return phone
        await phone.__aexit__(None, None, None)
        await asyncio.sleep(0.1)


def test_a_second_sender_is_refused_unless_the_first_is_silent(daemon: Daemon, wide: Picture) -> None:
    async def send() -> None:
        before = seq(daemon)
        async with Phone(daemon.http, "phone", wide) as first:
            await told(daemon, "camera.online", before)
            async with Phone(daemon.http, "phone", wide) as second:
                assert second.answer[0] == 409
                assert "somebody else is sending" in second.answer[1]
            first.show.moving.clear()
            await offline(daemon, before, "the sender is silent: no picture for 1.5 s")
            silent = seq(daemon)
            third = await taken(daemon, wide)
            try:
                await told(daemon, "camera.online", silent)
                await third.hang_up()
            finally:
                await third.__aexit__(None, None, None)

    asyncio.run(send())


def test_a_sender_who_stalls_and_goes_on_is_back(daemon: Daemon, wide: Picture) -> None:
    async def send() -> None:
        before = seq(daemon)
        async with Phone(daemon.http, "phone", wide) as phone:
            await told(daemon, "camera.online", before)
            phone.show.moving.clear()
            await offline(daemon, before, "is silent")
            stalled = seq(daemon)
            phone.show.moving.set()
            await told(daemon, "camera.online", stalled)
            await phone.hang_up()

    asyncio.run(send())


@pytest.mark.parametrize(
    ("camera", "change", "status", "words"),
    [
        ("phone", lambda sdp: "hello", 400, "no SDP offer"),
        ("phone", lambda sdp: sdp.replace("a=sendonly", "a=recvonly"), 400, "does not send video"),
        ("phone", lambda sdp: re.sub(r"(a=rtpmap:\d+ )\w+/", r"\1VP9/", sdp), 406, "H.264 and VP8"),
        ("door", lambda sdp: sdp, 404, "takes senders"),
        ("nobody", lambda sdp: sdp, 404, "takes senders"),
    ],
)
def test_what_cannot_be_taken_is_refused_in_words_and_logged(
    daemon: Daemon, wide: Picture, camera: str, change: object, status: int, words: str
) -> None:
    async def offered() -> str:
        async with Phone(daemon.http, "nobody", wide) as phone:
            return str(phone.peer.localDescription.sdp)

    before = len(daemon.logged())
    sdp = change(asyncio.run(offered()))  # type: ignore[operator]
    code, body, _ = post_sdp(daemon.http, f"/whip/{camera}", sdp)
    assert code == status, body
    assert words in json.loads(body)["error"]
    assert daemon.logged()[before:].count(words), "it is in the log, too"


def test_after_a_kill_of_the_cameras_process_a_phone_can_send_again(daemon: Daemon, wide: Picture) -> None:
    async def send() -> None:
        before = seq(daemon)
        empty = np.full_like(wide, 100)  # whoever is in view stays so over a kill, and is not named again
        async with Phone(daemon.http, "phone", empty):
            await told(daemon, "camera.online", before)
            pid = daemon.kill("capture@phone", signal.SIGKILL)
            await asyncio.to_thread(eventually, lambda: daemon.running("capture@phone", instead_of=pid))
        killed = seq(daemon)
        async with Phone(daemon.http, "phone", wide) as phone:
            assert phone.answer[0] == 201, phone.answer
            assert named(await told(daemon, "face.identified", killed)) == OBAMA
            await phone.hang_up()

    asyncio.run(send())


def test_another_token_hangs_up_on_who_sends_with_the_one_before(daemon: Daemon, wide: Picture) -> None:
    (first, first_kept), (_, second_kept) = new_token(), new_token()

    def give(kept: str) -> None:
        daemon.body["cameras"]["phone"]["whip_token"] = kept
        daemon.write_config()
        daemon.reload()

    async def answer_to(token: str) -> int:
        async with Phone(daemon.http, "phone", wide, token=token) as phone:
            return phone.answer[0]

    async def send() -> None:
        give(first_kept)
        before = seq(daemon)
        while True:
            async with Phone(daemon.http, "phone", wide, token=first) as phone:
                if phone.answer[0] == 401:  # the gateway has not taken it over yet
                    continue
                assert phone.answer[0] == 201
                await told(daemon, "camera.online", before)
                give(second_kept)
                await offline(daemon, before, "no browser or phone is sending")
                break
        assert await answer_to(first) == 401

    asyncio.run(send())


@pytest.fixture
def gstreamer() -> None:
    """GStreamer with what WebRTC needs."""
    probe = "import gi; gi.require_version('GstWebRTC', '1.0'); from gi.repository import Gst; Gst.init(None); "
    probe += "assert all(map(Gst.ElementFactory.find, ('webrtcbin', 'nicesrc', 'dtlsenc', 'x264enc')))"
    if not Path(PYTHON).exists() or subprocess.run([PYTHON, "-c", probe], capture_output=True).returncode:
        unavailable(f"no WebRTC in GStreamer: apt-get install {NEEDS} gstreamer1.0-nice gir1.2-gst-plugins-bad-1.0")


def test_gstreamer_can_be_a_camera(gstreamer: None, daemon: Daemon, wide: Picture, tmp_path: Path) -> None:
    """Its certificates are RSA ones, unlike browsers'."""
    before = seq(daemon)
    (tmp_path / "picture.i420").write_bytes(cv2.cvtColor(wide, cv2.COLOR_BGR2YUV_I420).tobytes())
    token = csrf(daemon.http)["X-CSRF-Token"]
    command = [
        PYTHON,
        str(WHIP_SENDER),
        f"{daemon.http}/whip/phone",
        token,
        str(tmp_path / "picture.i420"),
        "640",
        "480",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sender:
        try:
            named = daemon.await_event("face.identified", camera="phone", after=before)
        finally:
            sender.kill()
    assert (named.identity or {}).get("name") == OBAMA
    daemon.await_event("camera.offline", camera="phone", after=named.seq)


def test_a_process_that_hangs_is_answered_for(daemon: Daemon, wide: Picture) -> None:
    async def send() -> None:
        pid = daemon.kill("capture@phone", signal.SIGSTOP)
        try:
            async with Phone(daemon.http, "phone", wide) as phone:
                assert phone.answer[0] == 503
                assert "does not answer within 5 s" in phone.answer[1]
        finally:
            if daemon.child("capture@phone").pid == pid:
                daemon.kill("capture@phone", signal.SIGCONT)

    asyncio.run(send())
