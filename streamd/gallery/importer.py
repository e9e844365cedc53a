"""Takes the people of another gallery file into this one, in one transaction."""

from __future__ import annotations

import sqlite3
import time
import uuid
from dataclasses import dataclass

from streamd.errors import GalleryError
from streamd.gallery import rows
from streamd.gallery.store import GalleryStore

IMPORTED = "gallery.imported"
_PERSON = "id, name, origin, created_wall_s, notes, consent"
_FACE = "model_id, quality, source, source_sha256, created_wall_s, added_by"


@dataclass(frozen=True, slots=True)
class Imported:
    people: int
    """New ones."""
    merged: int
    """People of a name that was here already."""
    faces: int
    known: int
    """Faces that were here already."""


def import_people(store: GalleryStore, other: GalleryStore, *, merge: bool) -> Imported:
    """Take over everybody in ``other``; people of the same name become one.

    Raises:
        GalleryError: this gallery has people and ``merge`` is not given, or a face does not fit; nothing is changed.
    """
    new = merged = faces = known = 0
    with store.database.write() as into, other.database.read() as source:
        if not merge and into.execute("SELECT 1 FROM people").fetchone():
            raise GalleryError("the gallery is not empty: --merge adds the people of the archive to it")
        _check_dimensions(into, source)
        for person in source.execute(f"SELECT {_PERSON} FROM people ORDER BY name").fetchall():
            kept = rows.find_person_id(into, str(person[1]))
            person_id = kept or _add_person(into, person)
            new, merged = new + (kept is None), merged + (kept is not None)
            query = f"SELECT unseal(vector), unseal(chip), {_FACE} FROM faces WHERE person_id = ? ORDER BY id"
            for face in source.execute(query, (person[0],)):
                added = _add_face(into, person_id, face)
                faces, known = faces + added, known + (not added)
            labels = source.execute("SELECT key, value FROM labels WHERE person_id = ?", (person[0],))
            into.executemany("INSERT OR IGNORE INTO labels VALUES (?, ?, ?)", [(person_id, *label) for label in labels])
        spreads = source.execute("SELECT key, value FROM settings WHERE key LIKE 'impostor:%'").fetchall()
        into.executemany("INSERT OR IGNORE INTO settings VALUES (?, ?)", spreads)
        rows.log_change(into, IMPORTED, "", f"{new + merged} people, {faces} faces")
    return Imported(new, merged, faces, known)


def _add_person(into: sqlite3.Connection, person: tuple[object, ...]) -> str:
    taken = into.execute("SELECT 1 FROM people WHERE id = ?", (person[0],)).fetchone()
    person_id = uuid.uuid4().hex if taken else str(person[0])
    # The folder that they came from is not here: they stay although no photo lies there.
    row = (person_id, person[1], "command", *person[3:])
    into.execute(f"INSERT INTO people ({_PERSON}) VALUES (?, ?, ?, ?, ?, ?)", row)
    rows.log_change(into, rows.ENROLLED, person_id, "by import")
    return person_id


def _add_face(into: sqlite3.Connection, person_id: str, face: tuple[object, ...]) -> bool:
    vector, chip, model_id, quality, source, sha256, created_wall_s, added_by = face
    query = "SELECT 1 FROM faces WHERE person_id = ? AND model_id = ? AND source_sha256 = ?"
    if into.execute(query, (person_id, model_id, sha256)).fetchone():
        return False
    came_from = f"import:{str(source).partition(':')[2] or source}"
    into.execute(
        f"INSERT INTO faces (person_id, vector, chip, {_FACE}) VALUES (?, seal(?), seal(?), ?, ?, ?, ?, ?, ?)",
        (person_id, vector, chip, model_id, quality, came_from, sha256, created_wall_s or time.time(), added_by),
    )
    return True


def _check_dimensions(into: sqlite3.Connection, source: sqlite3.Connection) -> None:
    query = "SELECT model_id, length(unseal(vector)) / 4 FROM faces GROUP BY model_id"
    here = dict(into.execute(query).fetchall())
    for model_id, dim in source.execute(query):
        if here.get(model_id, dim) != dim:
            raise GalleryError(
                f"the archive's embeddings of {model_id} have {dim} numbers, here they have {here[model_id]}"
            )
