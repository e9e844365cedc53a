"""What a reader of the gallery file has missed since it last read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from streamd.gallery.labels import Labels, labels_of, read_labels

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
    """People's names by id: everybody's where ``whole``, else of those who changed."""
    labels: dict[str, Labels]
    """The labels of the same people, of those who have any."""
    face_ids: NDArray[np.int64]
    person_ids: list[str]
    vectors: NDArray[np.float32]
    """Added faces: shape (n,), n ids, shape (n, dim)."""
    removed: frozenset[int]
    """Face ids, of any model, that are no more."""
    whole: bool = True
    left: frozenset[str] = frozenset()
    """People who are no more, where not ``whole``."""

    def people_after(
        self, names: dict[str, str], labels: dict[str, Labels]
    ) -> tuple[dict[str, str], dict[str, Labels]]:
        """Everybody's names and labels, given those before."""
        if self.whole:
            return self.names, self.labels
        changed = self.left.union(self.names)
        kept_labels = {who: theirs for who, theirs in labels.items() if who not in changed}
        kept_names = names | self.names
        for who in self.left:
            kept_names.pop(who, None)
        return kept_names, kept_labels | self.labels

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


_BLOCK_FACES = 4000
"""Read at a time, so that a million faces are never held twice, and other threads get their turn."""
_SWEEPING = ("gallery.undone", "gallery.imported", "gallery.received", "person.merged")
"""Changes of more people than the one that they name."""


def read_delta(connection: sqlite3.Connection, model_id: str, since: Mark, *, whole: bool = True) -> Delta:
    """What a reader at ``since`` has missed of one model's faces; the caller's transaction makes it one moment.

    Args:
        whole: name everybody, and not only the people who changed.
    """
    face_ids, person_ids, vectors = _read_faces(connection, model_id, since.face_id)
    changed = None if whole else _changed_people(connection, since.version)
    names, labels = _people(connection, changed)
    return Delta(
        removed=removed_since(connection, since),
        mark=current_mark(connection),
        names=names,
        labels=labels,
        face_ids=face_ids,
        person_ids=person_ids,
        vectors=vectors,
        whole=changed is None,
        left=frozenset(changed or ()) - names.keys(),
    )


def count_faces(connection: sqlite3.Connection, model_id: str, up_to: int) -> int:
    """How many faces of a model have an id up to ``up_to``."""
    query = "SELECT count(*) FROM faces WHERE model_id = ? AND id <= ?"
    return int(connection.execute(query, (model_id, up_to)).fetchone()[0])


def face_blocks(
    connection: sqlite3.Connection, model_id: str, after: int
) -> Iterator[tuple[list[int], list[str], NDArray[np.float32]]]:
    """Ids, owners' ids and embeddings of the faces above ``after``, in order, a few thousand at a time."""
    query = "SELECT id, person_id, unseal(vector) FROM faces WHERE id > ? AND model_id = ? ORDER BY id"
    found = connection.execute(query, (after, model_id))
    while rows := found.fetchmany(_BLOCK_FACES):
        vectors = np.frombuffer(b"".join(row[2] for row in rows), dtype="<f4").astype(np.float32)
        yield [row[0] for row in rows], [row[1] for row in rows], vectors.reshape(len(rows), -1)


def _read_faces(
    connection: sqlite3.Connection, model_id: str, after: int
) -> tuple[NDArray[np.int64], list[str], NDArray[np.float32]]:
    query = "SELECT count(*) FROM faces WHERE id > ? AND model_id = ?"
    count = int(connection.execute(query, (after, model_id)).fetchone()[0])
    ids, owners, vectors = np.zeros(count, np.int64), [], np.zeros((0, 0), np.float32)
    known: dict[str, str] = {}
    at = 0
    for block_ids, block_owners, block in face_blocks(connection, model_id, after):
        if at == 0:
            vectors = np.empty((count, block.shape[1]), np.float32)
        ids[at : at + len(block_ids)] = block_ids
        vectors[at : at + len(block_ids)] = block
        # One text per person, not per face: a million of them would take eighty megabytes.
        owners += [known.setdefault(owner, owner) for owner in block_owners]
        at += len(block_ids)
    return ids, owners, vectors


def _changed_people(connection: sqlite3.Connection, version: int) -> list[str] | None:
    """Whom the changes after ``version`` concern; None where that may be anybody."""
    marks = ",".join("?" * len(_SWEEPING))
    query = f"SELECT 1 FROM changes WHERE version > ? AND what IN ({marks}) LIMIT 1"
    if version == 0 or connection.execute(query, (version, *_SWEEPING)).fetchone():
        return None
    found = connection.execute("SELECT DISTINCT person_id FROM changes WHERE version > ?", (version,))
    return [str(row[0]) for row in found if row[0]]


def _people(connection: sqlite3.Connection, only: list[str] | None) -> tuple[dict[str, str], dict[str, Labels]]:
    if only is None:
        return {str(i): str(n) for i, n in connection.execute("SELECT id, name FROM people")}, read_labels(connection)
    names, labels = {}, {}
    for person_id in only:
        for (name,) in connection.execute("SELECT name FROM people WHERE id = ?", (person_id,)):
            names[person_id] = str(name)
            if theirs := labels_of(connection, person_id):
                labels[person_id] = theirs
    return names, labels


def removed_since(connection: sqlite3.Connection, mark: Mark) -> frozenset[int]:
    """Face ids that are no more since a mark."""
    found = connection.execute("SELECT face_id FROM removed WHERE id > ?", (mark.removed_id,))
    return frozenset(int(row[0]) for row in found)


def vectors_of(connection: sqlite3.Connection, face_ids: Sequence[int]) -> dict[int, NDArray[np.float32]]:
    """Embeddings of those of these faces that are there."""
    query = "SELECT unseal(vector) FROM faces WHERE id = ?"
    found = ((face_id, connection.execute(query, (face_id,)).fetchone()) for face_id in face_ids)
    return {face_id: np.frombuffer(row[0], "<f4").astype(np.float32) for face_id, row in found if row}


def current_mark(connection: sqlite3.Connection) -> Mark:
    """How far the gallery file is."""
    # The counters, not max(id): they do not fall when the newest row is deleted.
    seen = {str(n): int(i) for n, i in connection.execute("SELECT name, seq FROM sqlite_sequence")}
    return Mark(seen.get("changes", 0), seen.get("faces", 0), seen.get("removed", 0))
