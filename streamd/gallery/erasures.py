"""Deletes a person from the gallery's tables, with everything that is kept of them under other ids.

Two people who were found to be one leave the id of the one who went in what could be undone, in the log and in the
journal; a stranger who got a name leaves theirs. Which ids these are, the log of changes tells.

That somebody is to be erased elsewhere, too, is noted with the deletion, and not forgotten before it is done: whatever
ends the process that began it, another one goes on (``streamd.traces``). A note has the person's name.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from typing import Any

from streamd.gallery import rows
from streamd.gallery.database import Database
from streamd.gallery.schema import STAMP
from streamd.gallery.strangerids import drop_merges, earlier_ids, leading_to
from streamd.gallery.strangerundo import drop_notes_of_person, drop_notes_of_stranger
from streamd.gallery.undo import UNDONE

_NOTED = "erasing:"
"""Before the person's id: keys of the notes among the settings."""
_PERSON_ID = re.compile(r"\b[0-9a-f]{32}\b")


@dataclass(frozen=True, slots=True)
class Erasure:
    """Somebody who is gone from the gallery's tables, and of whom something may be left elsewhere."""

    person_id: str
    """A stranger's own id where it is one."""
    name: str
    """A stranger's is their id; empty once every event is found by the ids."""
    aliases: tuple[str, ...]
    """Ids of those who turned out to be them."""
    strangers: tuple[str, ...]
    """Ids that they had before their name; all ids of a stranger."""
    faces: int
    """How many there were, each with an embedding and a crop."""
    begun_wall_s: float
    photos: tuple[str, ...] = ()
    """Paths in the watched folder that were theirs and are still there."""
    with_photos: bool = False
    """Whether these are to be deleted."""

    @property
    def is_strangers(self) -> bool:
        return self.person_id in self.strangers


def delete_person(
    connection: sqlite3.Connection, person_id: str, *, name: str = "", departed: Collection[str] = ()
) -> Erasure:
    """Remove a person and every word about them, also what could be undone.

    Args:
        name: of one who is not there any more.
        departed: ids that they had before, of enrolments that were taken back.
    """
    row = connection.execute("SELECT name FROM people WHERE id = ?", (person_id,)).fetchone()
    name = name if row is None else str(row[0])
    aliases = tuple(sorted({*departed, *_merged_into(connection, {person_id, *departed})} - {person_id}))
    strangers = earlier_ids(connection, {person_id, *aliases})
    _claim_undo(connection, person_id)
    faces = connection.execute("DELETE FROM faces WHERE person_id = ?", (person_id,)).rowcount
    connection.execute("DELETE FROM people WHERE id = ?", (person_id,))
    drop_strangers(connection, strangers)
    for who in (*aliases, person_id):
        _drop_undo(connection, who)
        drop_notes_of_person(connection, who)
    for who in (*aliases, person_id):
        connection.execute("UPDATE changes SET detail = '' WHERE person_id = ?", (who,))
        rows.log_change(connection, rows.FORGOTTEN, who, "")
    return Erasure(person_id, name, aliases, strangers, faces, begun_wall_s=time.time())


def departed_ids(connection: sqlite3.Connection, name: str, told: Collection[str] = ()) -> list[str]:
    """Ids of people of this name whose enrolment was taken back, and who are nobody else by now.

    Args:
        told: ids under which events tell of this name, which are kept for longer than what can be undone.
    """
    query = "SELECT row_id FROM undo WHERE kind = 'person' AND done = 'delete' AND json_extract(before, '$.name') = ?"
    found = {*told, *(str(row[0]) for row in connection.execute(query, (name,)))}
    there = _living(connection)
    return sorted(found - there - {*_merged_into(connection, there)})


def tell_again(connection: sqlite3.Connection, departed: Collection[str]) -> None:
    """Other boxes know that these are gone; they are to forget them, too."""
    query = (
        f"UPDATE shared SET stamp = {STAMP}, sent = 0 WHERE kind = 'person' AND uid = ?"
        " AND (SELECT sends FROM present) = 1"
    )
    connection.executemany(query, [(person_id,) for person_id in departed])


def drop_strangers(connection: sqlite3.Connection, stranger_ids: Collection[str]) -> None:
    """Remove what is kept of strangers who are no more: what could be undone, and whom they turned out to be."""
    for stranger_id in stranger_ids:
        drop_notes_of_stranger(connection, stranger_id)
        connection.execute(  # views that were enrolled, for whomever, and taken away again
            "UPDATE undo SET person_id = ? WHERE kind = 'face' AND done = 'delete'"
            " AND json_extract(before, '$.source') = ?",
            (stranger_id, f"unknown:{stranger_id}"),
        )
        _drop_undo(connection, stranger_id)
    drop_merges(connection, stranger_ids)


def note_erasure(connection: sqlite3.Connection, erasure: Erasure) -> None:
    """In the transaction of the deletion."""
    key, value = _NOTED + erasure.person_id, json.dumps(asdict(erasure))
    connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (key, value))


def erasures_under_way(database: Database) -> list[Erasure]:
    """Those that were begun and are not finished, oldest first. Raises GalleryError."""
    with database.read() as connection:
        return sorted(_noted(connection), key=lambda erasure: erasure.begun_wall_s)


def strangers_being_erased(connection: sqlite3.Connection) -> frozenset[str]:
    """Ids that nobody may have now: all that is told under them goes."""
    return frozenset(stranger_id for erasure in _noted(connection) for stranger_id in erasure.strangers)


def erasure_is_noticed(database: Database, erasure: Erasure) -> None:
    """Nothing is left of the person but what is on its way, which their ids will tell. Raises GalleryError."""
    with database.write() as connection:
        note_erasure(connection, replace(erasure, name="", photos=(), with_photos=False))


def erasure_is_done(database: Database, erasure: Erasure) -> None:
    """Nothing is left of the person but the note. Raises GalleryError."""
    with database.write() as connection:
        connection.execute("DELETE FROM settings WHERE key = ?", (_NOTED + erasure.person_id,))


def _noted(connection: sqlite3.Connection) -> list[Erasure]:
    found = connection.execute("SELECT value FROM settings WHERE key LIKE ?", (_NOTED + "%",)).fetchall()
    return [_erasure(json.loads(value)) for (value,) in found]


def _erasure(noted: dict[str, Any]) -> Erasure:
    fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in noted.items()}
    return Erasure(**fields)


def _claim_undo(connection: sqlite3.Connection, person_id: str) -> None:
    """What was removed from somebody else and is of a picture that is this person's by now was theirs all along."""
    connection.execute(
        "UPDATE undo SET person_id = ?1 WHERE kind = 'face' AND done = 'delete'"
        " AND json_extract(before, '$.source_sha256') IN (SELECT source_sha256 FROM faces WHERE person_id = ?1)",
        (person_id,),
    )


def _drop_undo(connection: sqlite3.Connection, person_id: str) -> None:
    """Where faces went from one person to another, the other's rows hold the same faces: the whole change is final."""
    connection.execute(
        "DELETE FROM undo WHERE batch IN (SELECT batch FROM undo WHERE person_id = ?)"
        " AND batch IN (SELECT batch FROM changes WHERE what IN (?, ?, ?))",
        (person_id, rows.MERGED, rows.SPLIT, UNDONE),
    )
    connection.execute("DELETE FROM undo WHERE person_id = ?", (person_id,))


def _merged_into(connection: sqlite3.Connection, people: Collection[str]) -> tuple[str, ...]:
    """Those who were merged into these, and into them, without those who are back, or somebody else's by now."""
    merged = "SELECT person_id, detail FROM changes WHERE what = ? ORDER BY version"
    into = {
        found[0]: str(kept)
        for kept, detail in connection.execute(merged, (rows.MERGED,))
        if (found := _PERSON_ID.search(detail))
    }
    living = _living(connection)
    return leading_to(people, {gone: kept for gone, kept in into.items() if gone not in living})


def _living(connection: sqlite3.Connection) -> set[str]:
    return {str(row[0]) for row in connection.execute("SELECT id FROM people")}
