"""A phone for tests: an aiortc client that sends pictures by WHIP over the loopback alone."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from types import TracebackType

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.codecs import get_capabilities
from numpy.typing import NDArray
from watcher import hang_up, on_loopback_alone, post_sdp

FPS = 15


class Show(MediaStreamTrack):
    """A BGR picture, again and again; may be exchanged, and stopped."""

    kind = "video"

    def __init__(self, picture: NDArray[np.uint8]) -> None:
        super().__init__()
        self.picture = picture
        self.moving = asyncio.Event()
        self.moving.set()
        self._sent = 0

    async def recv(self) -> av.VideoFrame:
        await asyncio.sleep(1 / FPS)
        await self.moving.wait()
        frame = av.VideoFrame.from_ndarray(self.picture, format="bgr24")
        frame.pts, frame.time_base = self._sent * 90_000 // FPS, Fraction(1, 90_000)
        self._sent += 1
        return frame


class Phone:
    """One sender. ``answer`` is what the server said to the offer."""

    def __init__(
        self, base: str, camera: str, picture: NDArray[np.uint8], *, codec: str = "VP8", token: str | None = None
    ) -> None:
        self._token = token
        self._path = f"/whip/{camera}"
        self._base = base
        self._codec = codec
        self._picture = picture
        self.location = ""
        self.answer: tuple[int, str] = (0, "")

    async def __aenter__(self) -> Phone:
        on_loopback_alone()
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.show = Show(self._picture)
        self.peer.addTrack(self.show)
        able = get_capabilities("video").codecs
        self.peer.getTransceivers()[0].setCodecPreferences([c for c in able if c.name == self._codec])
        self.peer.getTransceivers()[0].direction = "sendonly"
        await self.peer.setLocalDescription(await self.peer.createOffer())
        status, body, self.location = await asyncio.to_thread(
            post_sdp, self._base, self._path, self.peer.localDescription.sdp, self._token
        )
        self.answer = status, body
        if status == 201:
            await self.peer.setRemoteDescription(RTCSessionDescription(body, "answer"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.peer.close()

    async def hang_up(self) -> int:
        """DELETE, as WHIP has it."""
        return await asyncio.to_thread(hang_up, self._base, self.location)
