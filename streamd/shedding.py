"""What a worker does without while more is asked of it than it can do. Pure: time is an argument.

The ladder is climbed one step at a time, while cameras that are due have to wait, and left the same way when that is
over. What is given up first is missed least: the pace of cameras on which nobody is followed, then small faces far
away, then further looks at people whose names are known.
"""

from __future__ import annotations

import math
from enum import IntEnum

UP, DOWN = 0.6, 0.15
"""Strain (``scheduling.strain``) above which a step is taken, and below which one is taken back."""
UP_AFTER_S, DOWN_AFTER_S = 1.0, 5.0
"""How long that must last: relief is tried slowly, so that the ladder does not swing."""
SMOOTHING_S = 1.0


class Step(IntEnum):
    """What is done without; each includes those before it."""

    NOTHING = 0
    PACE = 1
    """Cameras on which nobody is followed are looked at three times less often."""
    DETAIL = 2
    """Faces are looked for in a smaller view."""
    VIEWS = 3
    """One face is embedded at a time, and those with a sure verdict not again."""

    @property
    def stretch(self) -> float:
        """How many times longer cameras wait on which nobody is followed."""
        return 3.0 if self >= Step.PACE else 1.0

    @property
    def scale(self) -> float:
        """Of the view in which faces are looked for."""
        return 0.7 if self >= Step.DETAIL else 1.0


class Ladder:
    """Which step a worker is on."""

    def __init__(self) -> None:
        self.step = Step.NOTHING
        self._strain = 0.0
        self._at_s = -math.inf
        self._beyond = 0
        """1 where the strain is above the upper bound, -1 below the lower one."""
        self._since_s = -math.inf
        """When it got there, or the last step since."""

    def observe(self, strain: float | None, now_s: float) -> Step:
        """``strain`` of late, None where no camera was asked for a frame; returns the step to be on."""
        if self._at_s == -math.inf:
            self._at_s = self._since_s = now_s
        if strain is not None:
            weight = -math.expm1(-(now_s - self._at_s) / SMOOTHING_S)
            self._strain += weight * (strain - self._strain)
            self._at_s = now_s
        elif now_s - self._at_s >= DOWN_AFTER_S:
            self._strain = 0.0  # whoever is not asked for so long has not waited
        beyond = (self._strain >= UP) - (self._strain <= DOWN)
        if beyond != self._beyond:
            self._beyond, self._since_s = beyond, now_s
        if beyond > 0 and strain is not None:  # of what is only remembered nothing is given up
            self._move(+1, UP_AFTER_S, now_s)
        elif beyond < 0:
            self._move(-1, DOWN_AFTER_S, now_s)
        return self.step

    def _move(self, direction: int, after_s: float, now_s: float) -> None:
        if now_s - self._since_s < after_s:
            return
        self._since_s = now_s
        self.step = Step(min(max(self.step + direction, Step.NOTHING), Step.VIEWS))
