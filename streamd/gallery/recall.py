"""Checks an approximate index against exact answers while it is in use, with probes that really came by."""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
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

    def add(self, found: NDArray[np.float32], best: NDArray[np.float32]) -> None:
        """Similarities that were found, and the highest that there are."""
        self._right.extend((found >= best - 1e-4).tolist())

    def forget(self) -> None:
        """The index is another one, or searches more broadly."""
        self._right.clear()

    @property
    def recall(self) -> float | None:
        """Share of answers that were right; None where there are too few to tell."""
        return sum(self._right) / len(self._right) if len(self._right) >= _ENOUGH else None


def best_similarities(
    connection: sqlite3.Connection, model_id: str, probes: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Exact answers from the gallery file, read block by block: some seconds for a million faces."""
    best = np.full(len(probes), -1.0, np.float32)
    for _, _, vectors in face_blocks(connection, model_id, 0):
        np.maximum(best, (probes @ vectors.T).max(axis=1), out=best)
    return best
