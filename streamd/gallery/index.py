"""Search structures over the gallery's faces. They are built once and never changed; a new one replaces an old one.

Every index answers per person, not per face: somebody with ten photos is still one candidate.
"""

from __future__ import annotations

from bisect import bisect_left
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

    @property
    def people(self) -> Sequence[str]:
        """Ids of the people who have faces here, each once."""

    def owner(self, face_id: int) -> str | None:
        """Whose face this is; None where it is not here."""

    def faces_count(self, person_id: str) -> int:
        """How many faces a person has here."""

    def faces_of(self, person_id: str) -> tuple[NDArray[np.int64], Vectors]:
        """Ids and embeddings of a person's faces, shapes (n,) and (n, dim); n is 0 for somebody who is not here."""

    def within(self, people: Collection[str]) -> Index:
        """The same faces, but for those of everybody else; sharing what can be shared."""

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
        in_order = bool(np.all(face_ids[1:] > face_ids[:-1]))  # as the gallery file gives them
        self._order = None if in_order else np.argsort(face_ids, kind="stable")
        self._sorted = face_ids if self._order is None else face_ids[self._order]

    def find(self, face_id: int) -> int | None:
        at = int(np.searchsorted(self._sorted, face_id))
        if at >= len(self._sorted) or self._sorted[at] != face_id:
            return None
        return at if self._order is None else int(self._order[at])


@dataclass(frozen=True, slots=True, eq=False)
class PersonRows:
    """Faces ordered by person: person i has the rows from ``starts[i]`` to before ``starts[i + 1]``."""

    vectors: Vectors
    face_ids: NDArray[np.int64]
    people: list[str]
    """In order, each once."""
    starts: NDArray[np.intp]
    """One more than people; the last is the number of faces."""

    @classmethod
    def of(cls, entries: Entries) -> PersonRows:
        people = sorted(set(entries.person_ids))
        code_of = {person: code for code, person in enumerate(people)}
        codes = np.fromiter((code_of[p] for p in entries.person_ids), np.intp, count=len(entries.person_ids))
        order = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[order], np.arange(len(people) + 1))
        vectors = np.ascontiguousarray(entries.vectors[order])
        return cls(vectors, entries.face_ids[order], people, starts)

    def within(self, people: Collection[str]) -> PersonRows:
        """A copy of these people's rows."""
        chosen = [i for i, person in enumerate(self.people) if person in people]
        counts = np.diff(self.starts)[chosen]
        starts = np.concatenate([np.zeros(1, np.intp), np.cumsum(counts, dtype=np.intp)])
        rows = np.repeat(self.starts[:-1][chosen] - starts[:-1], counts) + np.arange(starts[-1])
        return PersonRows(self.vectors[rows], self.face_ids[rows], [self.people[i] for i in chosen], starts)


class ExactIndex:
    """Compares with every face, by one matrix product. Fastest up to some ten thousand faces."""

    def __init__(self, entries: Entries | PersonRows) -> None:
        self._faces = entries if isinstance(entries, PersonRows) else PersonRows.of(entries)
        self._rows = FaceRows(self._faces.face_ids)

    @property
    def size(self) -> int:
        return len(self._faces.face_ids)

    @property
    def people(self) -> Sequence[str]:
        return self._faces.people

    def owner(self, face_id: int) -> str | None:
        row = self._rows.find(face_id)
        if row is None:
            return None
        return self._faces.people[int(np.searchsorted(self._faces.starts, row, side="right")) - 1]

    def faces_count(self, person_id: str) -> int:
        return len(self.faces_of(person_id)[0])

    def faces_of(self, person_id: str) -> tuple[NDArray[np.int64], Vectors]:
        at = position(self._faces.people, person_id)
        rows = slice(0, 0) if at is None else slice(self._faces.starts[at], self._faces.starts[at + 1])
        return self._faces.face_ids[rows], self._faces.vectors[rows]

    def within(self, people: Collection[str]) -> ExactIndex:
        return ExactIndex(self._faces.within(people))

    def search(self, probes: Vectors, people: int, *, hidden: Collection[int] = _NOBODY) -> list[list[Hit]]:
        check_probes(probes, self._faces.vectors.shape[1] if self.size else None)
        if not self.size or people < 1:
            return [[] for _ in probes]
        masked = [row for face_id in hidden if (row := self._rows.find(face_id)) is not None]
        step = max(1, _BLOCK_BYTES // (4 * self.size))
        found: list[list[Hit]] = []
        for at in range(0, len(probes), step):
            block = probes[at : at + step]
            similarities = block @ self._faces.vectors.T
            similarities[:, masked] = -np.inf
            best = np.maximum.reduceat(similarities, self._faces.starts[:-1], axis=1)
            found.extend(
                self._nearest(probe, row, per_person, people)
                for probe, row, per_person in zip(block, similarities, best, strict=True)
            )
        return found

    def _nearest(self, probe: Vectors, similarities: Vectors, per_person: Vectors, people: int) -> list[Hit]:
        faces, hits = self._faces, []
        for person in _largest(per_person, people):
            if per_person[person] == -np.inf:
                break
            start, end = faces.starts[person], faces.starts[person + 1]
            row = int(start + np.argmax(similarities[start:end]))
            hits.append(Hit(faces.people[person], int(faces.face_ids[row]), cosine(probe, faces.vectors[row])))
        return hits


def build_index(kind: IndexKind, entries: Entries, *, hnsw_from: int, recall: float = 0.995) -> Index:
    """The index that ``kind`` asks for; ``auto`` is exact below ``hnsw_from`` faces.

    Args:
        recall: share of known people's probes whose nearest face an approximate index is to find.

    Raises:
        GalleryError: the vectors are not finite, or not of unit length.
    """
    if wants_hnsw(kind, len(entries.face_ids), hnsw_from=hnsw_from):
        from streamd.gallery.hnsw import HnswIndex

        return HnswIndex(entries, recall=recall)
    return ExactIndex(entries)


def wants_hnsw(kind: IndexKind, size: int, *, hnsw_from: int) -> bool:
    """Whether ``size`` faces are to be searched approximately."""
    return size > 0 and (kind == "hnsw" or (kind == "auto" and size >= hnsw_from))


def position(people: Sequence[str], person_id: str) -> int | None:
    """Where somebody stands among people in order."""
    at = bisect_left(people, person_id)
    return at if at < len(people) and people[at] == person_id else None


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
