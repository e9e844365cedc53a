"""Recognises strangers who were seen before, on the worker's loop; what is new is written down by another thread.

A sighting goes to the stranger whose views are similar enough, at the same stated false-accept rate as names, over the
strangers there are; or begins a new one. One that is similar enough to two shows that these are one person.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from streamd.errors import GalleryError
from streamd.gallery.index import Entries, ExactIndex, Hit
from streamd.gallery.strangers import Sighting, StrangerRecords, StrangerView
from streamd.scores import ScoreModel, comparisons

if TYPE_CHECKING:
    from streamd.domain import Image, Vector

logger = logging.getLogger(__name__)

VIEWS_PER_SIGHTING = 4
WAITING_BOUND = 1000
"""Sightings that wait to be written; of more, the oldest are dropped, and their ids with them."""
NEARLY_KNOWN = 0.1
"""Somebody whose similarity to a known person is within this (on SFace's scale) of a name is no stranger yet: it may be
a poor view of that person."""
_CHIP_JPEG_QUALITY = 90
_Note = Sighting | str | tuple[str, str]
"""What is to be written: a sighting, a track to be retracted, or a pair of ids to be merged."""


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What a track has to show."""

    vector: Vector
    chip: Image
    quality: float


class StrangerBook:
    """Thread-safe: the work loop asks, another thread keeps it in step with the gallery file."""

    def __init__(self, records: StrangerRecords, *, model_id: str, scores: ScoreModel, target_far: float) -> None:
        """Read the strangers known so far. Raises GalleryError where the file cannot be used."""
        self._records = records
        self._model_id = model_id
        self._scores = scores
        self._target_far = target_far
        self._lock = threading.Lock()
        self._waiting: deque[_Note] = deque(maxlen=WAITING_BOUND)
        """Both threads change it, and ``_merge`` replaces it: under the lock only."""
        self._version = -1
        self._ignored: frozenset[str] = frozenset()
        self._gone: frozenset[str] = frozenset()
        self._erased: frozenset[str] = frozenset()
        self._fresh: list[tuple[str, Vector]] = []
        """Seen since the index was made."""
        self._index = ExactIndex(Entries(np.zeros((0, 0), np.float32), np.zeros(0, np.int64), []))
        self.refresh()

    @property
    def any_ignored(self) -> bool:
        return bool(self._ignored)

    @property
    def count(self) -> int:
        """Strangers as of the last refresh."""
        return len(self._index.people)

    @property
    def ignored_count(self) -> int:
        return len(self._ignored)

    def is_stranger(self, nearest_known: float | None, threshold: float) -> bool:
        """Whether somebody without a name may be taken for a stranger, and not for a poor view of a known person."""
        return nearest_known is None or nearest_known < threshold - NEARLY_KNOWN * self._scores.scale

    def is_ignored(self, fused: Vector, nearest_known: float | None) -> bool:
        """Whether this is somebody who is to be ignored, rather than the known person nearest to them."""
        if not self._ignored:
            return False
        with self._lock:
            best = next(iter(self._near(fused)), None)
        return (
            best is not None
            and best.person_id in self._ignored
            and best.similarity > (nearest_known if nearest_known is not None else -1.0)
        )

    def is_forgotten(self, stranger_id: str) -> bool:
        """Whether nothing is to be told under this id any more; known from the next refresh on, for a minute or so."""
        return stranger_id in self._erased

    def identify(self, fused: Vector, looks: Sequence[Look], *, track: str, camera: str, wall_s: float) -> str:
        """The stranger's id, old or new; what was seen is noted to be written down."""
        with self._lock:
            near = self._near(fused)
            stranger_id = near[0].person_id if near else self._new_id()
            for other in near[1:]:
                self._merge(other.person_id, stranger_id)
            best = sorted(looks, key=lambda look: -look.quality)[:VIEWS_PER_SIGHTING]
            self._fresh += [(stranger_id, look.vector) for look in best]
            del self._fresh[: -WAITING_BOUND * VIEWS_PER_SIGHTING]  # where nothing can be written for long
            views = [StrangerView(look.vector, _jpeg(look.chip), look.quality) for look in best]
            self._waiting.append(Sighting(stranger_id, track, camera, wall_s, self._model_id, views))
        return stranger_id

    def retract(self, track: str) -> None:
        """The track has a name after all."""
        with self._lock:
            self._waiting.append(track)

    def flush(self) -> None:
        """Write down what is new. Raises GalleryError; what was not written stays noted."""
        while (what := self._take()) is not None:
            try:
                self._write(what)
            except GalleryError:
                self._put_back(what)
                raise

    def refresh(self) -> None:
        """Take over what others changed; what still waits to be written is kept."""
        if self._records.version() == self._version:
            return
        faces = self._records.faces(self._model_id)
        index = ExactIndex(Entries(faces.vectors, faces.face_ids, faces.stranger_ids))
        with self._lock:
            self._version, self._index = faces.version, index
            self._ignored, self._gone, self._erased = faces.ignored, faces.gone, faces.erased
            self._fresh = [
                (sighting.stranger_id, view.vector)
                for sighting in self._waiting
                if isinstance(sighting, Sighting) and sighting.stranger_id not in faces.erased
                for view in sighting.views
            ]

    def _take(self) -> _Note | None:
        with self._lock:
            return self._waiting.popleft() if self._waiting else None

    def _put_back(self, what: _Note) -> None:
        with self._lock:
            if len(self._waiting) < WAITING_BOUND:  # else it is the oldest of too many
                self._waiting.appendleft(what)

    def _write(self, what: _Note) -> None:
        if isinstance(what, Sighting):
            self._records.record(what)
        elif isinstance(what, str):
            self._records.retract(what)
        else:
            self._write_merge(*what)

    def _near(self, fused: Vector) -> list[Hit]:
        """Strangers who are similar enough, most similar first."""
        found = {hit.person_id: hit for hit in self._index.search(fused[None], 3)[0]} if self._index.size else {}
        for stranger_id, vector in self._fresh:
            similarity = float(np.dot(fused, vector))
            if stranger_id not in found or found[stranger_id].similarity < similarity:
                found[stranger_id] = Hit(stranger_id, -1, similarity)
        people = len({*self._index.people, *(stranger_id for stranger_id, _ in self._fresh)})
        faces = self._index.size + len(self._fresh)
        threshold = self._scores.threshold(self._target_far, comparisons(people, faces))
        near = [hit for hit in found.values() if hit.similarity >= threshold]
        return sorted(near, key=lambda hit: -hit.similarity)

    def _merge(self, stranger_id: str, into: str) -> None:
        if stranger_id in self._ignored or into in self._ignored:
            return
        self._fresh = [(into if known == stranger_id else known, vector) for known, vector in self._fresh]
        self._waiting = deque(
            (
                replace(w, stranger_id=into) if isinstance(w, Sighting) and w.stranger_id == stranger_id else w
                for w in self._waiting
            ),
            maxlen=WAITING_BOUND,
        )
        self._waiting.append((stranger_id, into))

    def _write_merge(self, stranger_id: str, into: str) -> None:
        known = {stranger.id for stranger in self._records.all()}
        if {stranger_id, into} <= known:
            self._records.merge(stranger_id, into, noted=False)
            logger.info("%s is %s", stranger_id, into)
        elif stranger_id not in known:
            self._records.note_earlier(stranger_id, into)

    def _new_id(self) -> str:
        taken = {*self._index.people, *self._gone, *(stranger_id for stranger_id, _ in self._fresh)}
        digits = 4
        while (made := f"unknown-{secrets.token_hex((digits + 1) // 2)[:digits]}") in taken or len(
            taken
        ) > 16**digits // 8:
            digits += made not in taken or digits < 8
        return made


def _jpeg(chip: Image) -> bytes:
    return bytes(cv2.imencode(".jpg", chip, [cv2.IMWRITE_JPEG_QUALITY, _CHIP_JPEG_QUALITY])[1].tobytes())
