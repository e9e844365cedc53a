"""Checks an approximate index against exact answers while it is in use, with probes that really came by."""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from streamd.gallery.delta import face_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EVERY = 50
"""One probe in so many is kept for the check."""
_CHECKED = 16
_WINDOW = 160
"""Answers that the recall is told over."""
_ENOUGH = 32


CLEAR = 0.05
"""Only probes that are so much nearer to one person than to the next count: others could not get a name anyway."""


@dataclass(frozen=True, slots=True, eq=False)
class Exact:
    """The highest similarity of each probe, and the highest with anybody but that person."""

    best: NDArray[np.float32]
    runner_up: NDArray[np.float32]


class RecallCheck:
    """Keeps some probes, and counts how many were answered rightly. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen = 0
        self._probes: deque[NDArray[np.float32]] = deque(maxlen=_CHECKED)
        self._right: deque[bool] = deque(maxlen=_WINDOW)

    def saw(self, probes: NDArray[np.float32]) -> None:
        """Searches were made for these; a few are kept."""
        before, self._seen = self._seen, self._seen + len(probes)
        if self._seen // _EVERY > before // _EVERY and len(probes):
            with self._lock:
                self._probes.append(probes[-1].copy())

    def take(self) -> NDArray[np.float32]:
        """The probes that were kept since the last call, shape (n, dim); n may be 0."""
        with self._lock:
            kept = list(self._probes)
            self._probes.clear()
        return np.stack(kept) if kept else np.zeros((0, 0), np.float32)

    def add(self, found: NDArray[np.float32], exact: Exact) -> None:
        """Similarities that were found, and the exact answers; probes of people who are near to nobody do not count."""
        counted = exact.best - exact.runner_up >= CLEAR
        self._right.extend((found >= exact.best - 1e-4)[counted].tolist())

    def forget(self) -> None:
        """The index is another one, or searches more broadly."""
        self._right.clear()

    @property
    def recall(self) -> float | None:
        """Share of answers that were right; None where there are too few to tell."""
        return sum(self._right) / len(self._right) if len(self._right) >= _ENOUGH else None


def exact_answers(connection: sqlite3.Connection, model_id: str, probes: NDArray[np.float32]) -> Exact:
    """From the gallery file, read block by block: some seconds for a million faces."""
    best, runner_up = (np.full(len(probes), -1.0, np.float32) for _ in range(2))
    whose: list[str | None] = [None] * len(probes)
    for _, owners, vectors in face_blocks(connection, model_id, 0):
        similarities = probes @ vectors.T
        people = np.array(owners, dtype=object)
        for i, row in enumerate(similarities):
            at = int(np.argmax(row))
            others = np.where(people == people[at], -1.0, row).max()
            if people[at] == whose[i]:
                best[i], runner_up[i] = max(best[i], row[at]), max(runner_up[i], others)
            elif row[at] > best[i]:
                runner_up[i] = max(best[i], others)
                best[i], whose[i] = row[at], people[at]
            else:
                runner_up[i] = max(runner_up[i], row[at])
    return Exact(best, runner_up)
