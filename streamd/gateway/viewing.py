"""A viewer over WebRTC: a connection whose packets come from a shared encoder. Loaded when the first one comes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, cast

from aiortc import MediaStreamTrack, RTCRtpSender

from streamd.gateway.audience import Codec, PacketQueue, VideoOutlet
from streamd.peering import answer, checked_offer, chosen_codec, hang_up, new_peer, prefer

if TYPE_CHECKING:
    from streamd.gateway.audience import Packet

logger = logging.getLogger(__name__)

CONNECT_S = 15.0
"""A viewer who is not connected by then is forgotten."""

Gone = Callable[[], Coroutine[Any, Any, None]]


class SharedTrack(MediaStreamTrack):
    """Gives aiortc packets that were encoded elsewhere, which it only cuts into RTP."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self.queue: PacketQueue = PacketQueue()

    async def recv(self) -> Packet:
        return await self.queue.get()


class Viewer:
    """One connection. ``gone`` is called once when it has ended by itself."""

    def __init__(self, gone: Gone) -> None:
        self._gone: Gone | None = gone
        self._peer = new_peer()
        self._track = SharedTrack()
        self._sender: RTCRtpSender = self._peer.addTrack(self._track)
        prefer(self._peer, ["H264", "VP8"])
        self._patience: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None

        @self._peer.on("connectionstatechange")
        def changed() -> None:
            if self._peer.connectionState == "connected" and self._patience is not None:
                self._patience.cancel()
            elif self._peer.connectionState in ("failed", "closed"):
                self._lost()

    async def connect(self, offer: str) -> tuple[str, VideoOutlet]:
        """The answer to an offer, and where packets for this viewer go.

        Raises:
            OfferRefused: it is none.
            CodecRefused: no codec fits.
        """
        answered = await answer(self._peer, checked_offer(offer, direction="recvonly"))
        codec: Codec = "vp8" if chosen_codec(answered) == "VP8" else "h264"
        outlet: VideoOutlet = VideoOutlet(codec)
        outlet.queue = self._track.queue
        _on_picture_lost(self._sender, outlet.queue)
        self._patience = asyncio.get_running_loop().call_later(CONNECT_S, self._lost)
        return answered, outlet

    async def close(self) -> None:
        self._gone = None
        if self._patience is not None:
            self._patience.cancel()
        self._track.stop()
        await hang_up(self._peer)

    def _lost(self) -> None:
        gone, self._gone = self._gone, None
        if gone is not None:
            self._ending = asyncio.ensure_future(gone())


def _on_picture_lost(sender: RTCRtpSender, queue: PacketQueue) -> None:
    """Have the shared encoder make a key frame when the viewer says that it lost the picture; aiortc would tell the
    encoder of its own, which is not used."""

    def needs_key() -> None:
        queue.needs_key = True

    cast(Any, sender)._send_keyframe = needs_key
