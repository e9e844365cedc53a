"""Figures of multi-object tracking: HOTA, IDF1, MOTA and identity switches, to the digits of TrackEval.

* HOTA: Luiten et al., "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking", IJCV 2021.
* IDF1: Ristani et al., "Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking", 2016.
* MOTA: Bernardin and Stiefelhagen, "Evaluating Multiple Object Tracking Performance: The CLEAR MOT Metrics", 2008.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SAME = 0.5
"""Overlap from which a box is that object, for all but HOTA."""
_ALPHAS = np.arange(0.05, 0.99, 0.05)
_EPS = float(np.finfo("float").eps)


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """One frame: who is there, who was followed, and how their boxes overlap."""

    true_ids: NDArray[np.intp]
    ids: NDArray[np.intp]
    overlap: NDArray[np.float64]
    """Shape (true, followed)."""


@dataclass(frozen=True, slots=True)
class Figures:
    hota: float
    idf1: float
    mota: float
    switches: int


def figures(looks: Sequence[Look]) -> Figures:
    """Over all looks in order. Ids may be any numbers; of several clips they must differ, as if it were one."""
    true_code = {i: n for n, i in enumerate(sorted({int(i) for look in looks for i in look.true_ids}))}
    code = {i: n for n, i in enumerate(sorted({int(i) for look in looks for i in look.ids}))}
    coded = [
        Look(
            np.array([true_code[int(i)] for i in look.true_ids], np.intp),
            np.array([code[int(i)] for i in look.ids], np.intp),
            look.overlap,
        )
        for look in looks
    ]
    shape = (len(true_code), len(code))
    mota, switches = _clear(coded, shape)
    return Figures(_hota(coded, shape), _idf1(coded, shape), mota, switches)


def _clear(looks: Sequence[Look], shape: tuple[int, int]) -> tuple[float, int]:
    hits = misses = wrong = switches = 0
    last = np.full(shape[0], -1)
    """Whom each object was followed as when it last was."""
    before = np.full(shape[0], -1)
    for look in looks:
        stays = (look.ids[None, :] == before[look.true_ids][:, None]) * 1000.0
        score = np.where(look.overlap >= _SAME - _EPS, stays + look.overlap, 0.0)
        rows, columns = linear_sum_assignment(-score)
        good = score[rows, columns] > _EPS
        true, found = look.true_ids[rows[good]], look.ids[columns[good]]
        switches += int(((last[true] >= 0) & (last[true] != found)).sum())
        last[true] = found
        before[:] = -1
        before[true] = found
        hits += len(true)
        misses += len(look.true_ids) - len(true)
        wrong += len(look.ids) - len(true)
    return (hits - wrong - switches) / max(1, hits + misses), switches


def _idf1(looks: Sequence[Look], shape: tuple[int, int]) -> float:
    together, true_count, count = np.zeros(shape), np.zeros(shape[0]), np.zeros(shape[1])
    for look in looks:
        rows, columns = np.nonzero(look.overlap >= _SAME)
        np.add.at(together, (look.true_ids[rows], look.ids[columns]), 1)
        true_count[look.true_ids] += 1
        count[look.ids] += 1
    rows, columns = linear_sum_assignment(-together)
    return float(2 * together[rows, columns].sum() / max(1.0, true_count.sum() + count.sum()))


def _hota(looks: Sequence[Look], shape: tuple[int, int]) -> float:
    shared, true_count, count = np.zeros(shape), np.zeros(shape[0]), np.zeros(shape[1])
    for look in looks:
        rest = look.overlap.sum(0)[None, :] + look.overlap.sum(1)[:, None] - look.overlap
        share = np.where(rest > _EPS, look.overlap / np.maximum(rest, _EPS), 0.0)
        shared[look.true_ids[:, None], look.ids[None, :]] += share
        true_count[look.true_ids] += 1
        count[look.ids] += 1
    aligned = shared / np.maximum(true_count[:, None] + count[None, :] - shared, _EPS)
    matches = np.zeros((len(_ALPHAS), *shape))
    for look in looks:
        if not look.overlap.size:
            continue
        rows, columns = linear_sum_assignment(-aligned[look.true_ids[:, None], look.ids[None, :]] * look.overlap)
        good = look.overlap[rows, columns][None, :] >= _ALPHAS[:, None] - _EPS
        matches[:, look.true_ids[rows], look.ids[columns]] += good
    found = matches.sum(axis=(1, 2))
    associated = matches / np.maximum(1, true_count[None, :, None] + count[None, None, :] - matches)
    association = (matches * associated).sum(axis=(1, 2)) / np.maximum(1, found)
    detection = found / np.maximum(1, true_count.sum() + count.sum() - found)
    return float(np.sqrt(association * detection).mean())
