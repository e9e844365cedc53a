"""How far the wall clock is to be trusted.

A board without a battery starts in 1970, or whenever it was switched off, and a clock that was set wrongly may be years
ahead, until the network sets it right. So nothing waits by it, and what it cannot have said counts for nothing where
something would be deleted: ages are counted from a date that is believed.
"""

from __future__ import annotations

from dataclasses import dataclass

SET_SINCE_WALL_S = 1_577_836_800.0
"""The beginning of 2020: a clock that says less was not set when it said so."""
AHEAD_S = 86_400.0
"""What was written down more than a day after now was written by a clock that ran ahead."""
STEADY_S = 86_400.0
"""A date that was not expected is believed once the clock has held to it for so long: whoever sets clocks right has had
the time."""


def was_set(wall_s: float) -> bool:
    """Whether the clock may have been right when it said this."""
    return wall_s >= SET_SINCE_WALL_S


@dataclass(frozen=True, slots=True)
class Calendar:
    """The date, as a clock told it that may have been wrong; outlives the process. Pure."""

    believed_wall_s: float
    doubted_since_wall_s: float | None = None
    """What the clock said when it first was more than ``AHEAD_S`` off; None where it is believed."""

    def seen(self, now_wall_s: float) -> Calendar:
        """What is believed now that the clock says this."""
        if not was_set(now_wall_s):
            return self
        believed, since = self.believed_wall_s, self.doubted_since_wall_s
        if abs(now_wall_s - believed) <= AHEAD_S:
            return Calendar(now_wall_s)
        # A clock that was behind until it was set wrongly has held to nothing.
        if since is None or now_wall_s < since or (since > believed) != (now_wall_s > believed):
            return Calendar(believed, now_wall_s)
        return Calendar(now_wall_s) if now_wall_s - since >= STEADY_S else self

    def reckoned(self, now_wall_s: float) -> float:
        """The date from which ages are counted: never later than what is believed."""
        return min(now_wall_s, self.believed_wall_s)
