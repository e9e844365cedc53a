"""Who a track is: its views, what they say together, and when that is enough. Pure: no clock, no gallery, no model.

A name needs three things of the track's fused vector and its views: similarity at or above the threshold, a margin
over the best *other* person, and at least ``min_views`` views each of which puts the same person first. One good
picture that happens to look like somebody is not enough; neither are many bad ones. A name is held until the evidence
falls clearly below the threshold or somebody else wins, so that it does not flicker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from streamd.config import RecognitionConfig
from streamd.domain import Decision, Identity, Match, Verdict

HOLD = 0.06
"""A name once given is kept until the fused similarity is this far below the threshold."""
BETTER = 1.1
"""A decided or full track is embedded again only for a view of this many times its worst view's quality."""


@dataclass(frozen=True, slots=True)
class Policy:
    """``RecognitionConfig`` with the threshold settled."""

    threshold: float
    margin: float
    min_views: int
    unknown_after_views: int
    max_views: int
    recheck_s: float
    min_quality: float

    @classmethod
    def of(cls, config: RecognitionConfig, model_threshold: float) -> Policy:
        return cls(
            threshold=model_threshold if config.threshold is None else config.threshold,
            margin=config.margin,
            min_views=config.min_views,
            unknown_after_views=max(config.unknown_after_views, config.min_views),
            max_views=max(config.max_views, config.min_views, config.unknown_after_views),
            recheck_s=config.recheck_s,
            min_quality=config.min_quality,
        )


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One embedded look at a face."""

    vector: NDArray[np.float32]
    quality: float
    at_s: float
    best: Match | None = None
    """The person that this view alone puts first."""


class Evidence:
    """The views of one track and the verdict they carry."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.views: list[View] = []
        self.decision = Decision(Verdict.PENDING)
        self.embedded_at_s = float("-inf")

    def wants(self, quality: float, at_s: float) -> bool:
        """Whether a view of this quality is worth embedding now."""
        if quality < self.policy.min_quality:
            return False
        if self.decision.verdict is not Verdict.PENDING:
            return at_s - self.embedded_at_s >= self.policy.recheck_s
        if len(self.views) < self.policy.max_views:
            return True
        worst = min(view.quality for view in self.views)
        return quality > BETTER * worst or at_s - self.embedded_at_s >= self.policy.recheck_s

    def add(self, view: View) -> None:
        """Keep a view; the worst makes room, the new one excepted, so that a face that changed is noticed."""
        self.embedded_at_s = view.at_s
        if len(self.views) >= self.policy.max_views:
            self.views.remove(min(self.views, key=lambda kept: kept.quality))
        self.views.append(view)

    def fused(self) -> NDArray[np.float32]:
        """The quality-weighted mean of the views, of unit length."""
        weights = np.array([view.quality for view in self.views], np.float32)
        mean = weights @ np.stack([view.vector for view in self.views])
        unit: NDArray[np.float32] = (mean / max(float(np.linalg.norm(mean)), 1e-9)).astype(np.float32)
        return unit

    def rescore(self, bests: Sequence[Match | None]) -> None:
        """The gallery changed: what each view alone says now, in the order of ``views``."""
        self.views = [replace(view, best=best) for view, best in zip(self.views, bests, strict=True)]

    def decide(self, matches: Sequence[Match]) -> Decision:
        """Weigh the people nearest to ``fused()``, best first, and remember the verdict."""
        self.decision = self._weigh(matches)
        return self.decision

    def _weigh(self, matches: Sequence[Match]) -> Decision:
        best = matches[0] if matches else None
        runner_up = matches[1] if len(matches) > 1 else None
        views = len(self.views)
        if best is not None and self._believes(best, runner_up):
            identity = self.identity(best, runner_up)
            return Decision(Verdict.KNOWN, identity, runner_up, best, views)
        held = self.decision.verdict is Verdict.UNKNOWN
        enough = views >= self.policy.unknown_after_views or self.decision.verdict is Verdict.KNOWN
        verdict = Verdict.UNKNOWN if held or enough else Verdict.PENDING
        return Decision(verdict, None, runner_up, best, views)

    def _believes(self, best: Match, runner_up: Match | None) -> bool:
        policy = self.policy
        margin = best.similarity - runner_up.similarity if runner_up else 1.0
        known = self.decision.identity
        if known is not None and known.person_id == best.person_id:
            return best.similarity >= policy.threshold - HOLD and margin >= policy.margin / 2
        supporting = sum(v.best is not None and v.best.person_id == best.person_id for v in self.views)
        return best.similarity >= policy.threshold and margin >= policy.margin and supporting >= policy.min_views

    def identity(self, best: Match, runner_up: Match | None) -> Identity:
        return Identity(
            person_id=best.person_id,
            name=best.name,
            similarity=best.similarity,
            threshold=self.policy.threshold,
            margin=best.similarity - runner_up.similarity if runner_up else 1.0,
        )


def one_place_each(decisions: Mapping[int, Decision]) -> dict[int, Decision]:
    """Among the faces of one frame a person is at most once: the most similar keeps the name, others lose it.

    Args:
        decisions: by track id, of faces seen in the same frame.
    """
    holder: dict[str, int] = {}
    for track, decision in decisions.items():
        if decision.identity is None:
            continue
        person = decision.identity.person_id
        rival = decisions[holder[person]].identity if person in holder else None
        if rival is None or decision.identity.similarity > rival.similarity:
            holder[person] = track
    return {
        track: decision
        if decision.identity is None or holder[decision.identity.person_id] == track
        else replace(decision, verdict=Verdict.UNKNOWN, identity=None)
        for track, decision in decisions.items()
    }
