"""Whatever is sent as an offer is answered, or refused in words."""

import asyncio
import contextlib

from aiortc import RTCConfiguration, RTCPeerConnection
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.errors import OfferRefused
from streamd.peering import answer, checked_offer, hang_up, new_peer, prefer


async def _offer() -> str:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        peer.addTransceiver("video", direction="recvonly")
        peer.addTransceiver("audio", direction="recvonly")
        await peer.setLocalDescription(await peer.createOffer())
        return str(peer.localDescription.sdp)
    finally:
        await peer.close()


LINES = asyncio.run(_offer()).splitlines()
WORDS = sorted({word for line in LINES for word in line.replace(":", " ").replace("=", " ").split()})
CHANGE = st.tuples(
    st.integers(0, len(LINES) - 1),
    st.one_of(st.none(), st.sampled_from(LINES), st.text(max_size=30)),
    st.tuples(st.sampled_from(WORDS), st.one_of(st.sampled_from(WORDS), st.text(max_size=8))),
)


def met(text: str) -> None:
    async def run() -> None:
        peer = new_peer()
        try:
            peer.addTransceiver("video", direction="sendonly")
            prefer(peer, ["H264", "VP8"])
            with contextlib.suppress(OfferRefused):
                await answer(peer, checked_offer(text, direction="recvonly"))
        finally:
            await hang_up(peer)

    asyncio.run(run())


@settings(max_examples=60)
@given(st.lists(CHANGE, min_size=1, max_size=3))
def test_an_offer_with_lines_exchanged_lost_or_damaged(changes: list[tuple[int, str | None, tuple[str, str]]]) -> None:
    lines: list[str | None] = list(LINES)
    for at, line, (old, new) in changes:
        before = lines[at]
        lines[at] = before.replace(old, new) if before and old in before else line
    met("\r\n".join(line for line in lines if line is not None) + "\r\n")


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    met(text)
    met("v=0\r\n" + text)
