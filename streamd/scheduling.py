"""Which camera is asked for a frame next. Pure: time is an argument.

Each camera has an interval that its state deserves (a face without a verdict, faces with verdicts, motion, nothing).
A camera is due when its interval has passed and it has something new. Among the due the most overdue *relative to
its interval* comes first, so that under load all slow down in proportion and none starves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from streamd.config import DetectionConfig


class Attention(StrEnum):
    """What a camera's latest look showed."""

    UNDECIDED = "undecided"
    TRACKED = "tracked"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Intervals:
    """Seconds between looks at one camera; see ``DetectionConfig``."""

    undecided_s: float
    tracked_s: float
    motion_s: float
    still_s: float
    motion_share: float

    @classmethod
    def of(cls, detection: DetectionConfig) -> Intervals:
        return cls(
            undecided_s=detection.undecided_interval_s,
            tracked_s=detection.tracked_interval_s,
            motion_s=detection.motion_interval_s,
            still_s=detection.still_interval_s,
            motion_share=detection.motion_share,
        )


@dataclass(slots=True)
class _Camera:
    intervals: Intervals
    attention: Attention = Attention.NOTHING
    ready: bool = False
    motion: float = 0.0
    looked_at_s: float = float("-inf")
    granted_at_s: float | None = None
    lost_grants: int = field(default=0)

    def interval_s(self) -> float:
        if self.attention is Attention.UNDECIDED:
            return self.intervals.undecided_s
        if self.attention is Attention.TRACKED:
            return self.intervals.tracked_s
        moving = self.motion >= self.intervals.motion_share
        return self.intervals.motion_s if moving else self.intervals.still_s


class Scheduler:
    """Grants frames to cameras, at most ``max_batch`` under way at once."""

    def __init__(self, cameras: Mapping[str, Intervals], *, max_batch: int, grant_timeout_s: float = 1.0) -> None:
        self._cameras = {name: _Camera(intervals) for name, intervals in cameras.items()}
        self._max_batch = max_batch
        self._grant_timeout_s = grant_timeout_s

    def replace(self, cameras: Mapping[str, Intervals]) -> None:
        """Other cameras, or other intervals; those that stay keep their state."""
        kept = self._cameras
        self._cameras = {name: kept.get(name) or _Camera(intervals) for name, intervals in cameras.items()}
        for name, intervals in cameras.items():
            self._cameras[name].intervals = intervals

    def knows(self, camera: str) -> bool:
        return camera in self._cameras

    def ready(self, camera: str, motion: float) -> None:
        """The camera has something newer than its last frame."""
        entry = self._cameras[camera]
        entry.ready = True
        entry.motion = motion

    def gone(self, camera: str) -> None:
        """The camera has nothing any more."""
        entry = self._cameras[camera]
        entry.ready = False
        entry.granted_at_s = None
        entry.attention = Attention.NOTHING

    def arrived(self, camera: str) -> None:
        """The frame that was asked for is here; its slot is free once it is ``looked`` at."""
        self._cameras[camera].granted_at_s = None

    def granted(self, camera: str, at_s: float) -> None:
        """Something else was asked of the camera: it is not asked for a frame until it has ``arrived``."""
        self._cameras[camera].granted_at_s = at_s

    def looked(self, camera: str, attention: Attention, at_s: float) -> None:
        """A frame captured at ``at_s`` was worked on."""
        entry = self._cameras[camera]
        entry.attention = attention
        entry.looked_at_s = at_s

    @property
    def under_way(self) -> int:
        return sum(entry.granted_at_s is not None for entry in self._cameras.values())

    def grants(self, now_s: float, *, in_hand: int = 0) -> list[str]:
        """Cameras to ask now, most overdue first; ``in_hand`` frames have arrived and wait for work."""
        self._forget_lost(now_s)
        room = self._max_batch - self.under_way - in_hand
        if room <= 0:
            return []
        due = sorted(
            (-self._lateness(entry, now_s), name)
            for name, entry in self._cameras.items()
            if entry.ready and entry.granted_at_s is None and now_s >= entry.looked_at_s + entry.interval_s()
        )
        chosen = [name for _, name in due[:room]]
        for name in chosen:
            self._cameras[name].granted_at_s = now_s
            self._cameras[name].ready = False
        return chosen

    def refused(self, camera: str) -> None:
        """The grant could not be delivered."""
        self.gone(camera)

    def next_s(self) -> float | None:
        """When the next camera that is ready becomes due, or a grant is given up; None while nobody is."""
        moments = [
            entry.granted_at_s + self._grant_timeout_s
            if entry.granted_at_s is not None
            else entry.looked_at_s + entry.interval_s()
            for entry in self._cameras.values()
            if entry.ready or entry.granted_at_s is not None
        ]
        return min(moments, default=None)

    def lost_grants(self) -> dict[str, int]:
        """Grants that were never answered, by camera, since the last call."""
        lost = {name: entry.lost_grants for name, entry in self._cameras.items() if entry.lost_grants}
        for name in lost:
            self._cameras[name].lost_grants = 0
        return lost

    def _forget_lost(self, now_s: float) -> None:
        for entry in self._cameras.values():
            if entry.granted_at_s is not None and now_s - entry.granted_at_s >= self._grant_timeout_s:
                entry.granted_at_s = None
                entry.lost_grants += 1

    @staticmethod
    def _lateness(entry: _Camera, now_s: float) -> float:
        return (now_s - entry.looked_at_s) / max(entry.interval_s(), 1e-3)
