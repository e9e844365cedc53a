"""A clock that moves only when it is waited for."""

from __future__ import annotations

from streamd.sources.pacing import Clock


class FakeClock:
    def __init__(self, now_s: float, *, wall_offset_s: float = 0.0) -> None:
        self.now_s = now_s
        self._wall_offset_s = wall_offset_s

    def as_clock(self) -> Clock:
        return Clock(lambda: self.now_s, lambda: self.now_s + self._wall_offset_s, self._wait)

    def _wait(self, duration_s: float) -> None:
        self.now_s += duration_s
