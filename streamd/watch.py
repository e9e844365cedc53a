"""What is known of one camera's faces now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from streamd.appearances import Appearance
from streamd.config import CameraConfig
from streamd.domain import Frame, Scope, Track
from streamd.recognition import Evidence, Policy
from streamd.scheduling import Attention
from streamd.tracking import KalmanTracker


class CameraWatch:
    """One camera's tracker, appearances and latest frame."""

    def __init__(self, name: str, config: CameraConfig, policy: Policy, ids: Iterator[int]) -> None:
        """``ids`` numbers the tracks of this camera for as long as the process lives."""
        self.name = name
        self.config = config
        self.policy = policy
        self.scope = Scope.of(config.search)
        """Whom the gallery is searched for."""
        self._ids = ids
        self.tracker = KalmanTracker(config.tracking, ids)
        self.appearances: dict[int, Appearance] = {}
        self.last: Frame | None = None

    @property
    def attention(self) -> Attention:
        if any(not a.decided for a in self.appearances.values()):
            return Attention.UNDECIDED
        return Attention.TRACKED if self.appearances else Attention.NOTHING

    def start_over(self) -> list[Track]:
        """Nobody is followed any more; returns the tracks that were."""
        self.tracker = KalmanTracker(self.config.tracking, self._ids)
        return [appearance.track for appearance in self.appearances.values()]

    def follow(self, tracks: Sequence[Track], epoch: str) -> None:
        """Begin and continue appearances."""
        for track in tracks:
            if known := self.appearances.get(track.id):
                known.track = track
            else:
                name = f"{self.name}-{epoch}-{track.id}"
                self.appearances[track.id] = Appearance(name, track, Evidence(self.policy))
