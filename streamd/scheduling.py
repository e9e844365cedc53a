"""Which camera is asked for a frame next. Pure: time is an argument.

Each camera has an interval that its state deserves (a face without a verdict, faces with verdicts, motion, nothing).
A camera is due when its interval has passed and it has something new. Among the due the most overdue *relative to
its interval* comes first, so that under load all slow down in proportion; one that waited ``STARVING_S`` comes before
all others, so that none starves.

How long cameras wait that are due is the strain on the worker, from which ``streamd.shedding`` decides what to do
without.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from streamd.config import DetectionConfig

STARVING_S = 3.0
"""A camera that has something new and was not looked at for so long is asked before any other."""
STARVES = 1e6
LEAST_INTERVAL_S = 1e-3
GRANT_TIMEOUT_S = 1.0
"""A grant that is not answered for so long is lost."""
SMOOTHING = 0.2
"""Weight of the latest answer in the averages of answering and working times."""


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
    ready_at_s: float | None = None
    """Since when it has something new."""
    motion: float = 0.0
    looked_at_s: float = -math.inf
    granted_at_s: float | None = None
    worked_before_s: float = 0.0
    """All work until then."""
    answer_s: float = 0.0
    """How long the worker waits for a frame, on average, beyond what it works meanwhile."""
    lost_grants: int = 0
    deserted: bool = False
    """Whether the last look was the first one that found nobody: one more soon makes sure, and tells the capture."""

    def interval_s(self, stretch: float) -> float:
        if self.attention is Attention.UNDECIDED:
            return self.intervals.undecided_s
        if self.attention is Attention.TRACKED:
            return self.intervals.tracked_s
        lively = self.moving or self.deserted
        return stretch * (self.intervals.motion_s if lively else self.intervals.still_s)

    @property
    def moving(self) -> bool:
        return self.motion >= self.intervals.motion_share


@dataclass(frozen=True, slots=True)
class Wait:
    """How long a camera waited that was due and had something new."""

    camera: str
    seconds: float
    share: float
    """Of its interval."""


def strain(waits: Sequence[Wait]) -> float | None:
    """The mean share; None where nobody was asked."""
    return sum(wait.share for wait in waits) / len(waits) if waits else None


class Scheduler:
    """Grants frames to cameras: about ``max_batch`` are under way at once.

    A camera that takes long to answer, because it is far away or waits for its next picture, counts for as much less as
    work on a frame is quicker than its answer: meanwhile others are asked.
    """

    def __init__(self, cameras: Mapping[str, Intervals], *, max_batch: int) -> None:
        self.stretch = 1.0
        """How many times longer cameras wait on which nobody is followed."""
        self._cameras = {name: _Camera(intervals) for name, intervals in cameras.items()}
        self._max_batch = max_batch
        self._work_s = 0.0
        """On a frame, on average."""
        self._worked_s = 0.0
        """In all."""
        self._waits: list[Wait] = []

    def replace(self, cameras: Mapping[str, Intervals]) -> None:
        """Other cameras, or other intervals; those that stay keep their state."""
        kept = self._cameras
        self._cameras = {name: kept.get(name) or _Camera(intervals) for name, intervals in cameras.items()}
        for name, intervals in cameras.items():
            self._cameras[name].intervals = intervals

    def knows(self, camera: str) -> bool:
        return camera in self._cameras

    def ready(self, camera: str, motion: float, at_s: float) -> None:
        """The camera has something newer than its last frame."""
        entry, before = self._cameras[camera], self._cameras[camera].moving
        entry.motion = motion
        if entry.ready_at_s is None or (entry.moving and not before):
            entry.ready_at_s = at_s  # it has not waited for what had not happened yet

    def gone(self, camera: str) -> None:
        """The camera has nothing any more."""
        entry = self._cameras[camera]
        entry.ready_at_s = None
        entry.granted_at_s = None
        entry.attention = Attention.NOTHING

    def arrived(self, camera: str, at_s: float) -> None:
        """What was asked for is here; its slot is free once it is ``looked`` at."""
        entry = self._cameras[camera]
        if entry.granted_at_s is not None:
            # Frames that came while the worker was busy were not slow: without this, waiting would beget waiting.
            idle_s = at_s - entry.granted_at_s - (self._worked_s - entry.worked_before_s)
            entry.answer_s += SMOOTHING * (max(0.0, idle_s) - entry.answer_s)
        entry.granted_at_s = None

    def granted(self, camera: str, at_s: float) -> None:
        """Something else was asked of the camera: it is not asked for a frame until it has ``arrived``."""
        self._grant(self._cameras[camera], at_s)

    def looked(self, camera: str, attention: Attention, at_s: float) -> None:
        """A frame captured at ``at_s`` was worked on."""
        entry = self._cameras[camera]
        entry.deserted = attention is Attention.NOTHING and entry.attention is not Attention.NOTHING
        entry.attention = attention
        entry.looked_at_s = at_s

    def worked(self, seconds: float) -> None:
        """Work on a frame took so long."""
        self._work_s += SMOOTHING * (seconds - self._work_s)
        self._worked_s += seconds

    def awaits(self, now_s: float, within_s: float) -> bool:
        """Whether a frame is under way that was asked for less than ``within_s`` ago."""
        granted = (entry.granted_at_s for entry in self._cameras.values())
        return any(at_s is not None and now_s - at_s < within_s for at_s in granted)

    def grants(self, now_s: float, *, in_hand: Collection[str] = ()) -> list[str]:
        """Cameras to ask now, most overdue first; frames of those ``in_hand`` have arrived and wait for work."""
        self._forget_lost(now_s)
        taken = len(in_hand) + self._taken(now_s)
        if taken >= self._max_batch:
            return []
        chosen = []
        for name in self._due(now_s):
            if name in in_hand:  # what it has next would be worked on together with this one, and not be any newer
                continue
            if taken >= self._max_batch:
                break
            entry = self._cameras[name]
            self._note_wait(name, entry, now_s)
            self._grant(entry, now_s)
            entry.ready_at_s = None
            taken += self._share(entry, now_s)
            chosen.append(name)
        return chosen

    def refused(self, camera: str) -> None:
        """The grant could not be delivered."""
        self.gone(camera)

    def next_s(self, now_s: float) -> float | None:
        """When the next camera that is ready can be asked, or a grant is given up; None while nobody is ready."""
        if self._taken(now_s) >= self._max_batch:
            return now_s + max(self._work_s, LEAST_INTERVAL_S)
        moments = [
            entry.granted_at_s + GRANT_TIMEOUT_S
            if entry.granted_at_s is not None
            else entry.looked_at_s + entry.interval_s(self.stretch)
            for entry in self._cameras.values()
            if entry.ready_at_s is not None or entry.granted_at_s is not None
        ]
        return min(moments, default=None)

    def waits(self) -> list[Wait]:
        """How long the cameras that were asked since the last call had waited."""
        waits, self._waits = self._waits, []
        return waits

    def lost_grants(self) -> dict[str, int]:
        """Grants that were never answered, by camera, since the last call."""
        lost = {name: entry.lost_grants for name, entry in self._cameras.items() if entry.lost_grants}
        for name in lost:
            self._cameras[name].lost_grants = 0
        return lost

    def _grant(self, entry: _Camera, at_s: float) -> None:
        entry.granted_at_s, entry.worked_before_s = at_s, self._worked_s

    def _due(self, now_s: float) -> list[str]:
        due = [
            (-self._lateness(entry, now_s), name)
            for name, entry in self._cameras.items()
            if entry.ready_at_s is not None
            and entry.granted_at_s is None
            and now_s >= entry.looked_at_s + entry.interval_s(self.stretch)
        ]
        return [name for _, name in sorted(due)]

    def _note_wait(self, name: str, entry: _Camera, now_s: float) -> None:
        if entry.ready_at_s is not None and entry.looked_at_s > -math.inf:
            interval_s = entry.interval_s(self.stretch)
            waited_s = max(0.0, now_s - max(entry.ready_at_s, entry.looked_at_s + interval_s))
            self._waits.append(Wait(name, waited_s, waited_s / max(interval_s, LEAST_INTERVAL_S)))

    def _taken(self, now_s: float) -> float:
        """How much of it all frames under way take."""
        return sum(self._share(e, now_s) for e in self._cameras.values() if e.granted_at_s is not None)

    def _share(self, entry: _Camera, now_s: float) -> float:
        """How much of the worker's attention a frame under way takes, while it comes."""
        waited_s = 0.0 if entry.granted_at_s is None else now_s - entry.granted_at_s
        answer_s = max(entry.answer_s, waited_s)
        return min(1.0, self._work_s / answer_s) if answer_s > 0 else 1.0

    def _forget_lost(self, now_s: float) -> None:
        for entry in self._cameras.values():
            if entry.granted_at_s is not None and now_s - entry.granted_at_s >= GRANT_TIMEOUT_S:
                entry.granted_at_s = None
                entry.lost_grants += 1

    def _lateness(self, entry: _Camera, now_s: float) -> float:
        """Relative to the interval; those that starve come first, longest waiting before the others."""
        waited_s = now_s - entry.looked_at_s
        if waited_s >= STARVING_S * max(1.0, entry.interval_s(1.0)):
            return STARVES + waited_s
        return waited_s / max(entry.interval_s(self.stretch), LEAST_INTERVAL_S)
