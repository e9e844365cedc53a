"""A viewer for tests: an aiortc client that plays WHEP over the loopback alone."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from types import TracebackType

import aioice.ice
import av
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray

Frame = tuple[float, NDArray[np.uint8]]


def on_loopback_alone() -> None:
    """Nothing in this process uses another address."""
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]


def csrf(base: str) -> dict[str, str]:
    """The header that changes need, as the page sends it."""
    with urllib.request.urlopen(f"{base}/api/v1/session", timeout=20) as answer:
        return {"X-CSRF-Token": json.load(answer)["csrf"]}


def post_sdp_until_there_is_time(base: str, path: str, sdp: str | bytes) -> tuple[int, str, str]:
    """``post_sdp``, again while a busy camera has no picture at once (503)."""
    for _ in range(10):
        answer = post_sdp(base, path, sdp)
        if answer[0] != 503:
            break
        time.sleep(0.5)
    return answer


def post_sdp(base: str, path: str, sdp: str | bytes, token: str | None = None) -> tuple[int, str, str]:
    """Status, body and location of the answer; as the page, or with a camera's token."""
    body = sdp if isinstance(sdp, bytes) else sdp.encode()
    headers = {"Content-Type": "application/sdp"} | ({"Authorization": f"Bearer {token}"} if token else csrf(base))
    request = urllib.request.Request(base + path, body, headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode(), answer.headers.get("Location", "")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), ""


def hang_up(base: str, location: str) -> int:
    """DELETE, as WHEP and WHIP have it; the status."""
    request = urllib.request.Request(base + location, headers=csrf(base), method="DELETE")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return int(answer.status)


class Watcher:
    """One viewing. Frames are taken as they come, and the newest kept."""

    def __init__(self, base: str, camera: str, *, codecs: tuple[str, ...] = ("H264", "VP8")) -> None:
        self._base = base
        self._camera = camera
        self._codecs = codecs
        self.frames = 0
        self.newest: NDArray[np.uint8] | None = None
        """BGR."""
        self.sizes: list[tuple[int, int]] = []
        self.location = ""
        self.on_frame: Callable[[NDArray[np.uint8]], None] | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Watcher:
        on_loopback_alone()
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        transceiver = self.peer.addTransceiver("video", direction="recvonly")
        from aiortc.codecs import get_capabilities

        able = get_capabilities("video").codecs
        transceiver.setCodecPreferences([c for c in able if c.name in self._codecs])
        self.peer.on("track", self._begin)
        await self.peer.setLocalDescription(await self.peer.createOffer())
        offer, path = self.peer.localDescription.sdp, f"/whep/{self._camera}"
        status, body, self.location = await asyncio.to_thread(post_sdp_until_there_is_time, self._base, path, offer)
        assert status == 201, (status, body)
        await self.peer.setRemoteDescription(RTCSessionDescription(body, "answer"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
        await self.peer.close()

    def _begin(self, track: object) -> None:
        self._task = asyncio.ensure_future(self._take(track))

    async def _take(self, track: object) -> None:
        while True:
            try:
                frame = await track.recv()  # type: ignore[attr-defined]
            except MediaStreamError:
                return
            assert isinstance(frame, av.VideoFrame)
            self.frames += 1
            self.newest = frame.to_ndarray(format="bgr24")
            if (frame.width, frame.height) not in self.sizes[-1:]:
                self.sizes.append((frame.width, frame.height))
            if self.on_frame is not None:
                self.on_frame(self.newest)

    async def until(self, look: Callable[[], bool], *, timeout_s: float = 15.0, what: str = "") -> None:
        """Wait for a condition; fails after ``timeout_s``."""
        end_s = time.monotonic() + timeout_s
        while not look():
            assert time.monotonic() < end_s, f"not within {timeout_s} s: {what}; {self.frames} frames, {self.sizes}"
            await asyncio.sleep(0.02)
