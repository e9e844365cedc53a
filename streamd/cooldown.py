"""Who was told of a moment ago is not told of again. Pure: time is that of the events."""

from __future__ import annotations

from datetime import datetime

from streamd.events import Event, EventType

_REPEATED = frozenset({EventType.FACE_APPEARED, EventType.FACE_IDENTIFIED, EventType.FACE_UNKNOWN})
_BOUND = 10_000
"""People and cameras that are remembered; those told of longest ago go first."""


class Cooldown:
    """For one receiver. A correction, a departure and what happens to cameras are always told."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._told: dict[tuple[str, str, str], float] = {}

    def allows(self, event: Event) -> bool:
        """Whether to tell of this event; if so it is remembered."""
        if not self._seconds or event.type not in _REPEATED:
            return True
        at_s = _seconds(event.at)
        key = (event.type.value, event.camera, _who(event))
        before = self._told.get(key)
        if before is not None and 0 <= at_s - before < self._seconds:
            return False
        self._told.pop(key, None)
        self._told[key] = at_s
        while len(self._told) > _BOUND:
            del self._told[next(iter(self._told))]
        return True


def _who(event: Event) -> str:
    return str((event.identity or {}).get("id") or event.stranger or "")


def _seconds(at: str) -> float:
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError:
        return 0.0
