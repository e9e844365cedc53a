"""What a packet takes to decode, on average. Pure."""

from __future__ import annotations

import math


class Cost:
    """Of the packets between key frames: those cost more, and are all that is decoded while nothing moves."""

    def __init__(self) -> None:
        self._count = 0
        self._cpu_s = 0.0

    def add(self, cpu_s: float) -> None:
        """One was decoded."""
        self._count += 1
        self._cpu_s += cpu_s

    def most_within(self, seconds: float) -> float:
        """How many can be decoded in ``seconds``; infinitely many while nothing is known."""
        return seconds * self._count / self._cpu_s if self._cpu_s > 0 else math.inf
