"""Approximate search by hnswlib (Malkov and Yashunin, 2016, https://arxiv.org/abs/1603.09320).

What hnswlib 0.8 does that one would not expect, and how it is met here:

* ``ef`` is not saved with an index and falls back to 10: indexes are never saved, always built from the store.
* ``k`` above the number of live elements raises: ``k`` is bounded by the size, and nothing is ever deleted inside.
* A full index raises, and deleted elements still count: it is built at its final size, once.
* NaN vectors are accepted and come back as neighbours: ``Entries`` and ``check_probes`` refuse them.
* Inserting while searching is not allowed: an index is not changed once built.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import TYPE_CHECKING

import hnswlib
import numpy as np

from streamd.gallery.index import Entries, FaceRows, Hit, check_probes, cosine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamd.gallery.index import Vectors

logger = logging.getLogger(__name__)

_LINKS = 16
_EF_CONSTRUCTION = 200
_EF_MIN, _EF_MAX = 128, 2048


class HnswIndex:
    """A graph of near neighbours; visits a few hundred faces of a hundred thousand."""

    def __init__(self, entries: Entries, *, threads: int = 1) -> None:
        """Build the graph, which takes about 0.2 ms a face. ``entries`` must not be empty."""
        self._face_ids = entries.face_ids
        self._rows = FaceRows(entries.face_ids)
        people, self._codes = np.unique(np.asarray(entries.person_ids, dtype=object), return_inverse=True)
        self._person_ids = [str(p) for p in people]
        self._most_faces = int(np.bincount(self._codes).max())
        """Faces of the person who has most: as many neighbours may be one person."""
        self._dim = entries.vectors.shape[1]
        self._graph = hnswlib.Index(space="ip", dim=self._dim)
        self._graph.init_index(max_elements=self.size, ef_construction=_EF_CONSTRUCTION, M=_LINKS, random_seed=100)
        self._graph.add_items(entries.vectors, np.arange(self.size), num_threads=threads)
        self._graph.set_ef(self.ef)

    @property
    def size(self) -> int:
        return len(self._face_ids)

    def __contains__(self, face_id: int) -> bool:
        return self._rows.find(face_id) is not None

    @property
    def ef(self) -> int:
        """Breadth of the search: 128 found 0.999 of the nearest among 100,000, a million needs ten times that."""
        return min(_EF_MAX, max(_EF_MIN, _EF_MIN * self.size // 100_000))

    def search(self, probes: Vectors, people: int, *, hidden: Collection[int] = frozenset()) -> list[list[Hit]]:
        check_probes(probes, self._dim)
        if not len(probes) or people < 1:
            return [[] for _ in probes]
        enough = self._enough(people, len(hidden))
        neighbours = min(enough, 8 * people)
        while True:
            rows = self._neighbours(probes, neighbours)
            found = [self._per_person(probe, near, hidden) for probe, near in zip(probes, rows, strict=True)]
            if neighbours >= enough or all(len(hits) >= people for hits in found):
                return [hits[:people] for hits in found]
            neighbours = min(enough, 4 * neighbours)

    def _enough(self, people: int, hidden: int) -> int:
        """With this many neighbours every one of the nearest people must be among them."""
        return min(self.size, (people - 1) * self._most_faces + 1 + hidden)

    def _neighbours(self, probes: Vectors, count: int) -> NDArray[np.intp]:
        """Rows of the ``count`` nearest faces of each probe, nearest first."""
        try:
            labels, _ = self._graph.knn_query(probes, k=count, num_threads=1)
        except RuntimeError as error:
            # Parts of the graph that no link reaches: rare, and then slow is better than wrong.
            logger.warning("approximate search found too little (%s), comparing with every face", error)
            similarities = probes @ self._vectors(np.arange(self.size)).T
            labels = np.argsort(-similarities, axis=1, kind="stable")[:, :count]
        return np.asarray(labels, dtype=np.intp)

    def _per_person(self, probe: Vectors, near: NDArray[np.intp], hidden: Collection[int]) -> list[Hit]:
        first: dict[int, int] = {}
        for row in near:
            if int(self._face_ids[row]) not in hidden:
                first.setdefault(int(self._codes[row]), int(row))
        rows = list(first.values())
        hits = [
            Hit(self._person_ids[code], int(self._face_ids[row]), cosine(probe, vector))
            for (code, row), vector in zip(first.items(), self._vectors(rows), strict=True)
        ]
        return sorted(hits, key=lambda hit: -hit.similarity)

    def _vectors(self, rows: NDArray[np.intp] | list[int]) -> Vectors:
        if not len(rows):
            return np.zeros((0, self._dim), dtype=np.float32)
        return np.asarray(self._graph.get_items(rows, return_type="numpy"), dtype=np.float32)
