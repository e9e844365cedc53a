"""What moves in a view, and whether the view itself was exchanged. Pure.

Measured on the luma plane, sampled to about ``COLUMNS`` columns.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Sample = NDArray[np.uint8]

COLUMNS = 80
CHANGED_LEVELS = 14
"""A sample that differs by more grey levels has changed; less is the codec's noise."""
HABIT_S = 40.0
"""How long it takes to get used to a place that keeps changing: a tree, a fan, a screen."""
HABIT_SHARE = 0.4
"""Of the time that a place must be changing to be left out."""
CUT_CORRELATION = 0.25
"""Of two samples in a row, below which they show different scenes. In the development clips it is under 0.13 at the
cuts, and above 0.4 elsewhere, three frames apart."""
FLAT_LEVELS = 2.0
"""Standard deviation of a picture that shows nothing."""


class MotionMeter:
    """Compares samples with the one last looked at, and gets used to places that never rest."""

    def __init__(self) -> None:
        self._reference: Sample | None = None
        self._habit: NDArray[np.float32] | None = None
        self._at_s = -math.inf

    def look(self, sample: Sample, at_s: float) -> float:
        """Share of the view that differs, 0..1; all of it where there is nothing to compare with."""
        reference = self._reference
        if reference is None or reference.shape != sample.shape:
            self._habit = None
            return 1.0
        # A plain difference would need int16.
        changed = np.maximum(sample, reference) - np.minimum(sample, reference) > CHANGED_LEVELS
        return float((changed & ~self._used_to(changed, at_s)).mean())

    def refer_to(self, sample: Sample) -> None:
        """This is what was looked at."""
        self._reference = sample

    def _used_to(self, changed: NDArray[np.bool_], at_s: float) -> NDArray[np.bool_]:
        if self._habit is None or self._habit.shape != changed.shape:
            self._habit = np.zeros(changed.shape, np.float32)
            self._at_s = at_s
        weight = np.float32(-math.expm1(-max(0.0, at_s - self._at_s) / HABIT_S))
        self._habit += weight * (changed - self._habit)
        self._at_s = at_s
        return self._habit > HABIT_SHARE


class CutDetector:
    """Notices that a camera shows another scene: it was turned, or a video was cut.

    Whoever moves through a view leaves most of it alike from one sample to the next, and light changes all of it alike.
    """

    def __init__(self) -> None:
        self.seen = False
        """Whether there was one; set back by whoever has taken note."""
        self._last: _Levels | None = None

    def look(self, sample: Sample) -> None:
        """The next sample."""
        last, self._last = self._last, _Levels(sample)
        if last is not None and not last.is_like(self._last):
            self.seen = True


class _Levels:
    """A sample's grey levels about their mean. Made once for each: this is done ten times a second."""

    __slots__ = ("levels", "spread")

    def __init__(self, sample: Sample) -> None:
        levels = sample.astype(np.float32)
        levels -= np.float32(levels.sum() / levels.size)
        self.levels = levels
        self.spread = math.sqrt(float(np.vdot(levels, levels)) / levels.size)

    def is_like(self, other: _Levels) -> bool:
        if self.levels.shape != other.levels.shape:
            return False
        if min(self.spread, other.spread) < FLAT_LEVELS:
            return max(self.spread, other.spread) < FLAT_LEVELS
        together = float(np.vdot(self.levels, other.levels)) / self.levels.size
        return together >= CUT_CORRELATION * self.spread * other.spread
