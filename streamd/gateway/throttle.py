"""How often somebody may try to log in. Pure: time is an argument."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from streamd.backoff import doubled_s

FREE_TRIES = 5
"""Wrong passwords before pauses begin."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 900.0
FORGET_S = 3600.0
"""Failures older than this do not count."""
MOST = 10_000
"""Addresses and names remembered; the oldest are forgotten first."""


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last_s: float = 0.0


class Throttle:
    """Counts failures of one key, such as an address or a user's name."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def wait_s(self, key: str, now_s: float) -> float:
        """How long this key must wait before its next try; 0 where it may try now."""
        failures = self._failures.get(key)
        if failures is None or now_s - failures.last_s > FORGET_S or failures.count < FREE_TRIES:
            return 0.0
        pause_s = doubled_s(FIRST_PAUSE_S, LONGEST_PAUSE_S, failures.count - FREE_TRIES)
        return max(0.0, failures.last_s + pause_s - now_s)

    def failed(self, key: str, now_s: float) -> None:
        failures = self._failures.pop(key, _Failures())
        if now_s - failures.last_s > FORGET_S:
            failures.count = 0
        failures.count, failures.last_s = failures.count + 1, now_s
        self._failures[key] = failures
        while len(self._failures) > MOST:
            self._failures.popitem(last=False)

    def succeeded(self, key: str) -> None:
        self._failures.pop(key, None)
