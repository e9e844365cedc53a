"""The best and most varied views of one person in a video or before a camera."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from streamd.elapsed import Elapsed
from streamd.errors import PhotoRefused, SourceEnded
from streamd.gallery.examiner import PhotoExaminer
from streamd.gallery.hygiene import Bars, largest_group
from streamd.masking import NO_MASK, Mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamd.domain import Face
    from streamd.interfaces import Source

logger = logging.getLogger(__name__)

EVERY_S = 0.25
"""Between two frames that are looked at."""
LONGEST_S = 600.0
"""Of a video so much is looked at."""
_CROWDED = 0.2
"""Share of frames with several faces from which it is no video of one person."""
_ONE_PERSON = 0.8
"""Share of faces that must hang together for it to be one person."""
_READ_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """A face in one frame."""

    face: Face
    at_s: float
    """Seconds from the first frame."""


@dataclass(slots=True)
class Footage:
    """What was found in the frames that were looked at."""

    shots: list[Shot] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    frames: int = 0


def look_through(
    source: Source,
    examiner: PhotoExaminer,
    *,
    seconds: float,
    mask: Mask = NO_MASK,
    noticed: Callable[[Footage], None] = lambda _: None,
) -> Footage:
    """Look at a frame every quarter of a second, for so many seconds of the stream; never behind the mask.

    Raises:
        SourceLost, SourceRejected: the stream cannot be read.
    """
    footage, due_s = Footage(), 0.0
    elapsed = Elapsed(source.open().fps)
    try:
        while True:
            frame = source.read(_READ_TIMEOUT_S)
            at_s = elapsed.at_s(frame.media_s)
            if at_s >= seconds:
                break
            if at_s < due_s:
                continue
            due_s = at_s + EVERY_S
            footage.frames += 1
            try:
                face = examiner.one_face(mask.on(frame.bgr(*frame.size)), origin="frame")
                footage.shots.append(Shot(face, at_s))
            except PhotoRefused as refusal:
                footage.refused[refusal.reason] += 1
            noticed(footage)
    except SourceEnded:
        pass
    finally:
        source.close()
    return footage


def best_views(footage: Footage, bars: Bars, *, wanted: int, origin: str) -> list[Shot]:
    """The best view, then in turn the one that is best and most unlike those before; no two of the same moment.

    Raises:
        PhotoRefused: no face, or more than one person.
    """
    shots = footage.shots
    crowded = footage.refused["several_faces"]
    if crowded > _CROWDED * (crowded + len(shots)):
        raise PhotoRefused("several_faces", f"{origin}: several people at once; film one person alone")
    if not shots:
        reasons = ", ".join(f"{reason} {count}" for reason, count in footage.refused.most_common(3))
        raise PhotoRefused(
            "no_face", f"{origin}: no good view of a face in {footage.frames} frames ({reasons or 'none read'})"
        )
    vectors = np.stack([shot.face.vector for shot in shots])
    group = sorted(largest_group(vectors, bars.alike(1)))
    if len(group) < _ONE_PERSON * len(shots):
        raise PhotoRefused("several_faces", f"{origin}: more than one person; film one person alone")
    return [
        shots[i] for i in _varied(vectors, [shot.face.quality.score for shot in shots], group, bars=bars, wanted=wanted)
    ]


def _varied(
    vectors: NDArray[np.float32], qualities: Sequence[float], group: Sequence[int], *, bars: Bars, wanted: int
) -> list[int]:
    chosen: list[int] = []
    while len(chosen) < wanted:
        worth = {}
        for i in group:
            nearest = max((float(vectors[i] @ vectors[j]) for j in chosen), default=0.0)
            if i not in chosen and nearest < bars.duplicate:
                worth[i] = qualities[i] * (1 - nearest)
        if not worth:
            break
        chosen.append(max(worth, key=lambda i: worth[i]))
    return chosen
