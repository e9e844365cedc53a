"""How far the wall clock is to be trusted.

A board without a battery starts in 1970, or whenever it was switched off, and a clock that was set wrongly may be years
ahead, until the network sets it right. So nothing waits by it, and what it cannot have said counts for nothing where
something would be deleted.
"""

from __future__ import annotations

SET_SINCE_WALL_S = 1_577_836_800.0
"""The beginning of 2020: a clock that says less was not set when it said so."""
AHEAD_S = 86_400.0
"""What was written down more than a day after now was written by a clock that ran ahead."""


def was_set(wall_s: float) -> bool:
    """Whether the clock may have been right when it said this."""
    return wall_s >= SET_SINCE_WALL_S
