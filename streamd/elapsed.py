"""How much of a film has passed, by time stamps that may go back where recordings were joined, or be missing. Pure."""

from __future__ import annotations

USUAL_FPS = 25.0
"""Where a film does not say."""


class Elapsed:
    """Call once for each frame, in order."""

    def __init__(self, fps: float) -> None:
        """``fps`` are the film's pictures a second; 0 where it does not say."""
        self._interval_s = 1 / (fps or USUAL_FPS)
        self._zero_s: float | None = None
        """The stamp of the first frame, had none gone back."""
        self._media_s = self._at_s = 0.0

    def at_s(self, media_s: float) -> float:
        """Seconds since the first frame. One whose stamp is not later than the last is taken for the next one."""
        if self._zero_s is None:
            self._zero_s = media_s
        elif media_s <= self._media_s:
            self._zero_s = media_s - self._at_s - self._interval_s
        self._media_s, self._at_s = media_s, media_s - self._zero_s
        return self._at_s
