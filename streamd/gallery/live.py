"""The gallery as the worker sees it: searched by one thread while another keeps it current.

A search works on a snapshot that never changes and takes no lock. A refresh reads what is new in the store, puts it
into a small exact index in front of the large one, hides what was removed, and exchanges the snapshot by one
assignment. When the front has grown, a thread builds a new large index beside the old one.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from streamd.config import GalleryConfig
from streamd.domain import Match
from streamd.errors import GalleryError
from streamd.gallery.index import Entries, ExactIndex, Hit, Index, build_index, wants_hnsw
from streamd.gallery.store import Delta, GalleryStore, Mark

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

FRONT_MAX_FACES = 2000
"""Faces in the front index (about 60 us a search) before the large one is built again."""


@dataclass(frozen=True, slots=True, eq=False)
class _Snapshot:
    version: int
    names: dict[str, str]
    large: Index
    front: Index
    hidden: frozenset[int]
    """Faces of ``large`` that were removed since it was built."""

    @property
    def faces(self) -> int:
        return self.large.size + self.front.size - len(self.hidden)

    def search(self, probes: NDArray[np.float32], people: int) -> list[list[Match]]:
        parts = [
            index.search(probes, people, hidden=hidden)
            for index, hidden in ((self.large, self.hidden), (self.front, frozenset[int]()))
            if index.size
        ]
        if not parts:
            return [[] for _ in probes]
        return [self._merged(hits, people) for hits in zip(*parts, strict=True)]

    def _merged(self, parts: tuple[list[Hit], ...], people: int) -> list[Match]:
        best: dict[str, Hit] = {}
        for hit in sorted((h for hits in parts for h in hits), key=lambda h: -h.similarity):
            best.setdefault(hit.person_id, hit)
        return [
            Match(h.person_id, self.names[h.person_id], h.similarity, h.face_id) for h in list(best.values())[:people]
        ]


class LiveGallery:
    """A searchable view of a gallery file that others may change. Thread-safe."""

    def __init__(self, store_path: Path, *, model_id: str, config: GalleryConfig) -> None:
        """Open the file, or create an empty one, and load the faces of one embedding model.

        Raises:
            GalleryError: the file cannot be used, or holds vectors that are not of unit length.
        """
        self._store = GalleryStore(store_path)
        self._model_id = model_id
        self._config = config
        self._changing = threading.Lock()
        """Held by whoever exchanges the snapshot, never by a search."""
        self._builder: threading.Thread | None = None
        self._front = self._store.delta(model_id, Mark())
        self._snapshot = _Snapshot(
            version=self._front.mark.version,
            names=self._front.names,
            large=ExactIndex(_entries(self._front)),
            front=ExactIndex(_nothing()),
            hidden=frozenset(),
        )
        """Complete at once; where an approximate index is wanted, it follows from the builder."""
        self._front = _without(self._front, self._front.face_ids)
        self._warn_of_other_models()
        self._build_if_due()

    def __enter__(self) -> LiveGallery:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file. A large index being built is abandoned."""
        if self._builder is not None:
            self._builder.join(1.0)
        self._store.close()

    @property
    def version(self) -> int:
        return self._snapshot.version

    @property
    def people_count(self) -> int:
        """Everybody in the store, with or without faces of this model."""
        return len(self._snapshot.names)

    @property
    def faces_count(self) -> int:
        return self._snapshot.faces

    def search(self, vectors: NDArray[np.float32], *, people: int = 2) -> list[list[Match]]:
        """For each unit row the ``people`` nearest people, best first, one match each.

        Raises:
            GalleryError: a row is not of unit length, or of another dimension than the gallery.
        """
        return self._snapshot.search(vectors, people)

    def refresh(self) -> bool:
        """Take over what changed in the store; a few microseconds where nothing did. Returns whether it did."""
        if self._store.version() == self._snapshot.version:
            return False
        with self._changing:
            self._advance()
        self._build_if_due()
        return True

    def _advance(self) -> None:
        since = self._store.delta(self._model_id, self._front.mark)
        before = self._snapshot
        self._front = _joined(_without(self._front, since.removed), since)
        hidden = before.hidden | _present(before.large, since.removed)
        self._exchange(before.large, hidden)

    def _exchange(self, large: Index, hidden: frozenset[int]) -> None:
        self._snapshot = _Snapshot(
            version=self._front.mark.version,
            names=self._front.names,
            large=large,
            front=ExactIndex(_entries(self._front)),
            hidden=hidden,
        )

    def _build_if_due(self) -> None:
        with self._changing:
            running = self._builder is not None and self._builder.is_alive()
            if not running and self._due():
                self._builder = threading.Thread(target=self._build, name="gallery-index", daemon=True)
                self._builder.start()

    def _due(self) -> bool:
        now = self._snapshot
        wanted = wants_hnsw(self._config.index, now.faces, hnsw_from=self._config.hnsw_from)
        return (
            now.front.size > FRONT_MAX_FACES
            or len(now.hidden) > max(100, now.large.size // 10)
            or (wanted and isinstance(now.large, ExactIndex))
        )

    def _build(self) -> None:
        try:
            everything = self._store.delta(self._model_id, Mark())
            large = build_index(self._config.index, _entries(everything), hnsw_from=self._config.hnsw_from)
            with self._changing:
                self._swap(everything, large)
        except GalleryError as error:
            logger.error("gallery index not rebuilt, the old one stays: %s", error)

    def _swap(self, built: Delta, large: Index) -> None:
        self._advance()  # so that the front is not older than what was built
        known = self._front.face_ids <= built.mark.face_id
        self._front = _without(self._front, self._front.face_ids[known])
        # Whatever was removed after the new index was read is still to be hidden in it.
        removed = self._store.delta(self._model_id, built.mark).removed
        self._exchange(large, _present(large, removed))
        logger.info("gallery index of %d faces in use (%s)", large.size, type(large).__name__)

    def _warn_of_other_models(self) -> None:
        others = {m: n for m, n in self._store.faces_by_model().items() if m != self._model_id}
        if others and not self.faces_count:
            logger.warning(
                "the gallery holds faces of %s and none of %s: enrol the photos again",
                ", ".join(f"{m} ({n})" for m, n in others.items()),
                self._model_id,
            )


def _entries(delta: Delta) -> Entries:
    return Entries(delta.vectors, delta.face_ids, delta.person_ids)


def _nothing() -> Entries:
    return Entries(np.zeros((0, 0), np.float32), np.zeros(0, np.int64), [])


def _present(index: Index, face_ids: frozenset[int]) -> frozenset[int]:
    return frozenset(f for f in face_ids if f in index)


def _without(delta: Delta, face_ids: frozenset[int] | NDArray[np.int64]) -> Delta:
    gone = np.fromiter(face_ids, dtype=np.int64, count=len(face_ids))
    keep = np.flatnonzero(~np.isin(delta.face_ids, gone))
    return Delta(
        mark=delta.mark,
        names=delta.names,
        face_ids=delta.face_ids[keep],
        person_ids=[delta.person_ids[i] for i in keep],
        vectors=delta.vectors[keep],
        removed=frozenset(),
    )


def _joined(old: Delta, new: Delta) -> Delta:
    if not len(old.face_ids) or not len(new.face_ids):
        vectors = old.vectors if len(old.face_ids) else new.vectors
    else:
        vectors = np.concatenate([old.vectors, new.vectors])
    return Delta(
        mark=new.mark,
        names=new.names,
        face_ids=np.concatenate([old.face_ids, new.face_ids]),
        person_ids=old.person_ids + new.person_ids,
        vectors=vectors,
        removed=frozenset(),
    )
