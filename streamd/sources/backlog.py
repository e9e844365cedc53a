"""Packets of a stream that nobody needs yet, from a key frame on, so that they can be decoded when somebody does. Pure.

Bounded by the space between two key frames. Where that is too long to be caught up with, ``long`` says so, and the
owner decodes everything at once.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from streamd.sources.dozing import Packet

HELD_BYTES = 24 * 2**20

P = TypeVar("P", bound=Packet)


@dataclass(frozen=True, slots=True)
class _Held(Generic[P]):
    packet: P
    media_s: float | None
    arrived_s: float


class Backlog(Generic[P]):
    """What was not decoded, in order."""

    def __init__(self) -> None:
        self.passed = 0
        """Packets that were let go of undecoded."""
        self.long = False
        """Whether key frames are too far apart to wait for somebody who asks."""
        self._held: deque[_Held[P]] = deque()
        self._bytes = 0
        self._since_key = 0
        self._whole = False
        """Whether the decoder has had everything before the first that is held."""

    def __len__(self) -> int:
        return len(self._held)

    def add(self, packet: P, *, media_s: float | None, arrived_s: float, most: int) -> None:
        """The next packet. ``most`` may lie between two key frames."""
        if packet.is_keyframe:
            self.long = self.long and self._since_key > most
            self._since_key = 0
        self._since_key += 1
        self._held.append(_Held(packet, media_s, arrived_s))
        self._bytes += packet.size
        self.long = self.long or self._since_key > most or self._bytes > HELD_BYTES

    def let_go(self, *, before_s: float) -> None:
        """Of everything before the last key frame that arrived by ``before_s``."""
        starts = [i for i in self._keys() if self._held[i].arrived_s <= before_s]
        if starts:
            self._drop(starts[-1])

    def take(self, moment_s: float | None = None) -> tuple[list[P], bool]:
        """Everything that is needed for the moment with this time stamp and for what comes after it.

        Returns:
            The packets, and whether the decoder must forget what it had before them.
        """
        if not self._whole:  # what a decoder makes of the middle of a group is grey
            self._drop(next(iter(self._keys()), len(self._held)))
        if moment_s is not None:
            stamps = [(i, self._held[i].media_s) for i in self._keys()]
            self._drop(max((i for i, at_s in stamps if at_s is not None and at_s <= moment_s), default=0))
        packets = [held.packet for held in self._held]
        afresh = bool(packets) and not self._whole
        self._whole = self._whole or bool(packets)
        self._held.clear()
        self._bytes = 0
        return packets, afresh

    def _keys(self) -> list[int]:
        return [i for i, held in enumerate(self._held) if held.packet.is_keyframe]

    def _drop(self, count: int) -> None:
        for _ in range(count):
            self._bytes -= self._held.popleft().packet.size
        self.passed += count
        self._whole = self._whole and not count
