"""How the offer of a browser or phone reaches the process of the camera that it is to be: the media go there directly.

The gateway says OFFER with the SDP; the capture answers ANSWER with its own, and the sender's id, or REFUSED and why.
CLOSE hangs up on a sender. Each question has a number, which the answer repeats.
"""

from __future__ import annotations

from dataclasses import dataclass

from streamd.errors import CodecRefused, LiveError, OfferRefused, ProtocolError, SenderBusy
from streamd.wire import decode, encode

OFFER, CLOSE, ANSWER, REFUSED, CLOSED = "OFFER", "CLOSE", "ANSWER", "REFUSED", "CLOSED"
LARGEST_MESSAGE = 256 * 1024

_REFUSALS: dict[str, type[LiveError]] = {"busy": SenderBusy, "codec": CodecRefused, "offer": OfferRefused}


@dataclass(frozen=True, slots=True)
class Question:
    """What the gateway asks: the offer of a new sender, or to hang up on one."""

    number: int
    offer: str | None = None
    sender: str | None = None

    def to_parts(self) -> list[bytes]:
        if self.offer is not None:
            return [encode(OFFER, number=self.number), self.offer.encode()]
        return [encode(CLOSE, number=self.number, sender=self.sender or "")]

    @classmethod
    def from_parts(cls, parts: list[bytes]) -> Question:
        """Raises ProtocolError on anything that ``to_parts`` did not make."""
        header = decode(parts[0])
        number = header.integer("number")
        if header.kind == CLOSE:
            return cls(number, sender=header.text("sender"))
        if header.kind != OFFER or len(parts) != 2:
            raise ProtocolError(f"{header.kind} of {len(parts)} parts where an offer should be")
        try:
            return cls(number, offer=parts[1].decode())
        except UnicodeDecodeError as error:
            raise ProtocolError("an offer that is no text") from error


def answered(number: int, sender: str, sdp: str) -> list[bytes]:
    return [encode(ANSWER, number=number, sender=sender), sdp.encode()]


def refused(number: int, error: LiveError) -> list[bytes]:
    code = next((code for code, kind in _REFUSALS.items() if type(error) is kind), "offer")
    return [encode(REFUSED, number=number, code=code, message=str(error))]


def closed(number: int, *, known: bool) -> list[bytes]:
    return [encode(CLOSED, number=number, known=known)]


@dataclass(frozen=True, slots=True)
class Reply:
    """A capture's answer."""

    number: int
    sender: str = ""
    sdp: str = ""
    known: bool = True
    """Whether there was such a sender to hang up on."""
    error: LiveError | None = None

    @classmethod
    def from_parts(cls, parts: list[bytes]) -> Reply:
        """Raises ProtocolError on anything that is no reply."""
        header = decode(parts[0])
        number = header.integer("number")
        if header.kind == REFUSED:
            error = _REFUSALS.get(header.text("code"), OfferRefused)(header.text("message"))
            return cls(number, error=error)
        if header.kind == CLOSED:
            return cls(number, known=header.flag("known"))
        if header.kind != ANSWER or len(parts) != 2:
            raise ProtocolError(f"{header.kind} of {len(parts)} parts where an answer should be")
        return cls(number, header.text("sender"), parts[1].decode(errors="replace"))
