"""Which packets of a camera on which nothing happens need not be decoded. Pure.

While it is calm only key frames are decoded. The packets between them are held back, and when one of them is larger
than calm ones are, because something has begun to move, all that are held are decoded at once: nothing is missed, and
the picture is as new as it would have been.

That only works where a person would show in the size of packets. Somebody who comes adds about the share of a key frame
that is the share of the view they fill; where calm packets differ by as much already, because the encoder has to use up
a constant rate or writes down a dark scene's noise, they are decoded now and then, some at a time: at glances, which
are as far apart as somebody may go unnoticed. Those between the last glance and the next key frame are never decoded.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Collection, Iterator
from typing import Generic, Literal, Protocol, TypeVar

Mode = Literal["all", "packets", "keyframes"]

LEARNT = 2
"""Calm groups of pictures (from a key frame to the next) that must have been seen before any packet is held back."""
REMEMBERED = 5
SOUND_SLEEP = 4
"""Groups; who is woken before looks at another calm group first."""
SLACK, ALARM = 1.5, 6.0
"""Of the sum of excesses (Page's CUSUM test, 1954), in deviations: what each packet may have, and where it wakes."""
LEAST_SHARE, LEAST_BYTES = 0.08, 20.0
"""A deviation counts as no less than this share of a calm packet, and than these bytes."""
PERSON_SHARE = 0.005
"""Of a key frame's bytes: what the least that must wake adds to a packet."""
TELLING = 4.0
"""Deviations that this must amount to: then the third packet wakes."""


class Packet(Protocol):
    """What is asked of a packet."""

    @property
    def size(self) -> int: ...

    @property
    def is_keyframe(self) -> bool: ...


P = TypeVar("P", bound=Packet)


class Doze(Generic[P]):
    """Sifts the packets of one stream."""

    def __init__(self, mode: Mode) -> None:
        self.resting = False
        """Whether nobody needs more than a glance; set from outside."""
        self.skipped = 0
        """Packets that were never decoded."""
        self.alarms = 0
        """Times that the size of packets said that something moves."""
        self._mode = mode
        self.long = False
        """Whether key frames are too far apart for anything to be held back."""
        self._dozing = False
        self._glancing = False
        self._unfit = False
        self._since_key = 0
        self._group_length = 1
        """Packets from the last key frame but one to the last."""
        self._held: list[P] = []
        self._keys: deque[int] = deque(maxlen=REMEMBERED)
        """Sizes of key frames."""
        self._groups: deque[list[int]] = deque(maxlen=REMEMBERED)
        """Sizes of the packets between key frames while it was calm."""
        self._sizes: list[int] = []
        self._groups_slept = 0
        self._unlearnt = False
        """Whether it was woken so soon that what is usual must have changed."""
        self._calm = False
        """Whether it was calm since the last key frame."""
        self._roused = False
        """Whether it was woken in this group, and nobody has said since that there is no rest."""
        self._usual: list[tuple[float, float]] = []
        """Size and deviation by place after a key frame: the first packets make good what key frames leave."""
        self._excess = 0.0

    @property
    def dozing(self) -> bool:
        """Whether packets are held back now."""
        return self._dozing

    @property
    def holding(self) -> int:
        """Packets held back now."""
        return len(self._held)

    @property
    def glancing(self) -> bool:
        """Whether packets are held back from one glance to the next only, since their sizes do not tell."""
        return self._dozing and self._glancing

    def unfit(self) -> None:
        """A key frame by itself gave no picture of its own: nothing is held back from now on."""
        self._unfit = self.long = True
        self._dozing = False

    def begin_again(self) -> None:
        """The same stream from its beginning: what is held is of no use, what was learnt stays."""
        self.skipped += len(self._held)
        self._held, self._sizes, self._since_key = [], [], 0
        self._dozing = self._calm = self._roused = False

    def sift(self, packet: P, *, most_held: int, most_unseen: int) -> list[P]:
        """The packets to decode now, in order: none while this one is held back.

        Args:
            packet: The next one.
            most_held: There are never more than this, and one.
            most_unseen: How far glances may be apart, in packets.
        """
        if self._mode == "all":
            return [packet]
        self._judge_distance(packet, most_held)
        if packet.is_keyframe:
            return self._key(packet)
        self._sizes.append(packet.size)
        self._roused = self._roused and self.resting
        if not self._dozing and self.resting and not self.long:
            self._fall_asleep()
        if self._dozing:
            return self._between(packet, most_held, self._is_glance(max(1, min(most_unseen, most_held))))
        self._calm = self._calm and self.resting
        return [packet]

    def _judge_distance(self, packet: P, most_held: int) -> None:
        """Key frames that are too far apart once, for one of them was lost, need not be so for ever."""
        if packet.is_keyframe:
            self.long = self._unfit or (self.long and self._since_key > most_held)
            if self._since_key:
                self._group_length, self._since_key = self._since_key + 1, 0
        else:
            self._since_key += 1
            if self._since_key > most_held and not self._dozing:
                self.long = True
                self._sizes.clear()

    def _key(self, packet: P) -> list[P]:
        self.skipped += len(self._held)
        self._held = []
        self._keys.append(packet.size)
        if self._calm and self._sizes:
            self._groups.append(self._sizes)
            self._unlearnt = False
        self._sizes, self._excess, self._calm = [], 0.0, self.resting and not self.long
        self._roused = False
        if self._dozing:
            self._groups_slept += 1
            self._compare()
        elif self._calm:
            self._fall_asleep()
        return [packet]

    def _fall_asleep(self) -> None:
        if len(self._groups) >= LEARNT and not self._unlearnt and not self._roused:
            self._dozing, self._groups_slept, self._excess = True, 0, 0.0
            self._compare()

    def _compare(self) -> None:
        """Make what has been learnt into what packets are compared with."""
        self._usual = list(_usual_sizes(self._groups))
        self._glancing = self._mode == "packets" and not self._would_notice()
        if self._glancing:
            self._usual = [_largest(self._groups)]

    def _is_glance(self, most_unseen: int) -> bool:
        """Whether this packet's picture is wanted: the last of a group is as long before the next key frame as may be,
        for what follows it is never decoded; those before it are as few as will do, at equal distances."""
        if not self._glancing:
            return False
        last = self._group_length - most_unseen
        if self._since_key >= last:  # also in a group that goes on for longer
            return (self._since_key - last) % most_unseen == 0
        return self._since_key % math.ceil(last / math.ceil(last / most_unseen)) == 0

    def _would_notice(self) -> bool:
        """Whether somebody who comes would show in the size of packets."""
        deviation = statistics.median(deviation for _, deviation in self._usual)
        return PERSON_SHARE * statistics.median(self._keys) >= TELLING * deviation

    def _between(self, packet: P, most_held: int, glance: bool) -> list[P]:
        self._held.append(packet)
        usual, deviation = self._usual[min(len(self._sizes), len(self._usual)) - 1]
        self._excess = max(0.0, self._excess + (packet.size - usual) / deviation - SLACK)
        alarmed = self._mode == "packets" and self._excess > ALARM
        if len(self._held) > most_held:
            # What is seen would be too old.
            self.long = True
        elif self.resting and not alarmed:
            return self._release() if glance else []
        if alarmed:
            self.alarms += 1
            self._unlearnt = self._groups_slept < SOUND_SLEEP
        self._dozing = self._calm = False
        self._roused = True
        return self._release()

    def _release(self) -> list[P]:
        held, self._held = self._held, []
        return held


def _largest(groups: Collection[list[int]]) -> tuple[float, float]:
    """Of all packets, and their deviation: where sizes have two or three modes only more than that means anything."""
    sizes = [size for group in groups for size in group]
    return max(sizes), _deviation(sizes, statistics.median(sizes))


def _usual_sizes(groups: Collection[list[int]]) -> Iterator[tuple[float, float]]:
    """Median and deviation at each place, from the packets there and beside it."""
    for place in range(max(map(len, groups))):
        near = [size for group in groups for size in group[max(0, place - 1) : place + 2]]
        if near:
            usual = statistics.median(near)
            yield usual, _deviation(near, usual)


def _deviation(sizes: Collection[int], usual: float) -> float:
    spread = 1.4826 * statistics.median(abs(size - usual) for size in sizes)
    return max(spread, LEAST_SHARE * usual, LEAST_BYTES)
