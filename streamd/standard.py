"""What a similarity must reach to be called somebody: one stated false-accept rate, over the people searched. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streamd.domain import Decision, Identity, Match, Population, Verdict
from streamd.scores import ScoreModel, comparisons

LOOKALIKE_GAP = 0.05
"""Somebody's threshold lies this far above their nearest other person: the photographs of two people who look alike
scatter about so much around their mean similarity (standard deviation 0.049; ``docs/accuracy.md``)."""
LOOKALIKE_MOST = 0.1
"""At most so much is added to a threshold for a look-alike; closer people are told apart by the margin."""


_ONE = Population(1, 1)


def _nobody(person_id: str) -> float | None:
    return None


@dataclass(frozen=True, slots=True)
class Standard:
    """How sure is sure enough, for one camera's gallery."""

    scores: ScoreModel
    target_far: float
    """Share of strangers' appearances that may be given a name."""
    margin: float
    """How much more similar the best person must be than the second best, on SFace's scale."""
    population: Population = _ONE
    """Who is searched."""
    fixed: float | None = None
    """A threshold that the user set in place of a rate."""
    nearest_other: Callable[[str], float | None] = _nobody
    """Similarity of a person's faces to the nearest face of anybody else in the gallery."""

    @property
    def comparisons(self) -> float:
        return comparisons(self.population.people, self.population.faces)

    def threshold(self, *, grey: bool = False) -> float:
        """For everybody without a look-alike.

        Args:
            grey: Whether the probe has no colour.
        """
        if self.fixed is not None:
            return self.fixed
        return self.scores.of(grey=grey).threshold(self.target_far, self.comparisons)

    def threshold_for(self, person_id: str, *, grey: bool = False) -> float:
        """For one person: stricter where somebody else in the gallery looks like them."""
        least = self.threshold(grey=grey)
        nearest = self.nearest_other(person_id) if self.fixed is None else None
        if nearest is None:
            return least
        scale = self.scores.scale
        return max(least, min(nearest + LOOKALIKE_GAP * scale, least + LOOKALIKE_MOST * scale))

    @property
    def least_margin(self) -> float:
        """The margin that a name needs, on this embedder's scale."""
        return self.margin * self.scores.scale

    def probability(self, similarity: float, *, grey: bool = False) -> float:
        """How likely a match of this similarity is true."""
        return self.scores.of(grey=grey).probability(similarity, self.comparisons)

    def judge(self, matches: Sequence[Match], *, grey: bool = False) -> Decision:
        """The verdict over one view, from the people nearest to it, best first."""
        best = matches[0] if matches else None
        runner_up = matches[1] if len(matches) > 1 else None
        if best is None or best.similarity < self.threshold_for(best.person_id, grey=grey):
            return Decision(Verdict.UNKNOWN, None, runner_up, best, 1)
        if margin_of(best, runner_up) < self.least_margin:
            return Decision(Verdict.AMBIGUOUS, None, runner_up, best, 1)
        return Decision(Verdict.KNOWN, self.identity(best, runner_up, grey=grey), runner_up, best, 1)

    def identity(self, best: Match, runner_up: Match | None, *, grey: bool = False) -> Identity:
        return Identity(
            person_id=best.person_id,
            name=best.name,
            similarity=best.similarity,
            threshold=self.threshold_for(best.person_id, grey=grey),
            margin=margin_of(best, runner_up),
            probability=self.probability(best.similarity, grey=grey),
        )


def margin_of(best: Match, runner_up: Match | None) -> float:
    """Similarity above the best other person's; 1.0 where there is no other."""
    return best.similarity - runner_up.similarity if runner_up else 1.0
