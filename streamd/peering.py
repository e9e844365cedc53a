"""WebRTC connections, as both ends of streamd make them: no server in between, all addresses in the answer at once.

aioice leaves the loopback out; here it is offered, too, so that a browser on the same machine works without a network.
Host names that only multicast DNS knows (``.local``) are struck out of offers: whoever sends from there is seen anyway.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Sequence

import aioice.ice
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.codecs import get_capabilities
from aiortc.exceptions import InvalidAccessError, InvalidStateError, OperationError
from aiortc.sdp import SessionDescription

from streamd.errors import CodecRefused, OfferRefused

LARGEST_OFFER = 64 * 1024
"""Bytes. Browsers' offers have up to 10 kB."""
_LOOPBACK = "127.0.0.1"
_HIDDEN = re.compile(r"^a=candidate:\S+ \d+ \S+ \d+ \S+\.local .*\r?\n?", re.MULTILINE)
_EITHER = re.compile(r"^a=setup:actpass\b", re.MULTILINE)
"""Who may begin the DTLS handshake or not is to begin it: aiortc as the client knows no cipher for the RSA certificates
that GStreamer has, as the server it takes them."""
_BROKEN = (
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    AssertionError,
    StopIteration,
    RuntimeError,  # what StopIteration becomes in a coroutine
    OverflowError,
    InvalidAccessError,
    InvalidStateError,
)
"""What aiortc raises on descriptions that are none."""

for _name in ("aiortc", "aioice"):
    # They tell of each damaged packet, and so whoever sends some could fill the log.
    logging.getLogger(_name).setLevel(logging.ERROR)

_host_addresses = aioice.ice.get_host_addresses


def _all_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
    found = _host_addresses(use_ipv4, use_ipv6)
    return [*found, _LOOPBACK] if use_ipv4 and _LOOPBACK not in found else found


aioice.ice.get_host_addresses = _all_addresses


def new_peer() -> RTCPeerConnection:
    """To be made in a running loop, and closed."""
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


def prefer(peer: RTCPeerConnection, codecs: Sequence[str]) -> None:
    """Of the video that is negotiated next, take these codecs (``H264 VP8``), the first that the other end can do."""
    able = get_capabilities("video").codecs
    order = [codec for name in codecs for codec in able if codec.name == name]
    resending = [codec for codec in able if codec.name.lower() == "rtx"]
    for transceiver in peer.getTransceivers():
        if transceiver.kind == "video":
            transceiver.setCodecPreferences([*order, *resending])


def checked_offer(text: str, *, direction: str) -> RTCSessionDescription:
    """An offer as it came.

    Args:
        direction: ``recvonly`` or ``sendonly``: what the other end must want to do with video.

    Raises:
        OfferRefused: it is none.
    """
    if len(text) > LARGEST_OFFER:
        raise OfferRefused(f"an offer of {len(text)} bytes: more than {LARGEST_OFFER}")
    if not text.startswith("v=0"):
        raise OfferRefused("this is no SDP offer: it does not begin with v=0")
    try:
        parsed = SessionDescription.parse(text)
    except _BROKEN as error:
        raise OfferRefused(f"this is no SDP offer that can be read: {type(error).__name__}: {error}") from error
    media = [part for part in parsed.media if part.kind == "video"]
    if not media:
        raise OfferRefused("the offer has no video")
    if media[0].direction not in (direction, "sendrecv"):
        does = "receive" if direction == "recvonly" else "send"
        raise OfferRefused(f"the offer does not {does} video: its direction is {media[0].direction}")
    ice = media[0].ice
    if ice is None or not ice.usernameFragment or not ice.password or media[0].dtls is None:
        raise OfferRefused("the offer lacks ICE credentials or a DTLS fingerprint")
    return RTCSessionDescription(_HIDDEN.sub("", _EITHER.sub("a=setup:active", text)), "offer")


async def answer(peer: RTCPeerConnection, offer: RTCSessionDescription) -> str:
    """Connect to whoever offers; the SDP of the answer.

    Raises:
        OfferRefused: what is offered cannot be.
        CodecRefused: no codec of the offer can be used.
    """
    try:
        await peer.setRemoteDescription(offer)
        for transceiver in peer.getTransceivers():
            if transceiver.kind == "audio":
                transceiver.direction = "inactive"
        await peer.setLocalDescription(await peer.createAnswer())
    except OperationError as error:
        raise CodecRefused(f"none of the offered codecs can be used; H.264 and VP8 can ({error})") from error
    except _BROKEN as error:
        raise OfferRefused(f"the offer cannot be answered: {type(error).__name__}: {error}") from error
    return str(peer.localDescription.sdp)


async def hang_up(peer: RTCPeerConnection) -> None:
    """Close a connection, also one whose offer was so broken that aiortc stumbles over what is left of it."""
    with contextlib.suppress(*_BROKEN):
        await peer.close()


def chosen_codec(answered: str) -> str:
    """The codec that an answer puts first for video: ``H264`` or ``VP8``."""
    media = next(part for part in SessionDescription.parse(answered).media if part.kind == "video")
    return str(media.rtp.codecs[0].name)
