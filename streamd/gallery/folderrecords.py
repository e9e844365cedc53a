"""What was last done about each photo in the watched folder, kept beside the faces so that both change together."""

from __future__ import annotations

import hashlib
import sqlite3
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from streamd.gallery import rows
from streamd.gallery.database import Database
from streamd.gallery.erasures import delete_person, note_erasure

FOLDER = "folder:"
"""Sources in the watched folder: this, then the path inside it."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """How a file looked; another stamp means another content."""

    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class PhotoRecord:
    """What was made of one photo."""

    path: str
    """``<person>/<file>``, relative to the folder."""
    stamp: Stamp
    model_id: str
    reason: str = ""
    """Why it was refused; empty where its face is in the gallery."""


class FolderRecords:
    """The folder's part of the gallery file. Methods raise GalleryError where the file cannot be used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def photos(self) -> dict[str, PhotoRecord]:
        """Every photo that was dealt with, by path."""
        with self._database.read() as connection:
            found = connection.execute("SELECT path, size, mtime_ns, model_id, reason FROM photos")
            return {str(p): PhotoRecord(str(p), Stamp(int(s), int(t)), str(m), str(r)) for p, s, t, m, r in found}

    def unknown(self, paths: Iterable[str]) -> list[str]:
        """Those of these photos that were not dealt with, or are to be forgotten."""
        query = "SELECT 1 FROM photos WHERE path = ?"
        with self._database.read() as connection:
            return [path for path in paths if connection.execute(query, (path,)).fetchone() is None]

    def dismissed(self) -> dict[str, Stamp]:
        """Photos of forgotten people, by the SHA-256 of their path."""
        with self._database.read() as connection:
            found = connection.execute("SELECT path_sha256, size, mtime_ns FROM dismissed")
            return {str(p): Stamp(int(s), int(t)) for p, s, t in found}

    def keep_face(self, record: PhotoRecord, name: str, face: rows.NewFace) -> int:
        """The photo was accepted: its face replaces what the photo gave before. Returns the face's id."""
        with self._database.write() as connection:
            _drop_faces(connection, record.path)
            person_id = rows.ensure_person(connection, name, "folder")
            face_id = rows.insert_faces(connection, person_id, [face])[0]
            _write(connection, record)
            return face_id

    def refuse(self, record: PhotoRecord) -> None:
        """The photo was refused: whatever it gave before goes."""
        with self._database.write() as connection:
            _drop_faces(connection, record.path)
            _write(connection, record)

    def remove(self, paths: Sequence[str]) -> None:
        """The photos are gone: so are their faces."""
        with self._database.write() as connection:
            for path in paths:
                rows.delete_faces_of_source(connection, FOLDER + path)
                connection.execute("DELETE FROM photos WHERE path = ?", (path,))
            welcome_duplicates(connection)

    def forget_faceless(self, name: str) -> bool:
        """Forget this person if they came from the folder and have no face; the daemon's upkeep erases what else tells
        of them. Returns whether it was so."""
        query = (
            "SELECT id FROM people WHERE name = ? AND origin = 'folder'"
            " AND NOT EXISTS (SELECT 1 FROM faces WHERE person_id = people.id)"
        )
        with self._database.write() as connection:
            row = connection.execute(query, (name,)).fetchone()
            if row is not None:
                note_erasure(connection, delete_person(connection, str(row[0])))
        return row is not None

    def undismiss(self, path_hashes: Iterable[str]) -> None:
        """The forgotten people's photos are gone from the folder."""
        with self._database.write() as connection:
            connection.executemany("DELETE FROM dismissed WHERE path_sha256 = ?", [(h,) for h in path_hashes])

    def move(self, moves: Sequence[tuple[str, PhotoRecord]], old_name: str, new_name: str) -> bool:
        """Photos were renamed, with their directory or inside it: old paths, and the records under the new ones.

        Returns False, and changes nothing, where the new name belongs to somebody else.
        """
        with self._database.write() as connection:
            person_id = rows.find_person_id(connection, old_name)
            taken = rows.find_person_id(connection, new_name)
            if taken and taken != person_id and _owners(connection, [old for old, _ in moves]) != {taken}:
                return False
            for old_path, record in moves:
                connection.execute("DELETE FROM photos WHERE path = ?", (old_path,))
                _write(connection, record)
                connection.execute(
                    "UPDATE faces SET source = ? WHERE source = ?", (FOLDER + record.path, FOLDER + old_path)
                )
            if person_id and not taken:
                connection.execute("UPDATE people SET name = ? WHERE id = ?", (new_name, person_id))
                rows.log_change(connection, rows.RENAMED, person_id, "")
            return True

    def setting(self, key: str) -> str | None:
        with self._database.read() as connection:
            return rows.setting(connection, key)

    def set_setting(self, key: str, value: str) -> None:
        with self._database.write() as connection:
            connection.execute("INSERT OR REPLACE INTO settings (key, value) VALUES (?, ?)", (key, value))


def path_hash(path: str) -> str:
    return hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()


def dismiss_photos(connection: sqlite3.Connection, person_id: str, name: str) -> tuple[str, ...]:
    """Forget the paths of a person's photos, but not that these files are not wanted; returns the paths."""
    paths = set(_folder_paths(connection, person_id))
    for form in ("NFC", "NFD"):
        prefix = unicodedata.normalize(form, name) + "/"
        query = "SELECT path FROM photos WHERE substr(path, 1, ?) = ?"
        paths.update(str(row[0]) for row in connection.execute(query, (len(prefix), prefix)))
    for path in paths:
        connection.execute(
            "INSERT OR REPLACE INTO dismissed SELECT ?, size, mtime_ns FROM photos WHERE path = ?",
            (path_hash(path), path),
        )
        connection.execute("DELETE FROM photos WHERE path = ?", (path,))
    return tuple(sorted(paths))


def welcome_duplicates(connection: sqlite3.Connection) -> None:
    """Try again what was refused because of another face in the gallery: that one is gone."""
    again = ("duplicate", "near_duplicate", "other_person", "closer_to_other", "unlike")
    connection.executemany("DELETE FROM photos WHERE reason = ?", [(reason,) for reason in again])


def photos_of(sources: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Paths of the watched folder, before and after, of faces that come from it."""
    return [
        (before.removeprefix(FOLDER), after.removeprefix(FOLDER))
        for before, after in sources
        if before.startswith(FOLDER) and after.startswith(FOLDER)
    ]


def repath_photos(connection: sqlite3.Connection, moves: Iterable[tuple[str, str]]) -> None:
    """Photos lie elsewhere in the folder from now on: paths before and after."""
    for before, after in moves:
        connection.execute("UPDATE OR REPLACE photos SET path = ? WHERE path = ?", (after, before))
        connection.execute("UPDATE faces SET source = ? WHERE source = ?", (FOLDER + after, FOLDER + before))


def _drop_faces(connection: sqlite3.Connection, path: str) -> None:
    """Remove what the photo gave before."""
    if rows.delete_faces_of_source(connection, FOLDER + path):
        welcome_duplicates(connection)


def _folder_paths(connection: sqlite3.Connection, person_id: str) -> list[str]:
    query = "SELECT source FROM faces WHERE person_id = ? AND source LIKE 'folder:%'"
    return [str(row[0]).removeprefix(FOLDER) for row in connection.execute(query, (person_id,))]


def _owners(connection: sqlite3.Connection, paths: Sequence[str]) -> set[str]:
    query = "SELECT person_id FROM faces WHERE source = ?"
    return {str(row[0]) for path in paths for row in connection.execute(query, (FOLDER + path,))}


def _write(connection: sqlite3.Connection, record: PhotoRecord) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO photos (path, size, mtime_ns, model_id, reason) VALUES (?, ?, ?, ?, ?)",
        (record.path, record.stamp.size, record.stamp.mtime_ns, record.model_id, record.reason),
    )
