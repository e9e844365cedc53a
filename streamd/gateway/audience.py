"""Those who watch one camera, by what they want: queues of encoded pictures, and how much the camera must give."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import av

    Packet = av.Packet[av.VideoStream]

Codec = Literal["h264", "vp8"]

QUEUED = 30
"""Packets that wait for a viewer: about a second. After more, all go, and the viewer goes on with a key frame."""
SMOOTH_FPS = 5.0
"""From this rate on a viewer would see frames missing."""
LARGEST_VIEW = 1280 * 720
"""Pixels: what H.264 level 3.1 takes, which every browser can do."""
WIDEST_VIEW = 1280


@dataclass(frozen=True, slots=True)
class Demand:
    """What one of the audience would like to see."""

    width: int = WIDEST_VIEW
    fps: float = 60.0
    annotated: bool = True

    @property
    def smooth(self) -> bool:
        return self.fps >= SMOOTH_FPS


def merged(demands: Iterable[Demand]) -> Demand | None:
    """The least that serves everybody; None for nobody."""
    all_of_them = list(demands)
    if not all_of_them:
        return None
    width, fps = max(d.width for d in all_of_them), max(d.fps for d in all_of_them)
    return Demand(width, fps, any(d.annotated for d in all_of_them))


class PacketQueue:
    """A viewer's packets, in order from a key frame on. One that does not keep up loses all up to the next key
    frame."""

    def __init__(self) -> None:
        self.dropped = 0
        """Packets that the viewer lost because it was slow."""
        self.needs_key = True
        """Whether only a key frame helps."""
        self._packets: deque[Packet] = deque()
        self._there = asyncio.Event()
        self._open = False

    @property
    def open(self) -> bool:
        """Whether somebody has begun to take packets: before that none are kept."""
        return self._open

    def put(self, packet: Packet) -> None:
        if not self._open:
            return
        if len(self._packets) >= QUEUED:
            self.dropped += len(self._packets)
            self._packets.clear()
            self.needs_key = True
        if self.needs_key and not packet.is_keyframe:
            self.dropped += 1
            return
        self.needs_key = False
        self._packets.append(packet)
        self._there.set()

    async def get(self) -> Packet:
        self._open = True
        while not self._packets:
            self._there.clear()
            await self._there.wait()
        return self._packets.popleft()


class VideoOutlet:
    """Where a viewer's video comes out."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.demand = Demand()
        self.queue: PacketQueue = PacketQueue()


class JpegOutlet:
    """Where JPEG pictures come out, newest only."""

    def __init__(self, demand: Demand) -> None:
        self.demand = demand
        self.dropped = 0
        self._newest: bytes | None = None
        self._there = asyncio.Event()
        self._due_s = 0.0

    def due(self, now_s: float) -> bool:
        """Whether the next picture is for this one; a little early is better than one frame late."""
        return now_s >= self._due_s - 0.25 / self.demand.fps

    def put(self, picture: bytes, now_s: float) -> None:
        pause_s = 1 / self.demand.fps
        # From when it was due, so that the rate is met although pictures do not come just then.
        self._due_s = (self._due_s if self._due_s > now_s - pause_s else now_s) + pause_s
        self.dropped += self._newest is not None
        self._newest = picture
        self._there.set()

    async def get(self) -> bytes:
        while (picture := self._newest) is None:
            self._there.clear()
            await self._there.wait()
        self._newest = None
        return picture
