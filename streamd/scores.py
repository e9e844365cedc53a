"""What a similarity is worth: false-accept rates, thresholds and probabilities. Pure.

Nobody can say which cosine is "sure"; everybody can say how often a stranger may be given a name. So the user states a
false-accept rate, and the threshold follows from it, from the spread of the model's similarities between different
people, and from how many people a stranger is compared with: a threshold that one pair of photographs in a thousand
passes by accident is passed by every second stranger in front of a gallery of seven hundred.

Similarities between different people follow a normal distribution closely, as far out as was measured (one pair in
10,000; ``docs/accuracy.md``); beyond, the curve is extrapolated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist

_REPEAT_EXPONENT = 0.6
"""Several photos of one person are less than so many strangers: m photos raise the chance of a match by m ** 0.6."""
_HIGHEST, _LOWEST = 0.9999, 0.05
"""Thresholds stay within these: where even 1 would not keep strangers out, nobody is named."""
_IMPOSTOR_SPREAD, _GENUINE_WAY, _GENUINE_SPREAD = 0.098, 0.65, 0.133
"""SFace's spreads as shares of the distance between different people (0.089, 0.585 and 0.12 of 0.905). Some networks
find strangers similar by 0.1, others by 0.97; dlib's, at 0.835, was measured to have shares of 0.21, 0.70 and 0.13."""
_SFACE_APART = 0.905


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and standard deviation of a kind of similarities, taken as normally distributed."""

    mean: float
    std: float

    def upper_tail(self, similarity: float) -> float:
        """Share of them at or above ``similarity``."""
        return 0.5 * math.erfc((similarity - self.mean) / (self.std * math.sqrt(2)))

    def exceeded_by(self, share: float) -> float:
        """The similarity that this share of them reaches."""
        return self.mean - self.std * NormalDist().inv_cdf(share)

    def log_density(self, similarity: float) -> float:
        z = (similarity - self.mean) / self.std
        return -0.5 * z * z - math.log(self.std)


@dataclass(frozen=True, slots=True)
class ScoreModel:
    """How similar an embedder finds different people, and one person twice."""

    impostor: Spread
    genuine: Spread
    grey: ScoreModel | None = None
    """The same for a picture without colour against photographs with it; None where that makes no difference."""

    @classmethod
    def assumed(cls, pair_threshold: float) -> ScoreModel:
        """For a model of which no more is known than the similarity of the same person in two photographs.

        That threshold is taken to let one pair in a hundred pass, and everything to scale with the distance between
        different people as with SFace.
        """
        reach = _IMPOSTOR_SPREAD * NormalDist().inv_cdf(0.99)
        mean = (pair_threshold - reach) / (1 - reach)
        apart = 1 - mean
        return cls(Spread(mean, _IMPOSTOR_SPREAD * apart), Spread(mean + _GENUINE_WAY * apart, _GENUINE_SPREAD * apart))

    @property
    def scale(self) -> float:
        """The distance between different people, against SFace's: what margins between people are measured by."""
        return (1 - self.impostor.mean) / _SFACE_APART

    def of(self, *, grey: bool) -> ScoreModel:
        """The model for a picture with or without colour."""
        return self.grey if grey and self.grey is not None else self

    def false_accept_rate(self, similarity: float, comparisons: float = 1.0) -> float:
        """The chance that a stranger is this similar to somebody, given so many ``comparisons``."""
        return -math.expm1(comparisons * math.log1p(-min(self.impostor.upper_tail(similarity), 1 - 1e-12)))

    def threshold(self, far: float, comparisons: float = 1.0) -> float:
        """The similarity that a stranger reaches with the chance ``far``, compared with so many people."""
        each = -math.expm1(math.log1p(-far) / max(1.0, comparisons))
        return min(_HIGHEST, max(_LOWEST, self.impostor.exceeded_by(each)))

    def probability(self, similarity: float, comparisons: float = 1.0) -> float:
        """How likely a match is true, where a probe is as likely somebody of the gallery as a stranger.

        Bayes' rule over the two spreads; a similarity above the genuine mean counts as the mean, because beyond it the
        ratio of two normal densities no longer means anything.
        """
        at = min(similarity, self.genuine.mean)
        log_odds = self.genuine.log_density(at) - self.impostor.log_density(at) - math.log(max(1.0, comparisons))
        return 1 / (1 + math.exp(-max(-700.0, min(700.0, log_odds))))

    def with_impostor(self, impostor: Spread) -> ScoreModel:
        """The model with the spread that was measured on a user's own people."""
        shift = impostor.mean - self.impostor.mean
        factor = impostor.std / self.impostor.std
        grey = self.grey
        if grey is not None:
            grey = replace(grey, impostor=Spread(grey.impostor.mean + shift, grey.impostor.std * factor))
        return replace(self, impostor=impostor, grey=grey)


def comparisons(people: int, faces: int) -> float:
    """With how many strangers' single photos a search over these people compares."""
    if people <= 0:
        return 1.0
    return people * math.pow(max(1.0, faces / people), _REPEAT_EXPONENT)
