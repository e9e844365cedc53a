"""The box's own gallery file as a copy of a shared gallery: what the others do not know yet, and what they did.

Names are the people's, ids are the boxes': two boxes that enrol the same name apart have made two people, of whom the
elder takes over the younger one's faces as soon as any box sees both.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from streamd.errors import UsageError
from streamd.gallery import rows
from streamd.gallery.erasures import Erasure, delete_person, note_erasure
from streamd.gallery.folderrecords import dismiss_photos, welcome_duplicates
from streamd.gallery.hub import Head, Record
from streamd.gallery.labels import by_key, labels_of, write_labels
from streamd.gallery.names import person_name
from streamd.gallery.schema import STAMP
from streamd.gallery.store import GalleryStore

logger = logging.getLogger(__name__)

RECEIVED = "gallery.received"
_ELSEWHERE = "shared:"
"""Before the source of a face that another box enrolled, so that no photo here counts as its own."""
CURSOR, COMPARED = "shared_cursor_us", "shared_compared_wall_s"
"""Settings: until when the server is known, and when everything was compared with it."""


class Mirror:
    """Reads and writes the box's file; the server is somebody else's business. Raises GalleryError."""

    def __init__(self, store: GalleryStore) -> None:
        self._store = store
        self._database = store.database

    def unsent_count(self) -> int:
        return self._database.scalar("SELECT count(*) FROM shared WHERE sent = 0")

    def unsent(self, limit: int) -> list[Record]:
        """Changes that the server does not know: people, then faces, the oldest first."""
        query = "SELECT kind, uid, row_id, stamp FROM shared WHERE sent = 0 ORDER BY kind = 'face', stamp LIMIT ?"
        with self._database.read() as connection:
            return [_record(connection, *row) for row in connection.execute(query, (limit,)).fetchall()]

    def sent(self, records: Iterable[Record]) -> None:
        """The server has these; what changed again meanwhile is still to be sent."""
        with self._database.write() as connection:
            connection.executemany(
                "UPDATE shared SET sent = 1 WHERE kind = ? AND uid = ? AND stamp = ?",
                [(r.kind, r.uid, r.stamp) for r in records],
            )

    def news(self, heads: Sequence[Head]) -> list[Head]:
        """Those that are newer than what is known here, and people who were changed here, and forgotten elsewhere."""
        query = "SELECT stamp FROM shared WHERE kind = ? AND uid = ?"
        news = []
        with self._database.read() as connection:
            for head in heads:
                known = connection.execute(query, (head.kind, head.uid)).fetchone()
                if known is None or known[0] < head.stamp or (head.is_forgotten and _may_be_left(connection, head)):
                    news.append(head)
        return news

    def strangers(self, records: Sequence[Record]) -> list[Head]:
        """People of whom ``records`` has faces, but nobody has told this box."""
        told = {record.uid for record in records if record.kind == "person"}
        wanted = {record.person for record in records if record.kind == "face" and record.person} - told
        query = "SELECT 1 FROM shared WHERE kind = 'person' AND uid = ?"
        with self._database.read() as connection:
            return [
                Head("person", uid, 0) for uid in sorted(wanted) if connection.execute(query, (uid,)).fetchone() is None
            ]

    def apply(self, records: Sequence[Record]) -> list[Erasure]:
        """Take over what other boxes did, in one change of the gallery; returns whom they forgot.

        These are still to be erased elsewhere, which is noted.
        """
        forgotten: list[Erasure] = []
        with self._database.write() as connection:
            taken = 0
            for record in sorted(records, key=lambda r: (r.kind == "face", r.stamp)):
                taken += _Taking(connection, record, forgotten).take()
            if taken:
                rows.log_change(connection, RECEIVED, "", f"{taken} records")
                # What others did is theirs to take back.
                connection.execute("DELETE FROM undo WHERE batch = (SELECT batch FROM present)")
        return forgotten

    def compare(self, pages: Iterable[list[Head]]) -> int:
        """Find what the server should know and does not, and send that again; returns how much.

        ``pages`` is everything on the server; what is newer there is the caller's to fetch.
        """
        with self._database.write() as connection:
            connection.execute("CREATE TEMP TABLE IF NOT EXISTS there (kind, uid, stamp, PRIMARY KEY (kind, uid))")
            connection.execute("DELETE FROM temp.there")
        for page in pages:
            with self._database.write() as connection:
                connection.executemany(
                    "INSERT OR REPLACE INTO temp.there VALUES (?, ?, ?)", [(h.kind, h.uid, h.stamp) for h in page]
                )
        with self._database.write() as connection:
            lost = connection.execute(
                "UPDATE shared SET sent = 0 WHERE sent = 1 AND stamp > coalesce((SELECT t.stamp FROM temp.there t"
                " WHERE t.kind = shared.kind AND t.uid = shared.uid), -1)"
            ).rowcount
            connection.execute("DROP TABLE temp.there")
        return lost

    def here(self, uids: Collection[str]) -> dict[str, int]:
        """Ids of faces in this file by their uids, of those that are here."""
        query = "SELECT row_id FROM shared WHERE kind = 'face' AND uid = ? AND row_id <> ''"
        with self._database.read() as connection:
            found = ((uid, connection.execute(query, (uid,)).fetchone()) for uid in uids)
            return {uid: int(row[0]) for uid, row in found if row}

    @property
    def cursor_us(self) -> int:
        """Until when what arrived at the server is known here."""
        return int(float(self._setting(CURSOR) or 0))

    @property
    def compared_wall_s(self) -> float:
        """When everything was last compared with the server."""
        return float(self._setting(COMPARED) or 0)

    def advance(self, cursor_us: int) -> None:
        self._set(CURSOR, str(cursor_us))

    def compared(self, now_wall_s: float) -> None:
        self._set(COMPARED, str(now_wall_s))

    def _setting(self, key: str) -> str | None:
        with self._database.read() as connection:
            return rows.setting(connection, key)

    def _set(self, key: str, value: str) -> None:
        with self._database.write() as connection:
            connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (key, value))


class _Taking:
    """One record being taken over, in the caller's transaction."""

    def __init__(self, connection: sqlite3.Connection, record: Record, forgotten: list[Erasure]) -> None:
        self._connection = connection
        self._record = record
        self._forgotten = forgotten
        query = "SELECT row_id, stamp FROM shared WHERE kind = ? AND uid = ?"
        self._known = connection.execute(query, (record.kind, record.uid)).fetchone()

    def take(self) -> bool:
        """Whether anything changed here."""
        record = self._record
        if record.state == "forgotten" and record.kind == "person" and _may_be_left(self._connection, record.head):
            self._forget()
            return True
        if self._known is not None and self._known[1] >= record.stamp:
            return False
        if record.kind == "person" and record.state != "forgotten" and _is_forgotten(self._connection, record.uid):
            self._mark_gone(row_id=record.uid)  # whoever changed them had not heard of it
            return False
        if record.kind == "person":
            return self._take_person()
        return self._take_face()

    def _take_person(self) -> bool:
        record = self._record
        if record.state != "here":
            self._person_gone()
            return True
        try:
            name = person_name(str(record.body["name"]))
        except (KeyError, UsageError) as error:
            logger.error("a person in the shared gallery is not taken over: %s", error)
            return False
        other = rows.find_person_id(self._connection, name)
        if other is not None and other != record.uid:
            created = "SELECT created_wall_s FROM people WHERE id = ?"
            (other_created,) = self._connection.execute(created, (other,)).fetchone()
            if (other_created, other) <= (float(record.body["created"]), record.uid):
                self._become(other)
                return True
        self._write_person(record.uid if other not in (None, record.uid) else name)
        self._note(record.uid)
        if other is not None and other != record.uid:
            _fold(self._connection, other, record.uid)
            with _quietly(self._connection):
                self._connection.execute("UPDATE people SET name = ? WHERE id = ?", (name, record.uid))
        return True

    def _write_person(self, name: str) -> None:
        body, uid = self._record.body, self._record.uid
        texts = (name, str(body.get("notes", "")), str(body.get("consent", "")))
        with _quietly(self._connection):
            if self._is_here(uid):
                self._connection.execute(
                    "UPDATE people SET name = ?, notes = ?, consent = ? WHERE id = ?", (*texts, uid)
                )
            else:
                # Nobody of another box's folder: people of a folder go with theirs.
                self._connection.execute(
                    "INSERT INTO people (id, name, notes, consent, origin, created_wall_s)"
                    " VALUES (?, ?, ?, ?, 'command', ?)",
                    (uid, *texts, float(body["created"])),
                )
            labels = frozenset((k, v) for k, values in body.get("labels", {}).items() for v in values)
            write_labels(self._connection, uid, labels_of(self._connection, uid), labels)

    def _become(self, person_id: str) -> None:
        """The person of the record is somebody who is here already, under the same name."""
        labels = frozenset((k, v) for k, values in self._record.body.get("labels", {}).items() for v in values)
        before = labels_of(self._connection, person_id)
        write_labels(self._connection, person_id, before, before | labels)
        if self._is_here(self._record.uid):
            self._note(self._record.uid)  # so that what follows has a later stamp
            _fold(self._connection, self._record.uid, person_id)
        else:
            self._mark_gone(row_id=person_id)

    def _person_gone(self) -> None:
        record = self._record
        into = _resolve(self._connection, record.into) if record.into else None
        if self._is_here(record.uid):
            if not record.into and self._has_unsent_faces():
                # Somebody enrolled them here meanwhile: nothing that was acknowledged is lost.
                self._write_note(record.uid, f"max({STAMP}, {record.stamp + 1})", sent=0)
                return
            if into is not None:
                _move_all(self._connection, record.uid, into)
            name = self._name(record.uid)
            with _quietly(self._connection):
                dismiss_photos(self._connection, record.uid, name)
                self._connection.execute("DELETE FROM faces WHERE person_id = ?", (record.uid,))
                self._connection.execute("DELETE FROM labels WHERE person_id = ?", (record.uid,))
                self._connection.execute("DELETE FROM people WHERE id = ?", (record.uid,))
                rows.log_change(self._connection, rows.MERGED, into or record.uid, f"{record.uid} on another box")
        self._note(record.into or record.uid)

    def _has_unsent_faces(self) -> bool:
        query = (
            "SELECT 1 FROM shared s JOIN faces f ON CAST(f.id AS TEXT) = s.row_id"
            " WHERE s.kind = 'face' AND s.sent = 0 AND f.person_id = ?"
        )
        return self._connection.execute(query, (self._record.uid,)).fetchone() is not None

    def _forget(self) -> None:
        uid = self._record.uid
        with _quietly(self._connection):
            photos = dismiss_photos(self._connection, uid, self._name(uid)) if self._is_here(uid) else ()
            erasure = replace(delete_person(self._connection, uid), photos=photos)
        note_erasure(self._connection, erasure)
        welcome_duplicates(self._connection)
        self._connection.execute(
            "UPDATE shared SET row_id = '', sent = 1 WHERE kind = 'face' AND row_id <> ''"
            " AND row_id NOT IN (SELECT CAST(id AS TEXT) FROM faces)"
        )
        self._note(uid)
        self._forgotten.append(erasure)

    def _take_face(self) -> bool:
        record = self._record
        if record.state != "here":
            if self._known is not None and self._known[0]:
                with _quietly(self._connection):
                    self._connection.execute("DELETE FROM faces WHERE id = ?", (int(self._known[0]),))
            self._note("")
            return True
        if self._known is not None and self._known[0]:
            self._note(self._known[0])
            return False
        person = _resolve(self._connection, record.person)
        if person is None:
            # Nobody that this box has heard of: it is told again when everything is compared.
            if self._knows_person(record.person):
                self._mark_gone(row_id="")
            return False
        vector = np.frombuffer(record.vector, "<f4")
        if not abs(float(np.linalg.norm(vector)) - 1.0) < 1e-3:
            logger.error("a face in the shared gallery is not taken over: its embedding is damaged")
            return False
        if person != record.person:  # and so it is another face, for all
            if not self._has_face(person):
                self._insert_face(person)
            self._mark_gone(row_id="")
            return True
        with _quietly(self._connection):
            face_id = self._insert_face(person)
        self._note(str(face_id))
        return True

    def _has_face(self, person: str) -> bool:
        record = self._record
        query = "SELECT 1 FROM shared WHERE kind = 'face' AND row_id <> '' AND uid = face_uid(?, ?, ?, seal(?))"
        known = (person, record.model, str(record.body["source_sha256"]), record.chip)
        return self._connection.execute(query, known).fetchone() is not None

    def _insert_face(self, person: str) -> int:
        record, body = self._record, self._record.body
        cursor = self._connection.execute(
            "INSERT INTO faces (person_id, model_id, vector, chip, quality, source, source_sha256, created_wall_s,"
            " added_by) VALUES (?, ?, seal(?), seal(?), ?, ?, ?, ?, ?)",
            (
                person,
                record.model,
                record.vector,
                record.chip,
                float(body["quality"]),
                _ELSEWHERE + str(body["source"]).removeprefix(_ELSEWHERE),
                str(body["source_sha256"]),
                float(body["created"]),
                str(body.get("added_by", "")),
            ),
        )
        return int(cursor.lastrowid or 0)

    def _is_here(self, uid: str) -> bool:
        return self._connection.execute("SELECT 1 FROM people WHERE id = ?", (uid,)).fetchone() is not None

    def _knows_person(self, uid: str) -> bool:
        query = "SELECT 1 FROM shared WHERE kind = 'person' AND uid = ?"
        return self._connection.execute(query, (uid,)).fetchone() is not None

    def _name(self, uid: str) -> str:
        return str(self._connection.execute("SELECT name FROM people WHERE id = ?", (uid,)).fetchone()[0])

    def _note(self, row_id: str) -> None:
        """The record is taken over as it is."""
        self._write_note(row_id, str(self._record.stamp), sent=1)

    def _mark_gone(self, *, row_id: str) -> None:
        """The record is no more, which the others are to be told."""
        self._write_note(row_id, f"max({STAMP}, {self._record.stamp + 1})", sent=0)

    def _write_note(self, row_id: str, stamp: str, *, sent: int) -> None:
        self._connection.execute(
            f"INSERT OR REPLACE INTO shared VALUES (?, ?, ?, {stamp}, ?)",
            (self._record.kind, self._record.uid, row_id, sent),
        )


def _fold(connection: sqlite3.Connection, gone: str, kept: str) -> None:
    """Two people of one name are one; what changes is sent to the others."""
    _move_all(connection, gone, kept)
    both = labels_of(connection, gone) | labels_of(connection, kept)
    write_labels(connection, kept, labels_of(connection, kept), both)
    connection.execute("DELETE FROM labels WHERE person_id = ?", (gone,))
    connection.execute("DELETE FROM people WHERE id = ?", (gone,))
    rows.note_alias(connection, gone, kept)
    rows.log_change(connection, rows.MERGED, kept, f"{gone}, of the same name on another box")


def _move_all(connection: sqlite3.Connection, gone: str, kept: str) -> None:
    faces = [int(row[0]) for row in connection.execute("SELECT id FROM faces WHERE person_id = ?", (gone,))]
    rows.move_faces(connection, faces, kept)


def _resolve(connection: sqlite3.Connection, uid: str) -> str | None:
    """Who a person is by now; None where they are not here."""
    seen: set[str] = set()
    while uid and uid not in seen:
        if connection.execute("SELECT 1 FROM people WHERE id = ?", (uid,)).fetchone():
            return uid
        seen.add(uid)
        row = connection.execute("SELECT row_id FROM shared WHERE kind = 'person' AND uid = ?", (uid,)).fetchone()
        uid = str(row[0]) if row else ""
    return None


def _may_be_left(connection: sqlite3.Connection, forgotten: Head) -> bool:
    """Whether somebody who is forgotten elsewhere is here, or was, and went without that having been heard of."""
    uid = (forgotten.uid,)
    if connection.execute("SELECT 1 FROM people WHERE id = ?", uid).fetchone():
        return True
    query = "SELECT 1 FROM shared WHERE kind = 'person' AND uid = ?1 AND row_id = ?1 AND stamp <> ?2"
    if connection.execute(query, (forgotten.uid, forgotten.stamp)).fetchone() is None:
        return False
    return not _is_forgotten(connection, forgotten.uid)


def _is_forgotten(connection: sqlite3.Connection, uid: str) -> bool:
    query = "SELECT 1 FROM changes WHERE person_id = ? AND what = ?"
    return connection.execute(query, (uid, rows.FORGOTTEN)).fetchone() is not None


@contextmanager
def _quietly(connection: sqlite3.Connection) -> Iterator[None]:
    """What is done inside comes from the server, and is not sent back."""
    connection.execute("UPDATE present SET sends = 0")
    yield
    connection.execute("UPDATE present SET sends = 1")


def _record(connection: sqlite3.Connection, kind: str, uid: str, row_id: str, stamp: int) -> Record:
    if kind == "person":
        return _person_record(connection, uid, row_id, stamp)
    row = (
        connection.execute(
            "SELECT person_id, model_id, unseal(vector), unseal(chip), quality, source, source_sha256, created_wall_s,"
            " added_by FROM faces WHERE id = ?",
            (int(row_id),),
        ).fetchone()
        if row_id
        else None
    )
    if row is None:
        return Record("face", uid, stamp, "gone")
    person, model, vector, chip, *rest = row
    names = ("quality", "source", "source_sha256", "created", "added_by")
    body: dict[str, Any] = dict(zip(names, rest, strict=True))
    return Record("face", uid, stamp, "here", person=person, model=model, vector=vector, chip=chip, body=body)


def _person_record(connection: sqlite3.Connection, uid: str, row_id: str, stamp: int) -> Record:
    query = "SELECT name, notes, consent, created_wall_s FROM people WHERE id = ?"
    row = connection.execute(query, (uid,)).fetchone()
    if row is not None:
        body = dict(zip(("name", "notes", "consent", "created"), row, strict=True))
        labels = {key: list(values) for key, values in by_key(labels_of(connection, uid)).items()}
        return Record("person", uid, stamp, "here", body=body | {"labels": labels})
    if _is_forgotten(connection, uid):
        return Record("person", uid, stamp, "forgotten")
    return Record("person", uid, stamp, "gone", into=row_id if row_id != uid else "")
