"""Work that a process does again and again beside the loop that must not wait, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from streamd.backoff import doubled_s
from streamd.metrics import Metrics

logger = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 10.0
"""Between tries of what fails in a way that nobody foresaw."""
JOIN_S = 5.0


class Background:
    """Calls ``step`` until told to stop.

    What a step is known to fail with is its own to say. Anything else is logged with its stack, counted, and tried
    again: a thread that ended would leave a gallery that never changes again, and nothing would tell.
    """

    def __init__(self, name: str, step: Callable[[], float | None], metrics: Metrics) -> None:
        """``step`` returns the seconds until its next call; None once there is nothing left to do."""
        self.stopping = threading.Event()
        self._name = name
        self._step = step
        self._failures = metrics.background_failures.labels(task=name)  # at 0: the first is an increase
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self.stopping.set()
            self._thread.join(JOIN_S)

    def _run(self) -> None:
        failures = 0
        while not self.stopping.is_set():
            try:
                pause_s = self._step()
                failures = 0
            except Exception:
                failures += 1
                pause_s = doubled_s(FIRST_PAUSE_S, LONGEST_PAUSE_S, failures - 1)
                logger.exception("%s: broken, and tried again", self._name)
                self._failures.inc()
            if pause_s is None:
                return
            self.stopping.wait(pause_s)
