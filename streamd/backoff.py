"""How long to wait before what failed is tried again. Pure."""

from __future__ import annotations

_MOST_DOUBLINGS = 30
"""More make no pause longer that has a bound, and in the end no number."""


def doubled_s(first_s: float, longest_s: float, doublings: int) -> float:
    """``first_s``, doubled so many times, and never more than ``longest_s``."""
    return min(longest_s, first_s * 2.0 ** min(_MOST_DOUBLINGS, max(0, doublings)))
