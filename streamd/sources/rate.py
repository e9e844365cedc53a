"""How many packets of a live stream really come in a second. Pure: time is an argument.

What a stream says of itself is often wrong: a camera exposes longer at night, and MJPEG says nothing at all. Whoever
counts packets in place of time would hold back too many, or sleep for too long.
"""

from __future__ import annotations

MEASURED_S = 5.0
"""Over so long: a moment's hiccup is no other rate."""


class PacketRate:
    """Begins with what the stream says."""

    def __init__(self, nominal_fps: float) -> None:
        self.fps = nominal_fps
        self._since_s: float | None = None
        self._came = 0

    def came(self, now_s: float) -> None:
        """Another packet is here."""
        if self._since_s is None:
            self._since_s = now_s
            return
        self._came += 1
        if now_s - self._since_s >= MEASURED_S:
            self.fps = self._came / (now_s - self._since_s)
            self._since_s, self._came = now_s, 0
