"""What is known of one camera's faces now, and who was there a moment ago."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from streamd.appearances import Appearance
from streamd.config import CameraConfig
from streamd.domain import Box, Frame, Scope, Track
from streamd.interfaces import Tracker
from streamd.reassociation import continued, crossing, exchanged, may_meet
from streamd.recognition import Evidence, Policy
from streamd.scheduling import Attention
from streamd.scores import ScoreModel
from streamd.tracking import KalmanTracker
from streamd.zones import Zones

if TYPE_CHECKING:
    from streamd.domain import Vector

LOST_S = 0.6
"""A track found again after this long may be somebody else who came to the same place."""
OTHER_VIEWS = 2
"""A face is somebody else's than its track's if so many views in a row are more likely another person's."""


class CameraWatch:
    """One camera's tracker, appearances and latest frame."""

    def __init__(self, name: str, config: CameraConfig, policy: Policy, ids: Iterator[int]) -> None:
        """``ids`` numbers the tracks of this camera for as long as the process lives."""
        self.name = name
        self.config = config
        self.policy = policy
        self.scope = Scope.of(config.search)
        """Whom the gallery is searched for."""
        self.zones = Zones(config.zones)
        self._ids = ids
        self._epoch = ""
        self.tracker: Tracker = KalmanTracker(config.tracking, ids)
        self.appearances: dict[int, Appearance] = {}
        """Of faces that are followed, by track."""
        self.absent: list[Appearance] = []
        """Of faces that are gone, and may come back."""
        self.last: Frame | None = None
        self.found: list[Box] = []
        """Every face in that frame."""
        self.searched_at_s = -math.inf
        """Of the last frame that was searched as a whole."""
        self._crossing: set[int] = set()
        self._doubted: dict[int, int] = {}
        """Tracks that may have gone over to somebody else; the number of views in a row that say so."""
        self._recent: dict[int, Vector] = {}
        """The last views of doubted tracks."""

    @property
    def attention(self) -> Attention:
        """How often it deserves to be looked at."""
        if self.undecided or self.close_together:
            return Attention.UNDECIDED
        return Attention.TRACKED if self.appearances else Attention.NOTHING

    @property
    def close_together(self) -> bool:
        """Whether two people may soon be mistaken for each other."""
        return may_meet([a.track for a in self.appearances.values()])

    @property
    def undecided(self) -> bool:
        """Whether somebody is followed without a verdict."""
        return any(not a.decided for a in self.appearances.values())

    @property
    def awaits(self) -> bool:
        """Whether a new face may be somebody who was there a moment ago."""
        return bool(self.absent) or any(map(_is_lost, self.appearances.values()))

    def doubts(self, track: int) -> bool:
        """Whether a new view of this face is needed to say whose it is."""
        return track in self._doubted and track not in self._crossing

    def unsure(self, track: int) -> bool:
        """Whether this face may be somebody else's than its story's."""
        return track in self._doubted

    def wants_view(self, at_s: float) -> bool:
        """Whether a good view of somebody who is followed would be embedded now."""
        return any(a.evidence.wants(1.0, at_s) or self.doubts(track) for track, a in self.appearances.items())

    def start_over(self) -> list[Appearance]:
        """Nobody is followed or awaited any more; returns those who were."""
        gone = [*self.absent, *self.appearances.values()]
        self.tracker = KalmanTracker(self.config.tracking, self._ids)
        self.appearances, self.absent = {}, []
        self._crossing, self._doubted, self._recent = set(), {}, {}
        return gone

    def follow(self, tracks: Sequence[Track], epoch: str) -> None:
        """Begin and continue appearances."""
        self._epoch = epoch
        for track in tracks:
            if known := self.appearances.get(track.id):
                if track.seen_at_s - known.track.seen_at_s > LOST_S:
                    self._doubted.setdefault(track.id, 0)
                known.track = track
            else:
                self._begin(track, track.id)
        confirmed = {track.id: track.box for track in tracks if track.confirmed}
        self._crossing = crossing(confirmed)
        for crossed in self._crossing:
            self._doubted.setdefault(crossed, 0)

    def part(self, ended: Sequence[Track], at_s: float) -> list[Appearance]:
        """These are not followed any more; returns those who have left for good, also of those who went before."""
        left = []
        for track in ended:
            self._forget_doubt(track.id)
            if (appearance := self.appearances.pop(track.id, None)) is None:
                continue
            appearance.track = track
            if appearance.appeared and appearance.evidence.views and self.config.tracking.reappear_s:
                self.absent.append(appearance)
            else:
                left.append(appearance)
        return left + self._overdue(at_s)

    def no_longer(self, gone: Collection[Appearance]) -> None:
        """These are not awaited any more."""
        self.absent = [a for a in self.absent if a not in gone]

    def reunite(self, views: Mapping[int, Vector], scores: ScoreModel) -> set[int]:
        """Give faces to the stories that they belong to, by new views of them.

        Args:
            views: unit vectors by track, not yet among the evidence.

        Returns:
            Tracks whose view is not to be counted: it looks like somebody else, and one view more will say.
        """
        self._exchange(views, scores)
        waiting = self._split(views, scores)
        fresh = {t: v for t, v in views.items() if not self.appearances[t].evidence.views and t not in waiting}
        lost = {a.id: a for a in (*self.absent, *filter(_is_lost, self.appearances.values()))}
        memories = {key: a.evidence.fused() for key, a in lost.items()}
        for track, key in continued(fresh, memories, scores).items():
            if not self.appearances[track].appeared:
                self._continue(track, lost[key])
        for track in views:
            if track not in self._crossing and track not in waiting:
                self._forget_doubt(track)
        return waiting

    def recall(self, track: int, *, person: str | None, stranger: str | None) -> None:
        """A new face turned out to be this person: if they were there a moment ago, it is their story."""
        new = self.appearances[track]
        for absent in self.absent:
            told = absent.told.identity.person_id if absent.told.identity else None
            same_stranger = stranger is not None and absent.stranger == stranger
            if not new.appeared and ((person is not None and told == person) or same_stranger):
                views = new.evidence.views
                self._continue(track, absent)
                for view in views:
                    absent.evidence.add(view)
                return

    def _exchange(self, views: Mapping[int, Vector], scores: ScoreModel) -> None:
        self._recent |= {t: v for t, v in views.items() if t in self._doubted}
        known = {t: self.appearances[t] for t in self._doubted if t in self.appearances}
        memories = {t: a.evidence.fused() for t, a in known.items() if a.evidence.views}
        moves = exchanged(self._recent, memories, scores)
        moved = {track: self.appearances[source] for track, source in moves.items()}
        tracks = {track: self.appearances[track].track for track in moves}
        for track, appearance in moved.items():
            appearance.track = tracks[track]
            self.appearances[track] = appearance
            self._recent.pop(track, None)
            self._doubted[track] = 0

    def _split(self, views: Mapping[int, Vector], scores: ScoreModel) -> set[int]:
        """Begin a new story where a track has gone over to somebody else."""
        waiting = set()
        for track, view in views.items():
            appearance = self.appearances[track]
            if track not in self._doubted or track in self._crossing or not appearance.evidence.views:
                continue
            if scores.probability(float(view @ appearance.evidence.fused())) >= 0.5:
                continue
            self._doubted[track] += 1
            if self._doubted[track] < OTHER_VIEWS:
                waiting.add(track)
            else:
                self._begin(appearance.track, next(self._ids))  # the track's own number is the other's name
                if appearance.appeared:
                    self.absent.append(appearance)
        return waiting

    def _begin(self, track: Track, number: int) -> None:
        name = f"{self.name}-{self._epoch}-{number}"
        self.appearances[track.id] = Appearance(name, track, Evidence(self.policy), zoned=bool(self.config.zones))

    def _continue(self, track: int, earlier: Appearance) -> None:
        """The face on this track goes on with an earlier appearance."""
        new = self.appearances[track]
        if earlier in self.absent:
            self.absent.remove(earlier)
        else:
            gone = earlier.track.id
            self.appearances.pop(gone, None)
            self._forget_doubt(gone)
            self.tracker.drop(gone)
        earlier.go_on(new)
        self.appearances[track] = earlier

    def _overdue(self, at_s: float) -> list[Appearance]:
        keep_s = self.config.tracking.max_gap_s + self.config.tracking.reappear_s
        left = [a for a in self.absent if at_s - a.track.seen_at_s >= keep_s]
        self.absent = [a for a in self.absent if a not in left]
        return left

    def _forget_doubt(self, track: int) -> None:
        self._doubted.pop(track, None)
        self._recent.pop(track, None)


def _is_lost(appearance: Appearance) -> bool:
    """Whether a face that is still followed is not seen now, and would be known again."""
    return appearance.track.detection is None and bool(appearance.evidence.views)
