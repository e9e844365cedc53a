"""Takes a person out of the journal: the events keep their numbers, the person is gone from them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from streamd.errors import ProtocolError
from streamd.events import Event, EventType
from streamd.journalfile import connected, in_words

ERASED = "a person was here who has been forgotten"
_NAMING = frozenset({EventType.FACE_IDENTIFIED, EventType.FACE_REVISED})


def without_person(event: Event, *, person_id: str, name: str, strangers: Collection[str] = ()) -> Event:
    """``event`` with nothing in it that tells of this person; as it is where they are not in it.

    A face that had their name has become an unknown one. ``strangers`` are ids that they had before their name.
    """
    if event.stranger in strangers:
        return without_person(replace(event, stranger=None), person_id=person_id, name=name)
    if _is(event.identity, person_id, name):
        kind = EventType.FACE_UNKNOWN if event.type in _NAMING else event.type
        return replace(
            event, type=kind, identity=None, runner_up=None, evidence=None, quality=None, box=None, message=ERASED
        )
    return replace(event, runner_up=None) if _is(event.runner_up, person_id, name) else event


def erase_person(journal: Path, *, person_id: str, name: str, strangers: Collection[str] = ()) -> int:
    """Rewrite every event that tells of a person, and the file, so that nothing is left in it; returns how many.

    The publisher may run meanwhile. Raises JournalError where the file cannot be written.
    """
    if not journal.exists():
        return 0
    with in_words(journal), closing(connected(journal, False)) as db:
        db.execute("PRAGMA secure_delete = ON")
        db.execute("BEGIN IMMEDIATE")
        try:
            erased = list(_erased(db, person_id, name, strangers))
            db.executemany(
                "UPDATE events SET type = ?, person_id = ?, person = ?, body = ? WHERE seq = ?", map(_row, erased)
            )
            db.execute("COMMIT")
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")
        if erased:
            db.execute("VACUUM")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return len(erased)


def _erased(db: sqlite3.Connection, person_id: str, name: str, strangers: Collection[str]) -> Iterator[Event]:
    written = [json.dumps(text, ensure_ascii=False) for text in (person_id, name, *strangers)]
    query = "SELECT body FROM events WHERE " + " OR ".join(["instr(body, CAST(? AS BLOB))"] * len(written))
    for (body,) in db.execute(query, written).fetchall():
        try:
            event = Event.from_json(body)
        except ProtocolError:  # of another version; nothing is known about its fields
            continue
        after = without_person(event, person_id=person_id, name=name, strangers=strangers)
        if after != event:
            yield after


def _row(event: Event) -> tuple[object, ...]:
    identity = event.identity or {}
    who = identity.get("id") or event.stranger
    return (event.type.value, who, identity.get("name"), event.to_json(), event.seq)


def _is(who: Mapping[str, Any] | None, person_id: str, name: str) -> bool:
    # An event that only says that this id is no more has no name, and is what subscribers need to forget as well.
    return who is not None and "name" in who and (who.get("id") == person_id or who.get("name") == name)
