"""What a reader of the gallery file has missed since it last read."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from streamd.gallery.labels import Labels, read_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a reader has read."""

    version: int = 0
    face_id: int = 0
    removed_id: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Delta:
    """What came and went since a mark, for one embedding model."""

    mark: Mark
    """Where to continue."""
    names: dict[str, str]
    """Every person's name by id, whole."""
    labels: dict[str, Labels]
    """The labels of every person who has any, by id, whole."""
    face_ids: NDArray[np.int64]
    person_ids: list[str]
    vectors: NDArray[np.float32]
    """Added faces: shape (n,), n ids, shape (n, dim)."""
    removed: frozenset[int]
    """Face ids, of any model, that are no more."""

    def without(self, face_ids: frozenset[int] | NDArray[np.int64]) -> Delta:
        """The same, some of the added faces left out."""
        gone = np.fromiter(face_ids, dtype=np.int64, count=len(face_ids))
        keep = np.flatnonzero(~np.isin(self.face_ids, gone))
        return replace(
            self,
            face_ids=self.face_ids[keep],
            person_ids=[self.person_ids[i] for i in keep],
            vectors=self.vectors[keep],
            removed=frozenset(),
        )

    def followed_by(self, later: Delta) -> Delta:
        """The faces of both, all else as ``later`` has it."""
        if len(self.face_ids) and len(later.face_ids):
            vectors = np.concatenate([self.vectors, later.vectors])
        else:  # an empty one does not know the dimension
            vectors = self.vectors if len(self.face_ids) else later.vectors
        return replace(
            later,
            face_ids=np.concatenate([self.face_ids, later.face_ids]),
            person_ids=self.person_ids + later.person_ids,
            vectors=vectors,
            removed=frozenset(),
        )


def read_delta(connection: sqlite3.Connection, model_id: str, since: Mark) -> Delta:
    """What a reader at ``since`` has missed of one model's faces; the caller's transaction makes it one moment."""
    added = connection.execute(
        "SELECT id, person_id, unseal(vector) FROM faces WHERE id > ? AND model_id = ? ORDER BY id",
        (since.face_id, model_id),
    ).fetchall()
    removed = connection.execute("SELECT face_id FROM removed WHERE id > ?", (since.removed_id,))
    return Delta(
        removed=frozenset(int(row[0]) for row in removed),
        mark=_mark(connection),
        names={str(i): str(n) for i, n in connection.execute("SELECT id, name FROM people")},
        labels=read_labels(connection),
        face_ids=np.array([row[0] for row in added], dtype=np.int64),
        person_ids=[str(row[1]) for row in added],
        vectors=_vectors([row[2] for row in added]),
    )


def _mark(connection: sqlite3.Connection) -> Mark:
    # The counters, not max(id): they do not fall when the newest row is deleted.
    seen = {str(n): int(i) for n, i in connection.execute("SELECT name, seq FROM sqlite_sequence")}
    return Mark(seen.get("changes", 0), seen.get("faces", 0), seen.get("removed", 0))


def _vectors(blobs: list[bytes]) -> NDArray[np.float32]:
    if not blobs:
        return np.zeros((0, 0), dtype=np.float32)
    return np.frombuffer(b"".join(blobs), dtype="<f4").astype(np.float32).reshape(len(blobs), -1)
