"""Rows of the gallery file, and the statements that write them inside a transaction of the caller's."""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from streamd.errors import GalleryError

if TYPE_CHECKING:
    from streamd.domain import Vector
    from streamd.gallery.labels import Labels

Origin = Literal["command", "folder"]

ENROLLED = "person.enrolled"
FACES_ADDED = "faces.added"
FACES_REMOVED = "faces.removed"
RENAMED = "person.renamed"
LABELLED = "person.labelled"
DESCRIBED = "person.described"
MERGED = "person.merged"
SPLIT = "person.split"
PHOTOS_REVIEWED = "photos.reviewed"
FORGOTTEN = "person.forgotten"


@dataclass(frozen=True, slots=True, eq=False)
class NewFace:
    """A face to be kept."""

    vector: Vector
    model_id: str
    """Of the embedder; vectors of two models are never compared."""
    chip_jpeg: bytes
    """The aligned face, 112 x 112."""
    quality: float
    source: str
    """Where it came from: ``folder:<path in the folder>`` or ``photo:<file name>``."""
    source_sha256: str
    """Of the photo's bytes, hexadecimal."""

    def from_source(self, source: str) -> NewFace:
        return replace(self, source=source)


@dataclass(frozen=True, slots=True)
class Person:
    id: str
    name: str
    origin: Origin
    """Who brought the person in; people of the folder go when their directory in it goes."""
    created_wall_s: float
    faces: int
    labels: Labels = frozenset()
    notes: str = ""
    consent: str = ""
    """What the person agreed to, and when, in the words of whoever enrolled them."""


@dataclass(frozen=True, slots=True)
class KeptFace:
    """A face in the gallery, without its vector."""

    id: int
    model_id: str
    quality: float
    source: str
    source_sha256: str
    created_wall_s: float
    added_by: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One numbered change of the gallery."""

    version: int
    at_wall_s: float
    what: str
    """``person.enrolled faces.added faces.removed person.renamed person.labelled person.described person.merged
    person.split person.forgotten photos.reviewed faces.reembedded gallery.undone gallery.imported
    gallery.received gallery.calibrated``."""
    person_id: str
    name: str | None
    """The person's name today; None once forgotten."""
    detail: str
    batch: int = 0
    """Number of the first change of the same transaction."""
    actor: str = ""
    """Who made it: a user's name, ``daemon`` for the folder of photographs."""


def find_person_id(connection: sqlite3.Connection, name: str) -> str | None:
    row = connection.execute("SELECT id FROM people WHERE name = ?", (name,)).fetchone()
    return str(row[0]) if row else None


def ensure_person(connection: sqlite3.Connection, name: str, origin: Origin) -> str:
    """The id of the person of this name, who is created where there is none."""
    if found := find_person_id(connection, name):
        return found
    person_id = uuid.uuid4().hex
    connection.execute(
        "INSERT INTO people (id, name, origin, created_wall_s) VALUES (?, ?, ?, ?)",
        (person_id, name, origin, time.time()),
    )
    log_change(connection, ENROLLED, person_id, f"by {origin}")
    return person_id


def insert_faces(connection: sqlite3.Connection, person_id: str, faces: Sequence[NewFace]) -> list[int]:
    """Add checked faces and log them as one change. Raises GalleryError for a vector that cannot be one."""
    ids = []
    for face in faces:
        _check_vector(connection, face)
        ids.append(_insert_face(connection, person_id, face))
    log_change(connection, FACES_ADDED, person_id, ", ".join(f.source for f in faces))
    return ids


def delete_faces_of_source(connection: sqlite3.Connection, source: str) -> int:
    """Remove what came from ``source``; returns how many faces went."""
    owners = connection.execute("SELECT DISTINCT person_id FROM faces WHERE source = ?", (source,)).fetchall()
    gone = connection.execute("DELETE FROM faces WHERE source = ?", (source,)).rowcount
    for (person_id,) in owners:
        log_change(connection, FACES_REMOVED, str(person_id), source)
    return gone


def move_faces(connection: sqlite3.Connection, face_ids: Sequence[int], to_person_id: str) -> None:
    """Give faces to another person. They get new ids, so that every reader of the file notices;
    a face that the person has already is not given twice."""
    columns = "model_id, vector, chip, quality, source, source_sha256, created_wall_s, added_by"
    for face_id in face_ids:
        connection.execute(
            f"INSERT INTO faces (person_id, {columns}) SELECT ?, {columns} FROM faces f WHERE id = ? AND NOT EXISTS"
            " (SELECT 1 FROM faces g WHERE g.person_id = ? AND g.model_id = f.model_id"
            " AND g.source_sha256 = f.source_sha256 AND unseal(g.chip) = unseal(f.chip))",
            (to_person_id, face_id, to_person_id),
        )
        connection.execute("DELETE FROM faces WHERE id = ?", (face_id,))


def note_alias(connection: sqlite3.Connection, gone: str, kept: str) -> None:
    """Faces that other boxes enrol for the person who is ``gone`` belong to the one who is ``kept``."""
    connection.execute("UPDATE shared SET row_id = ? WHERE kind = 'person' AND row_id = ?", (kept, gone))


def setting(connection: sqlite3.Connection, key: str) -> str | None:
    row = connection.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
    return str(row[0]) if row else None


def log_change(connection: sqlite3.Connection, what: str, person_id: str, detail: str) -> None:
    connection.execute(
        "INSERT INTO changes (at_wall_s, what, person_id, detail, batch, actor)"
        " SELECT ?, ?, ?, ?, batch, actor FROM present",
        (time.time(), what, person_id, detail),
    )


def _insert_face(connection: sqlite3.Connection, person_id: str, face: NewFace) -> int:
    cursor = connection.execute(
        "INSERT INTO faces"
        " (person_id, model_id, vector, chip, quality, source, source_sha256, created_wall_s, added_by)"
        " SELECT ?, ?, seal(?), seal(?), ?, ?, ?, ?, actor FROM present",
        (
            person_id,
            face.model_id,
            np.ascontiguousarray(face.vector, dtype="<f4").tobytes(),
            face.chip_jpeg,
            float(face.quality),
            face.source,
            face.source_sha256,
            time.time(),
        ),
    )
    return int(cursor.lastrowid or 0)


def _check_vector(connection: sqlite3.Connection, face: NewFace) -> None:
    vector = face.vector
    if vector.ndim != 1 or vector.size == 0:
        raise GalleryError(f"embedding of {face.source} has shape {vector.shape}, not (dim,)")
    length = float(np.linalg.norm(vector))
    if not abs(length - 1.0) < 1e-3:  # also true of NaN
        raise GalleryError(f"embedding of {face.source} has length {length:.3g}, not 1")
    row = connection.execute(
        "SELECT length(unseal(vector)) / 4 FROM faces WHERE model_id = ? LIMIT 1", (face.model_id,)
    ).fetchone()
    if row and row[0] != vector.size:
        raise GalleryError(
            f"embedding of {face.source} has {vector.size} numbers, others of {face.model_id} have {row[0]}"
        )
