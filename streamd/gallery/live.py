"""The gallery as the worker sees it: searched by one thread while another keeps it current.

A search works on a snapshot that never changes and takes no lock. A refresh reads what is new in the store, puts it
into a small exact index in front of the large one, hides what was removed, and exchanges the snapshot by one
assignment. When the front has grown, a thread builds a new large index beside the old one.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import astuple
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from streamd.config import GalleryConfig
from streamd.domain import Match, Population, Scope
from streamd.errors import GalleryError
from streamd.gallery.delta import Delta, Mark, count_faces, current_mark, removed_since, vectors_of
from streamd.gallery.hnsw import HnswIndex
from streamd.gallery.index import Entries, ExactIndex, Index, build_index, wants_hnsw
from streamd.gallery.mirror import Mirror
from streamd.gallery.recall import RecallCheck, exact_answers
from streamd.gallery.savedindex import SavedIndex, StaleIndex, drop_saved, load_index, save_index
from streamd.gallery.scorerecords import saved_spread
from streamd.gallery.serveranswers import ServerAnswers
from streamd.gallery.snapshot import People, Snapshot
from streamd.gallery.store import GalleryStore
from streamd.gallery.vault import load_vault
from streamd.scores import ScoreModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

FRONT_MAX_FACES = 2000
"""Faces in the front index (about 60 us a search) before the large one is built again."""
_SAMPLED = 64
"""Embeddings of a saved index that are compared with the gallery's."""


class LiveGallery:
    """A searchable view of a gallery file that others may change. Thread-safe."""

    def __init__(self, store_path: Path, *, model_id: str, config: GalleryConfig) -> None:
        """Open the file, or create an empty one, and load the faces of one embedding model.

        Raises:
            GalleryError: the file cannot be used, or holds vectors that are not of unit length.
        """
        self._path = store_path
        self._vault = load_vault(config.key_file)
        self._store = self._opened()
        self._model_id = model_id
        self._config = config
        self._changing = threading.Lock()
        """Held by whoever exchanges the snapshot, never by a search."""
        self._spread = saved_spread(self._store.database, model_id)
        """Of impostor similarities, where this gallery was calibrated."""
        self._builder: threading.Thread | None = None
        self._check = RecallCheck()
        by_server = config.kind != "local" and config.answers == "server"
        self._server = ServerAnswers(Mirror(self._store), config, model_id) if by_server else None
        self._start()
        self._warn_of_other_models()
        self._build_if_due()

    def _opened(self) -> GalleryStore:
        return GalleryStore(self._path, vault=self._vault, actor="daemon")

    def _start(self) -> None:
        """Complete at once: from a saved index, or exact until the builder has an approximate one."""
        saved = self._load_saved()
        since = self._store.delta(self._model_id, saved.mark if saved else Mark())
        people = People(since.mark.version, since.names, since.labels)
        if saved is None:
            self._snapshot = Snapshot(people, ExactIndex(_entries(since)), ExactIndex(_nothing()))
            self._front = since.without(since.face_ids)
            return
        hidden = _present(saved.index, since.removed)
        self._front = since.without(since.removed)
        self._snapshot = Snapshot(people, saved.index, ExactIndex(_entries(self._front)), hidden)
        logger.info("gallery index of %d faces loaded, %d newer ones", saved.index.size, len(self._front.face_ids))

    def _load_saved(self) -> SavedIndex | None:
        if not wants_hnsw(self._config.index, self._count(), hnsw_from=self._config.hnsw_from):
            return None
        try:
            saved = load_index(self._path, self._model_id, self._vault)
            if saved is not None:
                self._check_fits(saved)
        except StaleIndex as error:
            logger.warning("the saved gallery index is not used, and built again: %s", error)
            return None
        return saved

    def _check_fits(self, saved: SavedIndex) -> None:
        """Raises StaleIndex where the gallery file is not the one that was indexed, or an older state of it."""
        with self._store.database.read() as connection:
            now = current_mark(connection)
            if (now.version, now.face_id, now.removed_id) < astuple(
                saved.mark
            ) or now.removed_id < saved.mark.removed_id:
                raise StaleIndex(f"it is of version {saved.mark.version}, the gallery of {now.version}")
            left = count_faces(connection, self._model_id, saved.mark.face_id)
            removed = removed_since(connection, saved.mark)
            gone = len(_present(saved.index, removed))
            if left != saved.index.size - gone:
                raise StaleIndex(f"it has {saved.index.size - gone} faces, the gallery {left}")
            rows = np.unique(np.linspace(0, saved.index.size - 1, _SAMPLED).astype(np.intp))
            ids = [int(i) for i in saved.index.rows.face_ids[rows]]
            kept = vectors_of(connection, ids)
        indexed = saved.index.graph.vectors(rows)
        if any(i in kept and not np.array_equal(kept[i], vector) for i, vector in zip(ids, indexed, strict=True)):
            raise StaleIndex("it holds other embeddings than the gallery")

    def _count(self) -> int:
        return self._store.faces_by_model().get(self._model_id, 0)

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
        if self._server is not None:
            self._server.close()
        self._store.close()

    def await_build(self) -> None:
        """Return once no index is being built."""
        if self._builder is not None:
            self._builder.join()

    @property
    def version(self) -> int:
        return self._snapshot.version

    @property
    def people_count(self) -> int:
        """Everybody in the store, with or without faces of this model."""
        return len(self._snapshot.names)

    @property
    def faces_count(self) -> int:
        return self._snapshot.everybody.faces

    def search(self, vectors: NDArray[np.float32], *, people: int = 2, scope: Scope | None = None) -> list[list[Match]]:
        """For each unit row the ``people`` nearest people within ``scope``, best first, one match each.

        Raises:
            GalleryError: a row is not of unit length, or of another dimension than the gallery.
        """
        if not scope:
            if self._server is not None:
                answer = self._server.search(vectors, people, self._snapshot.names)
                if answer is not None:
                    return answer
            self._check.saw(vectors)
        return self._snapshot.view(scope).search(vectors, people)

    def population(self, scope: Scope | None = None) -> Population:
        """How many people and faces a search within ``scope`` compares with.

        A scope is made ready by the first question about it, and again with each version, by the refresh.
        """
        return self._snapshot.view(scope).population

    def vectors_of(self, name: str) -> NDArray[np.float32]:
        """Embeddings of a person's faces, shape (n, dim); (0, 0) for somebody who has none."""
        return self._snapshot.vectors_of(name)

    def nearest_other(self, person_id: str) -> float | None:
        """Highest similarity between a face of this person and a face of anybody else, whatever their labels.

        None where there is no such person, or nobody else. Searched once per person and version, for which the
        caller waits as long as for a search of that person's faces.
        """
        return self._snapshot.nearest_other(person_id)

    def scores(self, own: ScoreModel) -> ScoreModel:
        """What similarities are worth here: the embedder's ``own`` model, refined by the last calibration."""
        return own if self._spread is None else own.with_impostor(self._spread)

    def refresh(self) -> bool:
        """Take over what changed in the store; a few microseconds where nothing did. Returns whether it did."""
        if self._server is not None:
            self._server.connect()
        if self._store.version() == self._snapshot.version:
            return False
        with self._changing:
            self._spread = saved_spread(self._store.database, self._model_id)
            self._advance()
        self._build_if_due()
        return True

    @property
    def recall(self) -> float | None:
        """Share of approximate answers that were right of late; None where nothing is approximate, or not checked."""
        return self._check.recall if isinstance(self._snapshot.everybody.large, HnswIndex) else None

    def check_recall(self) -> None:
        """Compare some answers with exact ones, and search more broadly where too few are right.

        Takes seconds for a million faces; meant to be called every few minutes, from a thread that has the time.
        Raises GalleryError.
        """
        now = self._snapshot.everybody
        probes = self._check.take()
        if not isinstance(now.large, HnswIndex) or not len(probes):
            return
        with self._opened() as store, store.database.read() as connection:
            exact = exact_answers(connection, self._model_id, probes)
        found = [hits[0].similarity if hits else -1.0 for hits in now.search(probes, 1)]
        self._check.add(np.array(found, np.float32), exact)
        recall = self._check.recall
        if recall is not None and recall < self._config.recall - 0.01 and now.large.graph.widen():
            logger.info("gallery index found %.1f %%: ef is %d now", 100 * recall, now.large.graph.ef)
            self._check.forget()

    def _advance(self) -> None:
        since = self._store.delta(self._model_id, self._front.mark, whole=False)
        self._names, self._labels = since.people_after(self._snapshot.names, self._snapshot.labels)
        before = self._snapshot.everybody
        self._front = self._front.without(since.removed).followed_by(since)
        hidden = before.hidden | _present(before.large, since.removed)
        self._exchange(before.large, hidden)

    def _exchange(self, large: Index, hidden: frozenset[int]) -> None:
        people = People(self._front.mark.version, self._names, self._labels)
        changed = Snapshot(people, large, ExactIndex(_entries(self._front)), hidden)
        changed.prepare_as(self._snapshot)
        self._snapshot = changed

    def _build_if_due(self) -> None:
        with self._changing:
            running = self._builder is not None and self._builder.is_alive()
            if not running and self._due():
                self._builder = threading.Thread(target=self._build, name="gallery-index", daemon=True)
                self._builder.start()

    def _due(self) -> bool:
        now = self._snapshot.everybody
        wanted = wants_hnsw(self._config.index, now.faces, hnsw_from=self._config.hnsw_from)
        return (
            now.front.size > FRONT_MAX_FACES
            or len(now.hidden) > max(100, now.large.size // 10)
            or (wanted and isinstance(now.large, ExactIndex))
        )

    def _build(self) -> None:
        try:
            with self._opened() as store:  # whose reading keeps nobody from looking for changes
                everything = store.delta(self._model_id, Mark())
            mark = everything.mark
            large = build_index(
                self._config.index,
                _entries(everything),
                hnsw_from=self._config.hnsw_from,
                recall=self._config.recall,
            )
            with self._changing:
                self._swap(everything, large)
            del everything
            if isinstance(large, HnswIndex):
                self._save(SavedIndex(large, mark))
        except GalleryError as error:
            logger.error("gallery index not rebuilt, the old one stays: %s", error)

    def _save(self, built: SavedIndex) -> None:
        try:
            save_index(self._path, self._model_id, built, self._vault)
        except OSError as error:
            logger.warning("the gallery index is not saved: %s", error)
        # Whoever was forgotten meanwhile must not stay in a file.
        if self._removed_since(built.mark):
            drop_saved(self._path)

    def _removed_since(self, mark: Mark) -> frozenset[int]:
        with self._store.database.read() as connection:
            return removed_since(connection, mark)

    def _swap(self, built: Delta, large: Index) -> None:
        self._advance()  # so that the front is not older than what was built
        known = self._front.face_ids <= built.mark.face_id
        self._front = self._front.without(self._front.face_ids[known])
        # Whatever was removed after the new index was read is still to be hidden in it.
        self._exchange(large, _present(large, self._removed_since(built.mark)))
        self._check.forget()
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
    return frozenset(f for f in face_ids if index.owner(f) is not None)
