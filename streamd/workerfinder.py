"""Which of a box's workers looks at a camera that is captured on another host. Pure: time is an argument.

The capture is told the first worker's address. A worker that does not look at the camera says so (ELSEWHERE), with its
own number and how many there are; the capture then asks the next one. So cameras may be added, taken away and spread
anew over more workers, and no camera box has to be told.
"""

from __future__ import annotations

import logging

from streamd.endpoints import remote_frames_endpoint

logger = logging.getLogger(__name__)

ROUND_PAUSE_S = 5.0
"""Before all are asked again, where none looks at the camera."""
LOST_AFTER_S = 10.0
"""A worker other than the first that is not there for so long may have been done away with."""


class WorkerFinder:
    """Where to connect to."""

    def __init__(self, camera: str, first: str) -> None:
        """``first`` is the endpoint of the first worker; the others listen on the ports above."""
        self._camera = camera
        self._first = first
        self._worker = 0
        self._refusals = 0
        self._next: int | None = None
        self._not_before_s = float("-inf")
        self._unreached_since_s: float | None = None

    @property
    def endpoint(self) -> str:
        return remote_frames_endpoint(self._first, self._worker)

    def elsewhere(self, *, worker: int, workers: int) -> None:
        """The worker that was reached does not look at this camera; it is number ``worker`` of ``workers``."""
        if self._next is None and 0 <= worker < workers <= 64:
            self._next = (worker + 1) % workers
            self._refusals += 1
            if self._refusals == workers:
                logger.warning("no worker there looks at camera %r: is it in that box's configuration?", self._camera)

    def found(self) -> None:
        """The worker that was reached wants frames."""
        self._next = None
        self._refusals = 0

    def reached(self, reached: bool, now_s: float) -> None:
        """Whether there is a connection."""
        if reached:
            self._unreached_since_s = None
        elif self._unreached_since_s is None:
            self._unreached_since_s = now_s

    def moved(self, now_s: float) -> bool:
        """Whether ``endpoint`` is another one now."""
        if self._next is not None:
            return self._go_on(self._next, now_s)
        lost = self._unreached_since_s is not None and now_s - self._unreached_since_s >= LOST_AFTER_S
        return lost and self._enter(0)

    def _go_on(self, worker: int, now_s: float) -> bool:
        """To the next at once, but not round and round."""
        if now_s < self._not_before_s:
            return False
        if worker == 0:
            self._not_before_s = now_s + ROUND_PAUSE_S
        self._next = None
        return self._enter(worker)

    def _enter(self, worker: int) -> bool:
        self._unreached_since_s = None
        if worker == self._worker:
            return False
        self._worker = worker
        logger.info("camera %r: asking the worker at %s", self._camera, self.endpoint)
        return True
