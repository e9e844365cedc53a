"""When a frame of a recording is due, and when a lost camera is tried again. Pure: the clock is given."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from streamd.backoff import doubled_s
from streamd.config import CaptureConfig

MAX_STEP_S = 5.0
"""Time stamps that jump by more, or backwards, count as one ordinary frame interval. While nothing moves only key
frames are given, up to four seconds apart."""
SLACK_S = 0.5
"""How late a live recording (HLS) may be before its schedule is moved."""
LONGEST_DENIAL = 10.0
"""Of ``retry_max_s``: the longest pause after a wrong password. Whoever corrects it in the configuration does not wait,
for the camera's process begins anew."""
FALLBACK_FPS = 25.0
KEY_PATIENCE = 6
"""Of ``read_timeout_s``: so long the first key frame is awaited while packets come. Recorders and cameras that save
bytes have them up to 20 s apart, and not all send one to whoever connects."""


@dataclass(frozen=True, slots=True)
class Clock:
    """What a source knows of time. Tests give their own."""

    now_s: Callable[[], float] = time.monotonic
    wall_s: Callable[[], float] = time.time
    wait: Callable[[float], None] = time.sleep

    def wall_of(self, at_s: float) -> float:
        """The Unix seconds of a monotonic moment."""
        return self.wall_s() - (self.now_s() - at_s)


def retry_pause_s(config: CaptureConfig, failures: int, denials: int = 0) -> float:
    """The pause before a lost camera is tried again, after so many failures in a row.

    Exponential, with up to a quarter of jitter, so that cameras behind one switch do not return as one. After
    ``denials`` in a row it begins where else it ends: cameras lock out whoever gives five wrong passwords in a while.
    """
    if denials:
        pause_s = doubled_s(config.retry_max_s, config.retry_max_s * LONGEST_DENIAL, denials - 1)
    else:
        pause_s = doubled_s(config.retry_min_s, config.retry_max_s, failures - 1)
    return pause_s * (1 + 0.25 * random.random())


class Pacer:
    """Turns media time stamps into monotonic moments, over loops and jumps.

    A reader that is late gets its frames at once until it has caught up; with ``live`` the schedule moves
    instead, because what was missed will not come again.
    """

    def __init__(self, *, fps: float, live: bool = False) -> None:
        self._interval_s = min(1.0 / (fps if fps > 0 else FALLBACK_FPS), MAX_STEP_S)
        self._live = live
        self._media_s: float | None = None
        self._due_s: float | None = None

    def due_s(self, media_s: float | None, now_s: float) -> float:
        """When the frame stamped ``media_s`` (None: without a stamp) is due. Call once per frame, in order."""
        if self._due_s is None:
            self._due_s = now_s
        else:
            self._due_s += self._step_s(media_s)
        if self._live and now_s - self._due_s > SLACK_S:
            self._due_s = now_s
        self._media_s = media_s
        return self._due_s

    def begin_again(self, now_s: float) -> None:
        """The recording starts again: what was held back at its end, and never given, has taken its time."""
        if self._due_s is not None:
            self._due_s = max(self._due_s, now_s)

    def late_s(self, media_s: float | None, now_s: float) -> float:
        """How late a frame stamped ``media_s`` would be, were it next; changes nothing."""
        return 0.0 if self._due_s is None else now_s - self._due_s - self._step_s(media_s)

    def _step_s(self, media_s: float | None) -> float:
        if media_s is None or self._media_s is None:
            return self._interval_s
        step_s = media_s - self._media_s
        return step_s if 0 < step_s <= MAX_STEP_S else self._interval_s
