"""What a change took away of strangers, so that it can be taken back: a name that was given, two that were merged.

Notes stand under the number of the transaction that ``present`` names, as those of people and faces do.
"""

from __future__ import annotations

import sqlite3

from streamd.gallery.strangerids import drop_merges

_FACE = "id, model_id, vector, chip, quality, camera, track, seen_wall_s"
_SEEN = "state, first_seen_wall_s, last_seen_wall_s, sightings"


def note(connection: sqlite3.Connection, stranger_id: str, *, into: str = "") -> None:
    """Keep a stranger as they are before a change of them; ``into``: the stranger that they are merged with, whose
    views are kept as well, for the poorest of both go."""
    connection.execute(
        f"INSERT INTO stranger_undo SELECT batch, id, ?, {_SEEN} FROM strangers, present WHERE id = ?",
        (into, stranger_id),
    )
    connection.execute(
        f"INSERT INTO stranger_face_undo SELECT batch, stranger_id, {_FACE} FROM stranger_faces, present"
        " WHERE stranger_id IN (?, ?)",
        (stranger_id, into),
    )


def noted(connection: sqlite3.Connection, batch: int) -> bool:
    """Whether a transaction took something of strangers."""
    return connection.execute("SELECT 1 FROM stranger_undo WHERE batch = ?", (batch,)).fetchone() is not None


def take_back(connection: sqlite3.Connection, batch: int) -> None:
    """Bring back the strangers whom a transaction took away. One whom a worker has noted again since, because it had
    not heard of the change, has both: what was taken away and what came after."""
    found = connection.execute(f"SELECT stranger_id, into_id, {_SEEN} FROM stranger_undo WHERE batch = ?", (batch,))
    for stranger_id, into, *seen in found.fetchall():
        connection.execute(
            "INSERT INTO strangers VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET state = excluded.state,"
            " first_seen_wall_s = min(first_seen_wall_s, excluded.first_seen_wall_s),"
            " last_seen_wall_s = max(last_seen_wall_s, excluded.last_seen_wall_s),"
            " sightings = sightings + excluded.sightings",
            (stranger_id, *seen),
        )
        drop_merges(connection, [stranger_id])
        if into:
            connection.execute(
                "DELETE FROM stranger_faces WHERE id IN"
                " (SELECT id FROM stranger_face_undo WHERE batch = ? AND stranger_id = ?)",
                (batch, stranger_id),
            )
            connection.execute("UPDATE strangers SET sightings = max(1, sightings - ?) WHERE id = ?", (seen[3], into))
        connection.execute(  # those that are there, or came back with somebody else, stay where they are
            f"INSERT OR IGNORE INTO stranger_faces (stranger_id, {_FACE}) SELECT stranger_id, {_FACE}"
            " FROM stranger_face_undo WHERE batch = ? AND stranger_id IN (SELECT id FROM strangers)",
            (batch,),
        )
        connection.execute("INSERT INTO stranger_changes (stranger_id) VALUES ('')")
    for table in ("stranger_undo", "stranger_face_undo"):
        connection.execute(f"DELETE FROM {table} WHERE batch = ?", (batch,))


def drop_notes_of_person(connection: sqlite3.Connection, person_id: str) -> None:
    """The person whom strangers turned out to be is forgotten."""
    _drop(connection, "batch IN (SELECT batch FROM changes WHERE person_id = ?)", person_id)


def drop_notes_of_stranger(connection: sqlite3.Connection, stranger_id: str) -> None:
    """A stranger is forgotten, with all who turned out to be the same."""
    _drop(
        connection,
        "batch IN (SELECT batch FROM stranger_undo WHERE stranger_id = ? OR into_id = ?)",
        stranger_id,
        stranger_id,
    )


def drop_old_notes(connection: sqlite3.Connection, older_than_wall_s: float) -> int:
    """Returns how many views went."""
    return _drop(connection, "batch IN (SELECT batch FROM changes WHERE at_wall_s < ?)", older_than_wall_s)


def _drop(connection: sqlite3.Connection, condition: str, *values: object) -> int:
    gone = connection.execute(f"DELETE FROM stranger_face_undo WHERE {condition}", values).rowcount
    connection.execute(f"DELETE FROM stranger_undo WHERE {condition}", values)
    return gone
