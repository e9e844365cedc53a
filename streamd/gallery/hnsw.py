"""Approximate search by hnswlib (Malkov and Yashunin, 2016, https://arxiv.org/abs/1603.09320).

What hnswlib 0.8 does that one would not expect, and how it is met here:

* ``ef`` is not saved with an index and falls back to 10: it is kept beside a saved graph, and set after loading.
* ``k`` above the number of live elements raises: ``k`` is bounded by the size, and nothing is ever deleted inside.
* A full index raises, and deleted elements still count: it is built at its final size, once.
* NaN vectors are accepted and come back as neighbours: ``Entries`` and ``check_probes`` refuse them.
* Inserting while searching is not allowed: an index is not changed once built.
* Saving holds the interpreter: a copy of the process does it.
* A query's ``filter`` calls Python for every face on its way, three to five times the time of a query without one, and
  raises where it finds too few: more neighbours are asked for instead, and small scopes are compared face by face.

How broad a search must be (``ef``) depends on the faces. Once built, the graph is asked for the neighbours of made
probes, and ``ef`` is raised until it answers well enough.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Collection, Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import hnswlib
import numpy as np

from streamd.gallery.index import Entries, ExactIndex, FaceRows, Hit, Index, check_probes, cosine

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from streamd.gallery.index import Vectors

logger = logging.getLogger(__name__)

_LINKS = 16
_EF_CONSTRUCTION = 200
EF_MIN, EF_MAX = 128, 4096
_EF_STEP = 1.25
RECALL = 0.995
"""Share of known people's probes whose nearest face is to be found. Strangers are not asked for: near to nobody, they
would need ten times the breadth, and to miss the face that is least unlike theirs does no harm."""
_PROBES = 800
_PROBE_SIMILARITY, _PROBE_SPREAD = 0.68, 0.093
"""Of made probes and the faces they are made from, mean and deviation: as two photos of one person, embedded by SFace,
are in the development data (docs/accuracy.md)."""
_EXACT_SHARE = 0.05
"""A scope with a smaller share of the faces is compared face by face: the graph would pass twenty for each of it."""
EXACT_SCOPE_FACES = 20_000
"""A scope of so many faces is compared face by face whatever its share."""
_BLOCK_ROWS = 1000
"""Faces in one matrix product: a search waits for one that is under way, for so many a few milliseconds."""


class Graph:
    """Faces and their near neighbours; visits a few hundred faces of a hundred thousand."""

    def __init__(self, graph: hnswlib.Index, *, size: int, dim: int, ef: int = EF_MIN) -> None:
        self.size, self.dim = size, dim
        self._graph = graph
        self.set_ef(ef)

    @classmethod
    def of(cls, vectors: Vectors, *, recall: float, threads: int, photos: float = 1.0) -> Graph:
        """Build, and find out how broad searches must be; people have so many ``photos`` on average."""
        size, dim = vectors.shape
        graph = hnswlib.Index(space="ip", dim=dim)
        graph.init_index(max_elements=size, ef_construction=_EF_CONSTRUCTION, M=_LINKS, random_seed=100)
        graph.add_items(vectors, np.arange(size), num_threads=threads)
        built = cls(graph, size=size, dim=dim)
        built.set_ef(_fitting_ef(built, vectors, recall, photos))
        return built

    @classmethod
    def load(cls, path: Path, *, size: int, dim: int, ef: int) -> Graph:
        """Read what ``save`` wrote. Raises RuntimeError for a file that hnswlib cannot read."""
        graph = hnswlib.Index(space="ip", dim=dim)
        graph.load_index(str(path), max_elements=size)
        if graph.element_count != size:
            raise RuntimeError(f"{graph.element_count} elements, not {size}")
        return cls(graph, size=size, dim=dim, ef=ef)

    def save(self, path: Path) -> None:
        """Write hnswlib's own file. Raises OSError.

        A copy of this process does it: hnswlib holds the interpreter meanwhile, for a second with a million faces.
        """
        child = os.fork()
        if child == 0:
            code = 1
            try:
                self._graph.save_index(str(path))
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        if status:
            raise OSError(errno.EIO, f"writing the index failed (status {status})", str(path))

    @property
    def ef(self) -> int:
        """Breadth of the search; more finds more, and takes longer."""
        return self._ef

    def set_ef(self, ef: int) -> None:
        self._ef = min(EF_MAX, max(EF_MIN, ef))
        self._graph.set_ef(self._ef)

    def widen(self) -> bool:
        """Search more broadly from now on; False where that is not possible."""
        if self._ef >= EF_MAX:
            return False
        self.set_ef(int(self._ef * 1.5))
        return True

    def neighbours(self, probes: Vectors, count: int) -> NDArray[np.intp]:
        """Rows of the ``count`` nearest faces of each probe, nearest first."""
        try:
            labels, _ = self._graph.knn_query(probes, k=count, num_threads=1)
        except RuntimeError as error:
            # Parts of the graph that no link reaches: rare, and then slow is better than wrong.
            logger.warning("approximate search found too little (%s), comparing with every face", error)
            labels = self._every_neighbour(probes, count)
        return np.asarray(labels, dtype=np.intp)

    def _every_neighbour(self, probes: Vectors, count: int) -> NDArray[np.intp]:
        blocks = [
            probes @ self.vectors(np.arange(at, min(at + _BLOCK_ROWS, self.size))).T
            for at in range(0, self.size, _BLOCK_ROWS)
        ]
        return np.argsort(-np.concatenate(blocks, axis=1), axis=1, kind="stable")[:, :count]

    def vectors(self, rows: NDArray[np.intp] | list[int]) -> Vectors:
        if not len(rows):
            return np.zeros((0, self.dim), dtype=np.float32)
        return np.asarray(self._graph.get_items(rows, return_type="numpy"), dtype=np.float32)


def _fitting_ef(graph: Graph, vectors: Vectors, recall: float, photos: float) -> int:
    """The smallest breadth that finds enough of the nearest faces of made probes."""
    if len(vectors) <= EF_MIN:
        return EF_MIN
    probes = _made_probes(vectors, max(1, round(photos)))
    best = _best_similarity(probes, vectors)
    while _recall(graph, probes, vectors, best) < recall and graph.ef < EF_MAX:
        graph.set_ef(int(graph.ef * _EF_STEP))
    return graph.ef


def _made_probes(vectors: Vectors, photos: int) -> Vectors:
    """Further photos of people in ``vectors``: each is moved from a face towards nobody, whose every number is somebody
    else's but for what all have in common. Of several ``photos`` the nearest is as near as the best of so many draws.
    """
    chance = np.random.default_rng(0)
    rows = chance.integers(0, len(vectors), _PROBES)
    mixed: Vectors = vectors[chance.integers(0, len(vectors), (_PROBES, vectors.shape[1])), np.arange(vectors.shape[1])]
    mixed = mixed - vectors.mean(axis=0)
    strange = mixed / np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-9)
    faces = vectors[rows]
    aside = strange - (strange * faces).sum(axis=1, keepdims=True) * faces
    aside /= np.maximum(np.linalg.norm(aside, axis=1, keepdims=True), 1e-9)
    drawn = chance.normal(_PROBE_SIMILARITY, _PROBE_SPREAD, (_PROBES, photos)).max(axis=1, keepdims=True)
    similarity = np.clip(drawn, 0.2, 0.95)
    return np.asarray(similarity * faces + np.sqrt(1 - similarity**2) * aside, np.float32)


def _best_similarity(probes: Vectors, vectors: Vectors) -> Vectors:
    best = np.full(len(probes), -np.inf, np.float32)
    for at in range(0, len(vectors), _BLOCK_ROWS):
        np.maximum(best, (probes @ vectors[at : at + _BLOCK_ROWS].T).max(axis=1), out=best)
    return best


def _recall(graph: Graph, probes: Vectors, vectors: Vectors, best: Vectors) -> float:
    found = vectors[graph.neighbours(probes, 1)[:, 0]]
    return float(np.mean((found * probes).sum(axis=1) >= best - 1e-5))


@dataclass(frozen=True, slots=True, eq=False)
class GraphRows:
    """What each row of a graph stands for."""

    face_ids: NDArray[np.int64]
    codes: NDArray[np.int32]
    """Position of the face's person among ``people``."""
    people: list[str]
    """Ids, each once, in order of their first face."""

    @classmethod
    def of(cls, entries: Entries) -> GraphRows:
        # A loop, in which other threads get their turn: sorting a million texts would hold them up for seconds.
        code_of: dict[str, int] = {}
        codes = np.empty(len(entries.person_ids), np.int32)
        for row, person in enumerate(entries.person_ids):
            codes[row] = code_of.setdefault(person, len(code_of))
        return cls(entries.face_ids, codes, list(code_of))


class HnswIndex:
    """A graph over everybody, of which a scope may leave people out."""

    def __init__(self, entries: Entries, *, recall: float = RECALL, threads: int = 1) -> None:
        """Build the graph, which takes about 0.3 ms a face. ``entries`` must not be empty."""
        rows = GraphRows.of(entries)
        photos = len(rows.face_ids) / len(rows.people)
        self._take(Graph.of(entries.vectors, recall=recall, threads=threads, photos=photos), rows)

    @classmethod
    def restored(cls, graph: Graph, rows: GraphRows) -> HnswIndex:
        """An index that was built before."""
        index = cls.__new__(cls)
        index._take(graph, rows)
        return index

    def _take(self, graph: Graph, rows: GraphRows) -> None:
        self._graph = graph
        self._face_ids = rows.face_ids
        self._rows = FaceRows(rows.face_ids)
        self._everybody, self._codes = rows.people, rows.codes
        self._code_of = {person: code for code, person in enumerate(rows.people)}
        self._counts = np.bincount(rows.codes)
        self._most_faces = int(self._counts.max())
        """Faces of the person who has most: as many neighbours may be one person."""
        self._narrow(np.ones(len(rows.people), dtype=np.bool_))

    @property
    def graph(self) -> Graph:
        """Of everybody."""
        return self._graph

    @property
    def rows(self) -> GraphRows:
        return GraphRows(self._face_ids, self._codes, self._everybody)

    def _narrow(self, admitted: NDArray[np.bool_]) -> None:
        self._admitted = admitted
        """Of each person, whether the scope considers them."""
        self._people = self._everybody if admitted.all() else [self._everybody[i] for i in np.flatnonzero(admitted)]
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
        code = self._code_of.get(person_id, -1)
        return code if code >= 0 and self._admitted[code] else -1

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
