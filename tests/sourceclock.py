"""A clock that moves only when it is waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streamd.sources.demuxing import Demuxer
from streamd.sources.pacing import Clock

if TYPE_CHECKING:
    from streamd.sources.demuxing import Packet


class FakeClock:
    def __init__(self, now_s: float, *, wall_offset_s: float = 0.0) -> None:
        self.now_s = now_s
        self.slept_s = 0.0
        self._wall_offset_s = wall_offset_s

    def as_clock(self) -> Clock:
        return Clock(lambda: self.now_s, lambda: self.now_s + self._wall_offset_s, self._wait)

    def _wait(self, duration_s: float) -> None:
        self.now_s += duration_s
        self.slept_s += duration_s


class LiveFile:
    """Has files' packets come as a live camera's would, ``fps`` a second: the clock moves while one is waited for, and
    what is not fetched waits in a queue that grows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, clock: FakeClock, *, fps: float) -> None:
        self.late_s = 0.0
        """How long the packet fetched last had been waiting."""
        self.stalls: dict[int, float] = {}
        """By the number of a packet: for how long nothing comes before it."""
        self._clock, self._fps, self._due_s = clock, fps, clock.now_s
        self._sent = 0
        self._next, self._open = Demuxer.next, Demuxer.open
        monkeypatch.setattr(Demuxer, "next", lambda demuxer: self.next(demuxer))
        monkeypatch.setattr(Demuxer, "open", lambda demuxer: self.open(demuxer))

    def open(self, demuxer: Demuxer) -> None:
        self._open(demuxer)
        demuxer.live = True

    def next(self, demuxer: Demuxer) -> Packet | None:
        self._due_s += 1 / self._fps + self.stalls.get(self._sent, 0.0)
        self._sent += 1
        self.late_s = max(0.0, self._clock.now_s - self._due_s)
        self._clock.now_s = max(self._clock.now_s, self._due_s)
        return self._next(demuxer)
