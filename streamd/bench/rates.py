"""Error rates from scores: verification (pairs) and open-set identification. Pure.

A score is accepted when it is at or above the threshold. With few impostors a small false-accept rate cannot be
measured, only bounded: ``threshold_at_far`` then lies just above every impostor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]

FOLDS = 10


def threshold_at_far(impostor: Scores, far: float) -> float:
    """The smallest threshold that at most ``floor(far * n)`` of n impostor scores reach.

    It lies just above the first score that must be refused, so that a genuine score there is refused too.
    """
    if not len(impostor):
        return -math.inf
    descending = np.sort(impostor)[::-1]
    # Without the nudge a rate such as 0.29 * 100 would lose one to rounding.
    refused = int(far * len(impostor) + 1e-9)
    return float(np.nextafter(descending[refused], math.inf)) if refused < len(impostor) else -math.inf


def rate_at(scores: Scores, threshold: float) -> float:
    """Share of the scores at or above the threshold; NaN where there are none."""
    return float((scores >= threshold).mean()) if len(scores) else math.nan


def tar_at_far(genuine: Scores, impostor: Scores, far: float) -> float:
    """True-accept rate at the threshold of a false-accept rate."""
    return rate_at(genuine, threshold_at_far(impostor, far))


def roc(genuine: Scores, impostor: Scores) -> tuple[Scores, Scores, Scores]:
    """Thresholds, descending, with the false- and the true-accept rate at each."""
    thresholds = np.unique(np.concatenate([genuine, impostor]))[::-1]
    far = 1 - np.searchsorted(np.sort(impostor), thresholds, side="left") / max(1, len(impostor))
    tar = 1 - np.searchsorted(np.sort(genuine), thresholds, side="left") / max(1, len(genuine))
    return thresholds, far, tar


def equal_error_rate(genuine: Scores, impostor: Scores) -> float:
    """Where as many strangers are accepted as friends are refused: the mean of both rates where they are nearest."""
    _, far, tar = roc(genuine, impostor)
    nearest = int(np.argmin(np.abs(far - (1 - tar))))
    return float((far[nearest] + 1 - tar[nearest]) / 2)


def area_under(genuine: Scores, impostor: Scores) -> float:
    """The chance that a genuine score is above an impostor's (ties count half)."""
    ordered = np.sort(impostor)
    below = np.searchsorted(ordered, genuine, side="left")
    upto = np.searchsorted(ordered, genuine, side="right")
    return float((below + upto).mean() / 2 / len(impostor))


@dataclass(frozen=True, slots=True)
class FoldedAccuracy:
    """Accuracy of pairs, each fold judged by the best threshold of the other nine."""

    accuracy: float
    std: float
    """Between folds."""
    threshold: float
    """Mean over the folds."""


def folded_accuracy(scores: Scores, same: NDArray[np.bool_], folds: NDArray[np.intp]) -> FoldedAccuracy:
    """As LFW's protocol has it (Huang et al., 2007, view 2).

    Args:
        scores: One per pair.
        same: Whether the pair shows one person.
        folds: Which fold each pair is in.
    """
    accuracies, thresholds = [], []
    for fold in np.unique(folds):
        held = folds == fold
        threshold = best_threshold(scores[~held], same[~held])
        accuracies.append(float(((scores[held] >= threshold) == same[held]).mean()))
        thresholds.append(threshold)
    return FoldedAccuracy(float(np.mean(accuracies)), float(np.std(accuracies)), float(np.mean(thresholds)))


def best_threshold(scores: Scores, same: NDArray[np.bool_]) -> float:
    """The threshold that judges most pairs rightly: the middle of the best gap between neighbouring scores."""
    order = np.argsort(scores, kind="stable")
    ordered, genuine = scores[order], same[order]
    # Correct with the threshold below the i-th score: impostors before it and genuine ones from it on.
    right = np.concatenate([[0], np.cumsum(~genuine)]) + genuine.sum() - np.concatenate([[0], np.cumsum(genuine)])
    # Of two neighbouring floats the middle is one of them: a threshold must be above the lower.
    middles = np.maximum((ordered[:-1] + ordered[1:]) / 2, np.nextafter(ordered[:-1], np.inf))
    edges = np.concatenate([[ordered[0] - 1e-6], middles, [ordered[-1] + 1e-6]])
    possible = np.concatenate([[True], ordered[:-1] < ordered[1:], [True]])
    best = np.flatnonzero(possible & (right == right[possible].max()))
    return float(edges[best[len(best) // 2]])


def assign_folds(same: Sequence[bool] | NDArray[np.bool_]) -> NDArray[np.intp]:
    """Ten folds by the order of the file: contiguous tenths where each holds its share of both kinds, as in LFW's
    list; else the pairs of each kind are dealt to contiguous tenths of their own."""
    kinds = np.asarray(same, bool)
    count = len(kinds)
    tenths = np.arange(count) * FOLDS // count
    share = kinds.mean()
    shares = np.array([kinds[tenths == fold].mean() if (tenths == fold).any() else share for fold in range(FOLDS)])
    if np.all(np.abs(shares - share) <= 0.1 * min(share, 1 - share)):
        return tenths
    folds = np.empty(count, np.intp)
    for kind in (True, False):
        rows = np.flatnonzero(kinds == kind)
        folds[rows] = np.arange(len(rows)) * FOLDS // max(1, len(rows))
    return folds


def identification_rate(mated: Scores, unmated: Scores, fpir: float) -> tuple[float, float]:
    """Open-set detection-and-identification rate, and its threshold, at a false-positive identification rate.

    Args:
        mated: For each probe of a known person the similarity to that person if they come first, else -inf.
        unmated: For each probe of a stranger the highest similarity to anybody; -inf where no face was found.
    """
    threshold = threshold_at_far(unmated, fpir)
    found = mated > -math.inf  # somebody else first, or no face: a miss at every threshold
    return float((found & (mated >= threshold)).mean()) if len(mated) else math.nan, threshold


def interval(hits: int, trials: int) -> tuple[float, float]:
    """95 % confidence interval of a rate (Wilson, 1927)."""
    if not trials:
        return 0.0, 1.0
    z, p = 1.96, hits / trials
    middle = (p + z * z / (2 * trials)) / (1 + z * z / trials)
    reach = z * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials)
    return max(0.0, middle - reach), min(1.0, middle + reach)
