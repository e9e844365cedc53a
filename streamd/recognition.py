"""Who a track is: its views, what they say together, and when that is enough. Pure: no clock, no gallery, no model.

A name needs three things of the track's fused vector and its views: similarity at or above the threshold that follows
from the stated false-accept rate (``streamd.standard``), a margin over the best *other* person, and at least
``min_views`` views each of which puts the same person first. One good picture that happens to look like somebody is
not enough; neither are many bad ones. A name is held until the evidence falls clearly below the threshold or somebody
else wins, so that it does not flicker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from streamd.config import RecognitionConfig
from streamd.domain import Decision, Match, Verdict
from streamd.standard import Standard, margin_of

HOLD = 0.06
"""A name once given is kept until the fused similarity is this far below the threshold."""
SURE = 0.06
"""An answer is sure once the similarity is this far from the threshold, on SFace's scale; until then more views are
looked at."""
UNSURE_S = 0.4
"""Pause between views of a face whose verdict is not sure."""
SURE_RECHECKS = 2
"""Times ``recheck_s`` after which a face with a sure verdict is embedded again; tracks that may have changed hands
do not wait for it (``watch.doubts``)."""
LEAST_NOVELTY = 0.3
"""What a view counts that is the same as another, beside one that is like none (1.3): variety matters, and a poor view
is never kept for it alone."""
BETTER = 1.1
"""A decided or full track is embedded again only for a view of this many times its worst view's quality."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How many views of which kind are looked at, and when."""

    min_views: int
    unknown_after_views: int
    max_views: int
    recheck_s: float
    min_quality: float

    @classmethod
    def of(cls, config: RecognitionConfig) -> Policy:
        return cls(
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
    grey: bool = False
    """Whether the picture had no colour."""
    chip: NDArray[np.uint8] | None = None
    """The aligned face, 112 x 112, BGR."""


class Evidence:
    """The views of one track and the verdict they carry."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.views: list[View] = []
        self.decision = Decision(Verdict.PENDING)
        self.sure = False
        """Whether further views would hardly change the verdict."""
        self.embedded_at_s = float("-inf")
        self.changes = 0
        """Times that the views changed: without that, and with the same gallery, the verdict stays."""
        self._fused: NDArray[np.float32] | None = None
        self._wasted = 0
        """Looks that were embedded and turned out to say nothing."""

    def wants(self, quality: float, at_s: float) -> bool:
        """Whether a view of this quality is worth embedding now."""
        if quality < self.policy.min_quality:
            return False
        if self.decision.verdict is not Verdict.PENDING:
            return at_s - self.embedded_at_s >= self._pause_s()
        if len(self.views) + self._wasted < self.policy.max_views or at_s - self.embedded_at_s >= self.policy.recheck_s:
            return True
        return bool(self.views) and quality > BETTER * min(view.quality for view in self.views)

    def _pause_s(self) -> float:
        """Until a face with a verdict is embedded again."""
        recheck_s = self.policy.recheck_s
        if self.sure:
            return SURE_RECHECKS * recheck_s
        return min(UNSURE_S, recheck_s) if len(self.views) < self.policy.max_views else recheck_s

    def waste(self, at_s: float) -> None:
        """A look was embedded, and its vector says nothing; too many of them are not repeated at once."""
        self.embedded_at_s = at_s
        self._wasted += 1

    def add(self, view: View) -> None:
        """Keep a view; the one that says least makes room, the new one excepted, so that a face that changed is
        noticed."""
        self.embedded_at_s = view.at_s
        self._changed()
        if len(self.views) >= self.policy.max_views:
            del self.views[self._expendable()]
        self.views.append(view)

    def _expendable(self) -> int:
        """The view that is poor, or much like another one."""
        vectors = np.stack([view.vector for view in self.views])
        alike = vectors @ vectors.T
        np.fill_diagonal(alike, -1.0)
        novelty = 1.0 - alike.max(axis=1)
        worth = np.array([view.quality for view in self.views]) * (LEAST_NOVELTY + np.clip(novelty, 0, 1))
        return int(worth.argmin())

    def fused(self) -> NDArray[np.float32]:
        """The quality-weighted mean of the views, of unit length; not to be written to."""
        if self._fused is None:
            weights = np.array([view.quality for view in self.views], np.float32)
            mean = weights @ np.stack([view.vector for view in self.views])
            self._fused = (mean / max(float(np.linalg.norm(mean)), 1e-9)).astype(np.float32)
        return self._fused

    def _changed(self) -> None:
        self.changes += 1
        self._fused = None

    def rescore(self, bests: Sequence[Match | None]) -> None:
        """The gallery changed: what each view alone says now, in the order of ``views``."""
        self._changed()
        self.views = [replace(view, best=best) for view, best in zip(self.views, bests, strict=True)]

    @property
    def grey(self) -> bool:
        """Whether most views are without colour."""
        return 2 * sum(view.grey for view in self.views) > len(self.views)

    def decide(self, matches: Sequence[Match], standard: Standard) -> Decision:
        """Weigh the people nearest to ``fused()``, best first, and remember the verdict."""
        self.decision = self._weigh(matches, standard)
        self.sure = self._is_sure(standard)
        return self.decision

    def _is_sure(self, standard: Standard) -> bool:
        """Whether further views would hardly change the answer: it is clear of the threshold and of the next best."""
        best = self.decision.best
        if best is None:
            return self.decision.verdict is not Verdict.PENDING
        clear = SURE * standard.scores.scale
        above = best.similarity - standard.threshold_for(best.person_id, grey=self.grey)
        if self.decision.verdict is Verdict.KNOWN:
            return above >= clear and margin_of(best, self.decision.runner_up) >= 2 * standard.least_margin
        return self.decision.verdict is Verdict.UNKNOWN and above <= -clear

    def _weigh(self, matches: Sequence[Match], standard: Standard) -> Decision:
        best = matches[0] if matches else None
        runner_up = matches[1] if len(matches) > 1 else None
        views = len(self.views)
        if best is not None and self._believes(best, runner_up, standard):
            identity = standard.identity(best, runner_up, grey=self.grey)
            return Decision(Verdict.KNOWN, identity, runner_up, best, views)
        alone = standard.judge(matches, grey=self.grey).verdict
        if not self._is_settled(best, alone, standard):
            return Decision(Verdict.PENDING, None, runner_up, best, views)
        verdict = Verdict.AMBIGUOUS if alone is Verdict.AMBIGUOUS else Verdict.UNKNOWN
        return Decision(verdict, None, runner_up, best, views)

    def _is_settled(self, best: Match | None, alone: Verdict, standard: Standard) -> bool:
        """Whether no name means that there will be none: enough views, or a verdict that held until now.

        Somebody who is nearly similar enough is looked at for longer. ``alone`` is the verdict without the views' own
        opinions.
        """
        if self.decision.verdict is not Verdict.PENDING or len(self.views) >= self.policy.max_views:
            return True
        if len(self.views) < self.policy.unknown_after_views:
            return False
        if best is None or alone is Verdict.AMBIGUOUS:
            return True
        threshold = standard.threshold_for(best.person_id, grey=self.grey)
        return best.similarity < threshold - SURE * standard.scores.scale

    def _believes(self, best: Match, runner_up: Match | None, standard: Standard) -> bool:
        threshold = standard.threshold_for(best.person_id, grey=self.grey)
        margin = margin_of(best, runner_up)
        known = self.decision.identity
        if known is not None and known.person_id == best.person_id:
            held = threshold - HOLD * standard.scores.scale
            return best.similarity >= held and margin >= standard.least_margin / 2
        supporting = sum(v.best is not None and v.best.person_id == best.person_id for v in self.views)
        return best.similarity >= threshold and margin >= standard.least_margin and supporting >= self.policy.min_views


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
