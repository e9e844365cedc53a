"""Packets of a camera on which nothing moves are decoded a few at a time. Pure.

Where they cannot be held back longer (``streamd.sources.dozing``) a short delay harms nobody, and saves a tenth of the
decoder's time: it finds its tables in the processor's caches. Those before a key frame are not needed at all.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from streamd.sources.dozing import Packet

GATHER_S = 0.2
"""How much later motion is noticed, at most."""

P = TypeVar("P", bound=Packet)


def together(fps: float) -> int:
    """How many packets are decoded at once while nothing moves."""
    return max(1, round(GATHER_S * fps))


class Gathering(Generic[P]):
    """Keeps the packets of one stream for a moment."""

    def __init__(self) -> None:
        self.skipped = 0
        """Packets that were never decoded."""
        self._kept: list[P] = []
        self._came = 0
        """Packets since some were decoded: more than are kept, where those before a key frame were let go of."""

    @property
    def keeping(self) -> bool:
        """Whether packets are kept now."""
        return bool(self._kept)

    def begin_again(self) -> None:
        """The same stream from its beginning: what is kept is of no use."""
        self.skipped += len(self.release())

    def sift(self, packet: P, *, fps: float, patient: bool, keys_suffice: bool) -> list[P]:
        """The packets to decode now, in order; none while this one is kept.

        Args:
            packet: The next one.
            fps: Packets per second.
            patient: Whether nobody minds a short delay.
            keys_suffice: Whether the decoder needs nothing of what comes before a key frame.
        """
        if packet.is_keyframe and keys_suffice:
            self.skipped += len(self._kept)
            self._kept = []
        self._kept.append(packet)
        self._came += 1
        if patient and self._came < together(fps):
            return []
        return self.release()

    def release(self) -> list[P]:
        """What is kept, in order: nobody waits any longer."""
        kept, self._kept, self._came = self._kept, [], 0
        return kept
