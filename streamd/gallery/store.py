"""The gallery's truth: people and their faces in one SQLite file. Indexes are caches made from it.

Every change is one transaction and raises ``version``. Any number of processes may read and write at once.
Methods are thread-safe and raise GalleryError where the file cannot be used.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from streamd.errors import GalleryConflict, NotInGallery, UsageError
from streamd.gallery import rows
from streamd.gallery.database import Database
from streamd.gallery.delta import Delta, Mark, read_delta
from streamd.gallery.erasures import Erasure, delete_person, departed_ids, note_erasure, tell_again
from streamd.gallery.folderrecords import dismiss_photos, photos_of, repath_photos, welcome_duplicates
from streamd.gallery.labels import Label, Labels, changed, labels_of, read_labels, write_labels
from streamd.gallery.names import note_text, person_name
from streamd.gallery.undo import Undone, undo
from streamd.gallery.vault import Vault


class GalleryStore:
    """The gallery file."""

    def __init__(self, path: Path, *, vault: Vault | None = None, actor: str = "") -> None:
        """Open, or create with its folder. Raises GalleryError: unusable, damaged, of a newer streamd, another key.

        Args:
            vault: opens the faces of an encrypted gallery.
            actor: who makes the changes, for the log.
        """
        self.path = path
        self.database = Database(path, vault=vault, actor=actor)

    def close(self) -> None:
        self.database.close()

    def __enter__(self) -> GalleryStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def version(self) -> int:
        """Number of the newest change; cheap (about 5 us) enough to be asked several times a second."""
        return self.database.scalar("SELECT max(version) FROM changes")

    def add_faces(self, name: str, faces: Sequence[rows.NewFace], *, origin: rows.Origin = "command") -> list[int]:
        """Give a person faces, creating the person where need be; returns the faces' ids.

        Raises:
            UsageError: the name cannot be one.
            GalleryError: a vector is not of unit length, or not of its model's dimension; nothing is added.
        """
        with self.database.write() as connection:
            person_id = rows.ensure_person(connection, person_name(name), origin)
            return rows.insert_faces(connection, person_id, faces)

    def remove_face(self, face_id: int) -> bool:
        """Remove one face; False where there is none of this id. The person stays."""
        with self.database.write() as connection:
            row = connection.execute("SELECT person_id, source FROM faces WHERE id = ?", (face_id,)).fetchone()
            if row:
                connection.execute("DELETE FROM faces WHERE id = ?", (face_id,))
                rows.log_change(connection, rows.FACES_REMOVED, str(row[0]), str(row[1]))
            return row is not None

    def remove_source(self, source: str) -> int:
        """Remove every face that came from ``source``; returns how many. Their people stay."""
        with self.database.write() as connection:
            return rows.delete_faces_of_source(connection, source)

    def people(self) -> list[rows.Person]:
        """Everybody, by name."""
        with self.database.read() as connection:
            labels = read_labels(connection)
            found = connection.execute(_PEOPLE + _BY_NAME)
            return [_person(row, labels.get(row[0], frozenset())) for row in found]

    def person(self, name: str) -> rows.Person:
        """The person of this name. Raises GalleryError where there is none, with the nearest names."""
        with self.database.read() as connection:
            row = connection.execute(_PEOPLE + " WHERE p.name = ?" + _BY_NAME, (person_name(name),)).fetchone()
            return _person(row, labels_of(connection, row[0])) if row else _nobody(connection, name)

    def faces_of(self, person_id: str) -> list[rows.KeptFace]:
        query = (
            "SELECT id, model_id, quality, source, source_sha256, created_wall_s, added_by FROM faces"
            " WHERE person_id = ? ORDER BY id"
        )
        with self.database.read() as connection:
            return [rows.KeptFace(*row) for row in connection.execute(query, (person_id,))]

    def chip_jpeg(self, face_id: int) -> bytes:
        """The kept picture of a face, 112 x 112. Raises GalleryError where there is none."""
        with self.database.read() as connection:
            row = connection.execute("SELECT unseal(chip) FROM faces WHERE id = ?", (face_id,)).fetchone()
        if row is None:
            raise NotInGallery(f"gallery {self.path}: no face {face_id}")
        return bytes(row[0])

    def owners_of_photo(self, sha256: str, model_id: str) -> list[tuple[str, str]]:
        """Name and source of each face that this photo has given."""
        query = (
            "SELECT p.name, f.source FROM faces f JOIN people p ON p.id = f.person_id"
            " WHERE f.source_sha256 = ? AND f.model_id = ?"
        )
        with self.database.read() as connection:
            return [(str(n), str(s)) for n, s in connection.execute(query, (sha256, model_id))]

    def has_source(self, source: str) -> bool:
        """Whether a face came from there."""
        with self.database.read() as connection:
            return connection.execute("SELECT 1 FROM faces WHERE source = ?", (source,)).fetchone() is not None

    def rename(self, old: str, new: str) -> None:
        """Raises GalleryError where ``old`` does not exist or ``new`` does."""
        wanted = person_name(new)
        with self.database.write() as connection:
            person_id = rows.find_person_id(connection, person_name(old)) or _nobody(connection, old)
            if rows.find_person_id(connection, wanted):
                raise GalleryConflict(f"there is a person {wanted!r} already; merge the two if they are one")
            connection.execute("UPDATE people SET name = ? WHERE id = ?", (wanted, person_id))
            rows.log_change(connection, rows.RENAMED, person_id, "")

    def label(self, name: str, add: Collection[Label] = (), *, remove: Sequence[tuple[str, str | None]] = ()) -> Labels:
        """Take labels from a person, and give others; returns those they have then. No change makes no version.

        ``remove`` holds keys, each with one value, or with None for all of its values.

        Raises:
            GalleryError: there is no such person, a label to remove is not theirs, or there would be too many.
        """
        with self.database.write() as connection:
            person_id = rows.find_person_id(connection, person_name(name)) or _nobody(connection, name)
            before = labels_of(connection, person_id)
            after = changed(before, add, remove, who=person_name(name))
            if after != before:
                rows.log_change(
                    connection, rows.LABELLED, person_id, write_labels(connection, person_id, before, after)
                )
            return after

    def describe(self, name: str, *, notes: str | None = None, consent: str | None = None) -> rows.Person:
        """Write down notes about a person, or what they agreed to; None leaves it as it is.

        Raises:
            UsageError: a text is too long, or cannot be printed.
            GalleryError: there is no such person.
        """
        texts = {"notes": notes, "consent": consent}
        wanted = {column: note_text(column, text) for column, text in texts.items() if text is not None}
        with self.database.write() as connection:
            person_id = rows.find_person_id(connection, person_name(name)) or _nobody(connection, name)
            for column, text in wanted.items():
                connection.execute(f"UPDATE people SET {column} = ? WHERE id = ?", (text, person_id))
            if wanted:
                rows.log_change(connection, rows.DESCRIBED, person_id, ", ".join(wanted))
        return self.person(name)

    def merge(self, name: str, into: str, *, photos: Sequence[tuple[str, str]] = ()) -> int:
        """``name`` turns out to be ``into``: faces and labels go over, the name goes. Returns how many faces went over.

        ``photos`` are paths in the watched folder, before and after, that are moved along.

        Raises:
            UsageError: both are the same person.
            GalleryError: one of them does not exist.
        """
        with self.database.write() as connection:
            gone = rows.find_person_id(connection, person_name(name)) or _nobody(connection, name)
            kept = rows.find_person_id(connection, person_name(into)) or _nobody(connection, into)
            if gone == kept:
                raise UsageError(f"{name!r} and {into!r} are the same person already")
            faces = [int(row[0]) for row in connection.execute("SELECT id FROM faces WHERE person_id = ?", (gone,))]
            rows.move_faces(connection, faces, kept)
            repath_photos(connection, photos)
            both = labels_of(connection, gone) | labels_of(connection, kept)
            write_labels(connection, kept, labels_of(connection, kept), both)
            connection.execute("DELETE FROM labels WHERE person_id = ?", (gone,))
            connection.execute("DELETE FROM people WHERE id = ?", (gone,))
            rows.note_alias(connection, gone, kept)
            rows.log_change(connection, rows.MERGED, kept, f"{len(faces)} faces of {gone}")
            return len(faces)

    def split(self, name: str, new: str, face_ids: Collection[int]) -> int:
        """Some faces of a person are somebody else, who is created as ``new``. Returns how many faces went over.

        Raises:
            GalleryError: there is no such person, ``new`` exists, a face is not theirs, or none would be left.
        """
        wanted = person_name(new)
        with self.database.write() as connection:
            person_id = rows.find_person_id(connection, person_name(name)) or _nobody(connection, name)
            if rows.find_person_id(connection, wanted):
                raise GalleryConflict(f"there is a person {wanted!r} already; choose another name, or merge afterwards")
            theirs = {int(r[0]) for r in connection.execute("SELECT id FROM faces WHERE person_id = ?", (person_id,))}
            if strange := sorted(set(face_ids) - theirs):
                raise NotInGallery(f"{name!r} has no face {strange[0]}; 'streamd person show' lists them")
            if not theirs - set(face_ids):
                raise GalleryConflict(f"{name!r} would have no face left; 'streamd person rename' changes the name")
            new_id = rows.ensure_person(connection, wanted, "command")
            rows.move_faces(connection, sorted(set(face_ids)), new_id)
            rows.log_change(connection, rows.SPLIT, new_id, f"{len(set(face_ids))} faces of {person_id}")
            return len(set(face_ids))

    def undo(self, version: int | None = None) -> Undone:
        """Take back one change; see ``streamd.gallery.undo``."""
        with self.database.write() as connection:
            undone = undo(connection, version)
            repath_photos(connection, photos_of(undone.sources))
            return undone

    def forget(self, name: str, *, with_photos: bool = False, told: Collection[str] = ()) -> Erasure:
        """Delete a person and their faces, and note that the rest of them is to be erased, as ``streamd.traces`` does.

        Also somebody whose enrolment was taken back. Until then the note has their name, and the log of the file what
        was deleted. Photos in the watched folder are not enrolled again; whether they are deleted, too, is noted.

        Args:
            told: ids under which events tell of this name.

        Raises:
            GalleryError: there is nobody, and was nobody, of this name.
        """
        wanted = person_name(name)
        with self.database.write() as connection:
            departed = departed_ids(connection, wanted, told)
            person_id = rows.find_person_id(connection, wanted) or next(iter(departed), None)
            person_id = person_id or _nobody(connection, name)
            photos = dismiss_photos(connection, person_id, wanted)
            deleted = delete_person(connection, person_id, name=wanted, departed=departed)
            tell_again(connection, departed)
            erasure = replace(deleted, photos=photos, with_photos=with_photos)
            note_erasure(connection, erasure)
            welcome_duplicates(connection)
            return erasure

    def changes(self, *, after: int = 0, limit: int = 1000) -> list[rows.Change]:
        """Changes numbered above ``after``, oldest first."""
        query = (
            "SELECT c.version, c.at_wall_s, c.what, c.person_id, p.name, c.detail, c.batch, c.actor FROM changes c"
            " LEFT JOIN people p ON p.id = c.person_id WHERE c.version > ? ORDER BY c.version LIMIT ?"
        )
        with self.database.read() as connection:
            return [rows.Change(*row) for row in connection.execute(query, (after, limit))]

    def last_changes(self, *, after: int = 0, before: int | None = None, limit: int = 100) -> list[rows.Change]:
        """The newest changes numbered above ``after`` and below ``before``, newest first."""
        query = (
            "SELECT c.version, c.at_wall_s, c.what, c.person_id, p.name, c.detail, c.batch, c.actor FROM changes c"
            " LEFT JOIN people p ON p.id = c.person_id WHERE c.version > ? AND c.version < ?"
            " ORDER BY c.version DESC LIMIT ?"
        )
        with self.database.read() as connection:
            found = connection.execute(query, (after, 2**62 if before is None else before, limit))
            return [rows.Change(*row) for row in found]

    def portraits(self, person_id: str | None = None) -> dict[str, int]:
        """The best face of each person, or of one, by the person's id."""
        query = (
            "SELECT person_id, id, max(quality) FROM faces"
            + (" WHERE person_id = ?" if person_id else "")
            + " GROUP BY person_id"
        )
        with self.database.read() as connection:
            found = connection.execute(query, (person_id,) if person_id else ())
            return {str(row[0]): int(row[1]) for row in found}

    def faces_by_model(self) -> dict[str, int]:
        """How many faces each embedding model has."""
        with self.database.read() as connection:
            found = connection.execute("SELECT model_id, count(*) FROM faces GROUP BY model_id ORDER BY 1")
            return {str(model_id): int(n) for model_id, n in found}

    def delta(self, model_id: str, since: Mark, *, whole: bool = True) -> Delta:
        """What a reader at ``since`` has missed of one model's faces, as of one moment; see ``read_delta``."""
        with self.database.read() as connection:
            return read_delta(connection, model_id, since, whole=whole)


_PEOPLE = (
    "SELECT p.id, p.name, p.origin, p.created_wall_s, p.notes, p.consent, count(f.id)"
    " FROM people p LEFT JOIN faces f ON f.person_id = p.id"
)
_BY_NAME = " GROUP BY p.id ORDER BY p.name"


def _person(row: tuple[Any, ...], labels: Labels) -> rows.Person:
    person_id, name, origin, created_wall_s, notes, consent, faces = row
    return rows.Person(person_id, name, origin, created_wall_s, faces, labels, notes, consent)


def _nobody(connection: sqlite3.Connection, name: str) -> NoReturn:
    import difflib

    known = [str(row[0]) for row in connection.execute("SELECT name FROM people ORDER BY name")]
    near = difflib.get_close_matches(name, known, n=3)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise NotInGallery(f"there is no person {name!r} in the gallery{hint}")
