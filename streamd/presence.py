"""Whether a camera is there, told as events, once per change. Pure but for the event's time stamp."""

from __future__ import annotations

import time
from collections.abc import Callable

from streamd.events import Event, EventType, new_id, timestamp

SILENT_AFTER_S = 6.0
"""A camera whose process says nothing for this long is offline; a restarted process is back well before."""


class Presence:
    """One camera's standing. A camera is neither online nor offline until it is first heard of."""

    def __init__(self, camera: str, *, wall_s: Callable[[], float] = time.time) -> None:
        self._camera = camera
        self._wall_s = wall_s
        self._online: bool | None = None
        self._heard_at_s: float | None = None

    def heard(self, now_s: float) -> Event | None:
        """A READY or a frame came."""
        self._heard_at_s = now_s
        if self._online:
            return None
        self._online = True
        return self._event(EventType.CAMERA_ONLINE, None)

    def gone(self, reason: str, message: str) -> Event | None:
        """The capture says that the camera is gone, or why it does not come."""
        if self._online is False or reason == "connecting":
            return None
        self._online = False
        return self._event(EventType.CAMERA_OFFLINE, message)

    def silent(self, now_s: float) -> bool:
        """Whether an online camera has said nothing for too long."""
        heard = self._heard_at_s
        return bool(self._online) and heard is not None and now_s - heard >= SILENT_AFTER_S

    def _event(self, kind: EventType, message: str | None) -> Event:
        return Event(kind, self._camera, timestamp(self._wall_s()), new_id(), message=message)
