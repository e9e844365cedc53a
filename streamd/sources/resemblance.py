"""Which of some frames of one stream shows what a frame of the other shows. Pure.

Time stamps alone can be a few frames off, and a face that crosses the view has moved by half its width from one frame
to the next: cut a fifth of its width beside itself it is hardly like itself any more, and nothing about the cut-out
tells. Where something moves, the pictures themselves say which belong together.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

COLUMNS = 160
CHANGED_LEVELS = 12
"""A place that differs by more between frames tells them apart."""
LEAST_PLACES = 6
CLEARLY = 0.8
"""The frame that is most alike must differ by less than this share of what the nearest in time differs by."""
ALIKE_LEVELS = 12.0
"""Two encodings of one moment differ by less than this where something moves; whatever differs by more is not it."""
LEARN_SHARE = 0.4
MOST_S = 0.6

Thumb = NDArray[np.uint8]


def thumb(luma: NDArray[np.uint8]) -> Thumb:
    """A luma plane in small, for comparison; planes of one view come out in one size."""
    rows = round(COLUMNS * 9 / 16)
    return np.asarray(cv2.resize(luma, (COLUMNS, rows), interpolation=cv2.INTER_AREA), np.uint8)


class Resemblance:
    """Learns by how much the time stamps of two streams are apart, beyond what their clocks say."""

    def __init__(self) -> None:
        self.correction_s = 0.0
        """To be added to a moment of the one stream for that of the other."""
        self._shift_s: float | None = None

    def start_from(self, shift_s: float) -> None:
        """The clocks say so; where they say something else than before, what was learnt is void."""
        if self._shift_s is None or abs(shift_s - self._shift_s) > 0.03:
            self.correction_s = 0.0
            self._shift_s = shift_s
        else:
            self._shift_s += 0.1 * (shift_s - self._shift_s)

    def choose(self, view: Thumb, moment_s: float, candidates: Sequence[tuple[float, Thumb]]) -> int:
        """Index of the candidate that shows ``view``, taken about ``moment_s``; nothing moves: the nearest in time."""
        away_s = [abs(at_s - moment_s) for at_s, _ in candidates]
        nearest = away_s.index(min(away_s))
        pictures = np.stack([picture for _, picture in candidates])
        moving = pictures.max(0) - pictures.min(0) > CHANGED_LEVELS
        if moving.sum() < LEAST_PLACES:
            return nearest
        differ = np.abs(pictures.astype(np.int16) - view.astype(np.int16))
        # Where the view differs from all of them, none may be it.
        telling = moving | (differ.min(0) > 2 * CHANGED_LEVELS)
        off = differ[:, telling].mean(1)
        best = int(off.argmin())
        if off[best] > ALIKE_LEVELS or (best != nearest and off[best] > CLEARLY * off[nearest]):
            return nearest
        learnt_s = self.correction_s + LEARN_SHARE * (candidates[best][0] - moment_s)
        self.correction_s = max(-MOST_S, min(MOST_S, learnt_s))
        return best
