"""Whether a decoder keeps up with its camera, and which packets it leaves out to catch up. Pure: time is an argument.

A process that gets too little of the CPU would otherwise show moments that are ever longer past. One that is behind
decodes key frames alone until it is not. A camera, or a link to it, that sends late is not the decoder's doing: where a
packet had to be waited for, none lies here unread.
"""

from __future__ import annotations

import math
from collections import deque

LATE_S, CAUGHT_UP_S = 0.6, 0.2
"""How far behind it begins to leave packets out, and at which key frame it stops."""
AWAITED_S = 0.005
"""A packet that was asked for so long before it came had to be waited for."""
WINDOW_S = 30.0
"""The least delay of so long counts as none: clocks drift, and streams begin anew."""
REORDERED_S = 1.0
"""Frames that refer to later ones are sent after them."""


class Catching:
    """Sifts the packets of one stream."""

    def __init__(self) -> None:
        self.catching_up = False
        self._idle_at_s = -math.inf

    def takes(self, *, is_keyframe: bool, behind_s: float, now_s: float, waited_s: float) -> bool:
        """Whether to decode this packet, which is so late, and came after so long a wait for it."""
        if waited_s >= AWAITED_S:
            self._idle_at_s = now_s
        busy_s = now_s - self._idle_at_s
        if behind_s >= LATE_S and busy_s >= LATE_S:
            self.catching_up = True
        elif is_keyframe and min(behind_s, busy_s) <= CAUGHT_UP_S:
            self.catching_up = False
        return is_keyframe or not self.catching_up


class LiveDelay:
    """How late packets are that have no due time, by the least delay between their stamps and their arrival of late."""

    def __init__(self) -> None:
        self._least: deque[tuple[float, float]] = deque()  # (moment, delay), delays rising; bounded by WINDOW_S
        self._stamp_s = -math.inf

    def behind_s(self, stamp_s: float, now_s: float) -> float:
        """Seconds that a packet of this stamp came later than the promptest of the last ``WINDOW_S``."""
        if not -REORDERED_S <= stamp_s - self._stamp_s <= WINDOW_S:
            self._least.clear()  # the stream's clock jumped
        self._stamp_s = stamp_s
        delay_s = now_s - stamp_s
        while self._least and self._least[-1][1] >= delay_s:
            self._least.pop()
        self._least.append((now_s, delay_s))
        while now_s - self._least[0][0] > WINDOW_S:
            self._least.popleft()
        return delay_s - self._least[0][1]
