"""Search structures over the gallery's faces. They are built once and never changed; a new one replaces an old one.

Every index answers per person, not per face: somebody with ten photos is still one candidate.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from streamd.errors import GalleryError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    """Unit rows, shape (n, dim)."""

IndexKind = Literal["auto", "exact", "hnsw"]
_BLOCK_BYTES = 64 * 1024 * 1024
"""Probes are compared in blocks whose similarities take at most this much."""
_NOBODY: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Hit:
    """The face of one person that is nearest to a probe."""

    person_id: str
    face_id: int
    similarity: float


class Index(Protocol):
    """Immutable, so any number of threads may search it."""

    @property
    def size(self) -> int:
        """Number of faces."""

    def __contains__(self, face_id: int) -> bool: ...

    def search(self, probes: Vectors, people: int, *, hidden: Collection[int] = _NOBODY) -> list[list[Hit]]:
        """For each probe the ``people`` nearest people, best first, without the faces in ``hidden``."""


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """What an index is made of; row i is one face."""

    vectors: Vectors
    face_ids: NDArray[np.int64]
    person_ids: Sequence[str]

    def __post_init__(self) -> None:
        if not len(self.vectors) == len(self.face_ids) == len(self.person_ids):
            raise GalleryError(
                f"index of {len(self.vectors)} vectors, {len(self.face_ids)} faces, {len(self.person_ids)} people"
            )
        check_unit(self.vectors, "gallery")


class FaceRows:
    """Where each face stands in an index; a dictionary would take ten times the memory."""

    def __init__(self, face_ids: NDArray[np.int64]) -> None:
        self._order = np.argsort(face_ids, kind="stable")
        self._sorted = face_ids[self._order]

    def find(self, face_id: int) -> int | None:
        at = int(np.searchsorted(self._sorted, face_id))
        return int(self._order[at]) if at < len(self._sorted) and self._sorted[at] == face_id else None


class ExactIndex:
    """Compares with every face, by one matrix product. Fastest up to some ten thousand faces."""

    def __init__(self, entries: Entries) -> None:
        codes = np.unique(np.asarray(entries.person_ids, dtype=object), return_inverse=True)[1]
        order = np.argsort(codes, kind="stable")
        self._vectors = np.ascontiguousarray(entries.vectors[order])
        self._face_ids = entries.face_ids[order]
        self._rows = FaceRows(self._face_ids)
        sorted_codes = codes[order]
        self._starts = np.flatnonzero(np.diff(sorted_codes, prepend=-1))
        """First row of each person; a person's faces lie together."""
        self._ends = np.append(self._starts[1:], len(order))
        self._person_ids = [entries.person_ids[int(order[start])] for start in self._starts]

    @property
    def size(self) -> int:
        return len(self._face_ids)

    def __contains__(self, face_id: int) -> bool:
        return self._rows.find(face_id) is not None

    def search(self, probes: Vectors, people: int, *, hidden: Collection[int] = _NOBODY) -> list[list[Hit]]:
        check_probes(probes, self._vectors.shape[1] if self.size else None)
        if not self.size or people < 1:
            return [[] for _ in probes]
        masked = [row for face_id in hidden if (row := self._rows.find(face_id)) is not None]
        step = max(1, _BLOCK_BYTES // (4 * self.size))
        found: list[list[Hit]] = []
        for at in range(0, len(probes), step):
            block = probes[at : at + step]
            similarities = block @ self._vectors.T
            similarities[:, masked] = -np.inf
            best = np.maximum.reduceat(similarities, self._starts, axis=1)
            found.extend(
                self._nearest(probe, row, per_person, people)
                for probe, row, per_person in zip(block, similarities, best, strict=True)
            )
        return found

    def _nearest(self, probe: Vectors, similarities: Vectors, per_person: Vectors, people: int) -> list[Hit]:
        hits = []
        for person in _largest(per_person, people):
            if per_person[person] == -np.inf:
                break
            start, end = self._starts[person], self._ends[person]
            row = int(start + np.argmax(similarities[start:end]))
            similarity = cosine(probe, self._vectors[row])
            hits.append(Hit(self._person_ids[person], int(self._face_ids[row]), similarity))
        return hits


def build_index(kind: IndexKind, entries: Entries, *, hnsw_from: int) -> Index:
    """The index that ``kind`` asks for; ``auto`` is exact below ``hnsw_from`` faces.

    Raises:
        GalleryError: the vectors are not finite, or not of unit length.
    """
    if wants_hnsw(kind, len(entries.face_ids), hnsw_from=hnsw_from):
        from streamd.gallery.hnsw import HnswIndex

        return HnswIndex(entries)
    return ExactIndex(entries)


def wants_hnsw(kind: IndexKind, size: int, *, hnsw_from: int) -> bool:
    """Whether ``size`` faces are to be searched approximately."""
    return size > 0 and (kind == "hnsw" or (kind == "auto" and size >= hnsw_from))


def cosine(a: Vectors, b: Vectors) -> float:
    """Similarity of two unit vectors, summed in double precision: the same number whichever index found them."""
    return float(np.dot(a.astype(np.float64), b.astype(np.float64)))


def check_unit(vectors: Vectors, what: str) -> None:
    """Raises GalleryError for rows that are not finite and of unit length (hnswlib takes NaN for a neighbour)."""
    if vectors.ndim != 2:
        raise GalleryError(f"{what}: embeddings of shape {vectors.shape}, not (n, dim)")
    lengths = np.linalg.norm(vectors, axis=1)
    wrong = ~(np.abs(lengths - 1.0) < 1e-3)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise GalleryError(f"{what}: embedding {row} of {len(vectors)} has length {lengths[row]:.3g}, not 1")


def check_probes(probes: Vectors, dim: int | None) -> None:
    """Raises GalleryError for probes that cannot be compared with a gallery of dimension ``dim`` (None: any)."""
    check_unit(probes, "probe")
    if dim is not None and len(probes) and probes.shape[1] != dim:
        raise GalleryError(f"probe of dimension {probes.shape[1]} in a gallery of dimension {dim}")


def _largest(values: Vectors, count: int) -> NDArray[np.intp]:
    """Positions of the ``count`` largest values, largest first."""
    if count < len(values):
        chosen = np.argpartition(values, len(values) - count)[len(values) - count :]
    else:
        chosen = np.arange(len(values))
    return np.asarray(chosen[np.argsort(-values[chosen], kind="stable")])
