"""Takes a change of the gallery back, from the rows that triggers noted of it.

Faces that come back get new ids, so that every reader of the file takes them for new. Taking back is a change like any
other, and can itself be taken back.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from streamd.errors import GalleryConflict, NotInGallery
from streamd.gallery import rows
from streamd.gallery.strangerundo import drop_old_notes, noted, take_back

UNDONE = "gallery.undone"


@dataclass(frozen=True, slots=True)
class Undone:
    """What was taken back."""

    version: int
    """First version of the transaction that was taken back."""
    whats: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...] = ()
    """Names before and after, of people whose name this changed."""
    sources: tuple[tuple[str, str], ...] = ()
    """Where faces that somebody else has now came from, as noted before and after: a merge moves photos."""


def undo(connection: sqlite3.Connection, version: int | None) -> Undone:
    """Take back the transaction that made ``version``; None: the newest that was not taken back yet.

    Raises:
        GalleryError: there is none, it cannot be taken back, or later changes rest on it; nothing is changed.
    """
    batch = _newest(connection) if version is None else _batch_of(connection, version)
    steps = connection.execute(
        "SELECT kind, done, row_id, person_id, before, vector, chip FROM undo WHERE batch = ? ORDER BY id DESC",
        (batch,),
    ).fetchall()
    if not steps and not noted(connection, batch):
        raise GalleryConflict(f"version {batch} cannot be undone: {_why_not(connection, batch)}")
    names = _names(connection)
    given = _sources_of_given(connection, steps)
    for kind, done, row_id, person_id, before, vector, chip in steps:
        try:
            _UNDO[kind, done](connection, (row_id, person_id, json.loads(before), vector, chip))
        except (sqlite3.IntegrityError, _Touched) as error:
            raise GalleryConflict(
                f"version {batch} cannot be undone: later changes rest on it; undo those first"
            ) from error
    take_back(connection, batch)
    whats = connection.execute("SELECT DISTINCT what FROM changes WHERE batch = ? ORDER BY version", (batch,))
    undone = tuple(str(row[0]) for row in whats)
    rows.log_change(connection, UNDONE, steps[0][3] if steps else "", str(batch))
    after = _names(connection)
    renamed = tuple((name, after[who]) for who, name in names.items() if who in after and after[who] != name)
    taken_back = {str(body["source_sha256"]): str(body["source"]) for body in _bodies(steps, "delete")}
    sources = tuple((given[sha], source) for sha, source in taken_back.items() if given.get(sha, source) != source)
    return Undone(batch, undone, renamed, sources)


def drop_old_undo(connection: sqlite3.Connection, older_than_wall_s: float) -> int:
    """Make changes before this moment final: what was removed is kept no longer. Returns how many rows went."""
    query = "DELETE FROM undo WHERE batch IN (SELECT batch FROM changes WHERE at_wall_s < ?)"
    return connection.execute(query, (older_than_wall_s,)).rowcount + drop_old_notes(connection, older_than_wall_s)


class _Touched(Exception):
    """A row that is to be taken back is not there any more."""


_Row = tuple[str, str, dict[str, Any], bytes | None, bytes | None]
"""Row id, person id, the columns before, vector and chip."""


def _delete_face(connection: sqlite3.Connection, row: _Row) -> None:
    _one(connection.execute("DELETE FROM faces WHERE id = ?", (int(row[0]),)))


def _insert_face(connection: sqlite3.Connection, row: _Row) -> None:
    _, person_id, before, vector, chip = row
    columns = {"person_id": person_id, "vector": vector, "chip": chip} | before
    connection.execute(
        f"INSERT INTO faces ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})", tuple(columns.values())
    )


def _delete_person(connection: sqlite3.Connection, row: _Row) -> None:
    if connection.execute("SELECT 1 FROM faces WHERE person_id = ?", (row[0],)).fetchone():
        raise _Touched
    _one(connection.execute("DELETE FROM people WHERE id = ?", (row[0],)))


def _insert_person(connection: sqlite3.Connection, row: _Row) -> None:
    columns = {"id": row[0]} | row[2]
    connection.execute(
        f"INSERT INTO people ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})", tuple(columns.values())
    )


def _update_person(connection: sqlite3.Connection, row: _Row) -> None:
    settings = ", ".join(f"{column} = ?" for column in row[2])
    _one(connection.execute(f"UPDATE people SET {settings} WHERE id = ?", (*row[2].values(), row[0])))


def _delete_label(connection: sqlite3.Connection, row: _Row) -> None:
    query = "DELETE FROM labels WHERE person_id = ? AND key = ? AND value = ?"
    _one(connection.execute(query, (row[1], row[2]["key"], row[2]["value"])))


def _insert_label(connection: sqlite3.Connection, row: _Row) -> None:
    connection.execute("INSERT INTO labels VALUES (?, ?, ?)", (row[1], row[2]["key"], row[2]["value"]))


_UNDO = {
    ("face", "insert"): _delete_face,
    ("face", "delete"): _insert_face,
    ("person", "insert"): _delete_person,
    ("person", "delete"): _insert_person,
    ("person", "update"): _update_person,
    ("label", "insert"): _delete_label,
    ("label", "delete"): _insert_label,
}


def _bodies(steps: Sequence[tuple[Any, ...]], done: str) -> list[dict[str, Any]]:
    return [json.loads(step[4]) for step in steps if (step[0], step[1]) == ("face", done)]


def _sources_of_given(connection: sqlite3.Connection, steps: Sequence[tuple[Any, ...]]) -> dict[str, str]:
    """Where the faces that the change gave somebody come from, by the checksum of their photo."""
    ids = [(int(step[2]),) for step in steps if (step[0], step[1]) == ("face", "insert")]
    query = "SELECT source_sha256, source FROM faces WHERE id = ?"
    return {str(sha): str(source) for face_id in ids for sha, source in connection.execute(query, face_id)}


def _one(cursor: sqlite3.Cursor) -> None:
    if cursor.rowcount != 1:
        raise _Touched


def _newest(connection: sqlite3.Connection) -> int:
    query = (
        "SELECT max(u.batch) FROM (SELECT batch FROM undo UNION SELECT batch FROM stranger_undo) u WHERE"
        " NOT EXISTS (SELECT 1 FROM changes c WHERE c.batch = u.batch AND c.what = ?)"
        " AND NOT EXISTS (SELECT 1 FROM changes c WHERE c.what = ? AND c.detail = CAST(u.batch AS TEXT))"
    )
    batch = connection.execute(query, (UNDONE, UNDONE)).fetchone()[0]
    if batch is None:
        raise GalleryConflict("there is nothing to undo")
    return int(batch)


def _batch_of(connection: sqlite3.Connection, version: int) -> int:
    row = connection.execute("SELECT batch FROM changes WHERE version = ?", (version,)).fetchone()
    if row is None:
        raise NotInGallery(f"there is no version {version}; 'streamd gallery log' lists them")
    return int(row[0])


def _why_not(connection: sqlite3.Connection, batch: int) -> str:
    found = connection.execute("SELECT what, at_wall_s FROM changes WHERE batch = ?", (batch,)).fetchall()
    if any(what == rows.FORGOTTEN for what, _ in found):
        return "a person who was forgotten is gone for good"
    age_days = (time.time() - max(at for _, at in found)) / 86_400
    return f"it changed no people or faces, is too old ({age_days:.1f} days), or concerned somebody who was forgotten"


def _names(connection: sqlite3.Connection) -> dict[str, str]:
    return {str(i): str(n) for i, n in connection.execute("SELECT id, name FROM people")}
