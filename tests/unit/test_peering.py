"""Offers as they come, good and bad."""

import asyncio
import contextlib
import re

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection

from streamd.errors import CodecRefused, OfferRefused
from streamd.peering import LARGEST_OFFER, answer, checked_offer, chosen_codec, hang_up, new_peer, prefer


async def _offer(kind: str, direction: str) -> str:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        peer.addTransceiver(kind, direction=direction)
        await peer.setLocalDescription(await peer.createOffer())
        return str(peer.localDescription.sdp)
    finally:
        await peer.close()


def offer(kind: str = "video", direction: str = "recvonly") -> str:
    return asyncio.run(_offer(kind, direction))


def answer_to(sdp: str, *codecs: str, direction: str = "recvonly") -> str:
    async def run() -> str:
        peer = new_peer()
        try:
            peer.addTransceiver("video", direction="sendonly" if direction == "recvonly" else "recvonly")
            prefer(peer, codecs or ["H264", "VP8"])
            return await answer(peer, checked_offer(sdp, direction=direction))
        finally:
            await hang_up(peer)

    return asyncio.run(run())


def with_codec(sdp: str, name: str) -> str:
    return re.sub(r"(a=rtpmap:\d+ )(VP8|H264)/", rf"\1{name}/", sdp)


def test_the_answer_has_every_address_and_the_loopback() -> None:
    answered = answer_to(offer())
    assert "127.0.0.1" in answered
    assert "a=end-of-candidates" in answered


def test_h264_is_taken_where_both_can_do_it_else_vp8() -> None:
    sdp = offer()
    assert chosen_codec(answer_to(sdp)) == "H264"
    assert chosen_codec(answer_to(re.sub(r"(a=rtpmap:\d+ )H264/", r"\1AV1/", sdp))) == "VP8"


def test_an_offer_of_other_codecs_alone_is_refused_as_such() -> None:
    with pytest.raises(CodecRefused, match=r"H\.264 and VP8"):
        answer_to(with_codec(offer(), "VP9"))


@pytest.mark.parametrize("text", ["", "hello", "{}", "\0" * 100, "m=video 9 UDP 96", "v=0\r\n" + "a=x\r\n" * 20_000])
def test_what_is_no_sdp_is_refused_in_words(text: str) -> None:
    with pytest.raises(OfferRefused):
        checked_offer(text, direction="recvonly")


@pytest.mark.parametrize("keep", range(0, 40, 3))
def test_an_offer_that_was_cut_off_is_refused_or_answered_but_never_harms(keep: int) -> None:
    lines = offer().splitlines(keepends=True)
    with contextlib.suppress(OfferRefused):
        answer_to("".join(lines[:keep]))


@pytest.mark.parametrize("line", range(0, 45, 4))
def test_an_offer_with_a_broken_line_is_refused_or_answered_but_never_harms(line: int) -> None:
    lines = offer().splitlines(keepends=True)
    if line < len(lines):
        lines[line] = lines[line][:4] + "\x00 broken\r\n"
    with contextlib.suppress(OfferRefused):
        answer_to("".join(lines))


def test_an_offer_without_video_and_one_in_the_wrong_direction_are_refused() -> None:
    with pytest.raises(OfferRefused, match="no video"):
        checked_offer(offer("audio"), direction="recvonly")
    with pytest.raises(OfferRefused, match="does not receive video"):
        checked_offer(offer(direction="sendonly"), direction="recvonly")
    with pytest.raises(OfferRefused, match="does not send video"):
        checked_offer(offer(), direction="sendonly")


def test_a_large_offer_is_not_even_read() -> None:
    with pytest.raises(OfferRefused, match="more than"):
        checked_offer("v=0" + " " * LARGEST_OFFER, direction="recvonly")


def test_host_names_that_only_the_browsers_network_knows_are_struck_out() -> None:
    hidden = "a=candidate:1 1 udp 2113937151 6b1ac2b4-7c0b-4f0e-9f11-2f3d5c6f7a81.local 54400 typ host\r\n"
    sdp = re.sub(r"a=candidate[^\n]*\n", hidden, offer())
    assert ".local" in sdp
    assert ".local" not in checked_offer(sdp, direction="recvonly").sdp
