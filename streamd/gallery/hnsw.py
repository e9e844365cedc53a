"""Approximate search by hnswlib (Malkov and Yashunin, 2016, https://arxiv.org/abs/1603.09320).

What hnswlib 0.8 does that one would not expect, and how it is met here:

* ``ef`` is not saved with an index and falls back to 10: indexes are never saved, always built from the store.
* ``k`` above the number of live elements raises: ``k`` is bounded by the size, and nothing is ever deleted inside.
* A full index raises, and deleted elements still count: it is built at its final size, once.
* NaN vectors are accepted and come back as neighbours: ``Entries`` and ``check_probes`` refuse them.
* Inserting while searching is not allowed: an index is not changed once built.
* A query's ``filter`` calls Python for every face on its way, three to five times the time of a query without one, and
  raises where it finds too few: more neighbours are asked for instead, and small scopes are compared face by face.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from copy import copy
from typing import TYPE_CHECKING

import hnswlib
import numpy as np

from streamd.gallery.index import Entries, ExactIndex, FaceRows, Hit, Index, check_probes, cosine, position

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamd.gallery.index import Vectors

logger = logging.getLogger(__name__)

_LINKS = 16
_EF_CONSTRUCTION = 200
_EF_MIN, _EF_MAX = 128, 2048
_EXACT_SHARE = 0.05
"""A scope with a smaller share of the faces is compared face by face: the graph would pass twenty for each of it."""
EXACT_SCOPE_FACES = 20_000
"""A scope of so many faces is compared face by face whatever its share."""


class _Graph:
    """Faces and their near neighbours; visits a few hundred faces of a hundred thousand."""

    def __init__(self, vectors: Vectors, threads: int) -> None:
        self.size, self.dim = len(vectors), int(vectors.shape[1])
        self._graph = hnswlib.Index(space="ip", dim=self.dim)
        self._graph.init_index(max_elements=self.size, ef_construction=_EF_CONSTRUCTION, M=_LINKS, random_seed=100)
        self._graph.add_items(vectors, np.arange(self.size), num_threads=threads)
        self._graph.set_ef(self.ef)

    @property
    def ef(self) -> int:
        """Breadth of the search: 128 found 0.999 of the nearest among 100,000, a million needs ten times that."""
        return min(_EF_MAX, max(_EF_MIN, _EF_MIN * self.size // 100_000))

    def neighbours(self, probes: Vectors, count: int) -> NDArray[np.intp]:
        """Rows of the ``count`` nearest faces of each probe, nearest first."""
        try:
            labels, _ = self._graph.knn_query(probes, k=count, num_threads=1)
        except RuntimeError as error:
            # Parts of the graph that no link reaches: rare, and then slow is better than wrong.
            logger.warning("approximate search found too little (%s), comparing with every face", error)
            similarities = probes @ self.vectors(np.arange(self.size)).T
            labels = np.argsort(-similarities, axis=1, kind="stable")[:, :count]
        return np.asarray(labels, dtype=np.intp)

    def vectors(self, rows: NDArray[np.intp] | list[int]) -> Vectors:
        if not len(rows):
            return np.zeros((0, self.dim), dtype=np.float32)
        return np.asarray(self._graph.get_items(rows, return_type="numpy"), dtype=np.float32)


class HnswIndex:
    """A graph over everybody, of which a scope may leave people out."""

    def __init__(self, entries: Entries, *, threads: int = 1) -> None:
        """Build the graph, which takes about 0.2 ms a face. ``entries`` must not be empty."""
        self._graph = _Graph(entries.vectors, threads)
        self._face_ids = entries.face_ids
        self._rows = FaceRows(entries.face_ids)
        everybody, self._codes = np.unique(np.asarray(entries.person_ids, dtype=object), return_inverse=True)
        self._everybody = [str(p) for p in everybody]
        self._counts = np.bincount(self._codes)
        self._most_faces = int(self._counts.max())
        """Faces of the person who has most: as many neighbours may be one person."""
        self._narrow(np.ones(len(everybody), dtype=np.bool_))

    def _narrow(self, admitted: NDArray[np.bool_]) -> None:
        self._admitted = admitted
        """Of each person, whether the scope considers them."""
        self._people = [self._everybody[i] for i in np.flatnonzero(admitted)]
        self._size = int(self._counts[admitted].sum())

    @property
    def size(self) -> int:
        return self._size

    @property
    def people(self) -> Sequence[str]:
        return self._people

    @property
    def ef(self) -> int:
        return self._graph.ef

    def owner(self, face_id: int) -> str | None:
        row = self._rows.find(face_id)
        code = -1 if row is None else int(self._codes[row])
        return self._everybody[code] if code >= 0 and self._admitted[code] else None

    def faces_count(self, person_id: str) -> int:
        code = self._code(person_id)
        return int(self._counts[code]) if code >= 0 else 0

    def _code(self, person_id: str) -> int:
        code = position(self._everybody, person_id)
        return code if code is not None and self._admitted[code] else -1

    def faces_of(self, person_id: str) -> tuple[NDArray[np.int64], Vectors]:
        rows = np.flatnonzero(self._codes == self._code(person_id))
        return self._face_ids[rows], self._graph.vectors(rows)

    def within(self, people: Collection[str]) -> Index:
        admitted = np.fromiter((p in people for p in self._everybody), dtype=np.bool_, count=len(self._everybody))
        rows = np.flatnonzero((admitted & self._admitted)[self._codes])
        if len(rows) <= max(EXACT_SCOPE_FACES, _EXACT_SHARE * self._graph.size):
            owners = [self._everybody[code] for code in self._codes[rows]]
            return ExactIndex(Entries(self._graph.vectors(rows), self._face_ids[rows], owners))
        narrowed = copy(self)  # which shares the graph
        narrowed._narrow(admitted & self._admitted)
        return narrowed

    def search(self, probes: Vectors, people: int, *, hidden: Collection[int] = frozenset()) -> list[list[Hit]]:
        check_probes(probes, self._graph.dim)
        if not len(probes) or people < 1:
            return [[] for _ in probes]
        enough = self._enough(people, len(hidden))
        neighbours = min(enough, 8 * people * self._graph.size // max(1, self._size))
        while True:
            rows = self._graph.neighbours(probes, neighbours)
            found = [self._per_person(probe, near, hidden) for probe, near in zip(probes, rows, strict=True)]
            if neighbours >= enough or all(len(hits) >= people for hits in found):
                return [hits[:people] for hits in found]
            neighbours = min(enough, 4 * neighbours)

    def _enough(self, people: int, hidden: int) -> int:
        """With this many neighbours every one of the nearest people must be among them."""
        outside = self._graph.size - self._size
        return min(self._graph.size, (people - 1) * self._most_faces + 1 + hidden + outside)

    def _per_person(self, probe: Vectors, near: NDArray[np.intp], hidden: Collection[int]) -> list[Hit]:
        first: dict[int, int] = {}
        for row in near[self._admitted[self._codes[near]]]:
            if int(self._face_ids[row]) not in hidden:
                first.setdefault(int(self._codes[row]), int(row))
        rows = list(first.values())
        hits = [
            Hit(self._everybody[code], int(self._face_ids[row]), cosine(probe, vector))
            for (code, row), vector in zip(first.items(), self._graph.vectors(rows), strict=True)
        ]
        return sorted(hits, key=lambda hit: -hit.similarity)
