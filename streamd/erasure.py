"""Takes a person out of the journal: the events keep their numbers, the person is gone from them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from streamd.backups import drop_backups
from streamd.errors import ProtocolError
from streamd.events import Event, EventType, SnapshotFields
from streamd.journalfile import connected, in_words

ERASED = "a person was here who has been forgotten"
_NAMING = frozenset({EventType.FACE_IDENTIFIED, EventType.FACE_REVISED})


def without_person(event: Event, *, person_id: str, name: str, strangers: Collection[str] = ()) -> Event:
    """``event`` with nothing in it that tells of this person; as it is where they are not in it.

    A face that had their name has become an unknown one. ``strangers`` are ids that they had before their name;
    pictures of that time go, too.
    """
    if event.stranger in strangers:
        event = replace(event, stranger=None, snapshot=None)
    event = replace(event, snapshot=_without_frame(event.snapshot, person_id))
    if _is(event.identity, person_id, name):
        kind = EventType.FACE_UNKNOWN if event.type in _NAMING else event.type
        return replace(
            event,
            type=kind,
            identity=None,
            runner_up=None,
            evidence=None,
            quality=None,
            box=None,
            zones=None,
            snapshot=None,
            account=None,
            message=ERASED,
        )
    return replace(event, runner_up=None) if _is(event.runner_up, person_id, name) else event


def erase_person(
    journal: Path, *, person_id: str, name: str, strangers: Collection[str] = (), pictures: Path | None = None
) -> int:
    """Rewrite every event that tells of a person, and the file, so that nothing is left in it; returns how many.

    ``pictures`` is the folder of snapshots, from which those that show them are deleted.

    Copies from before upgrades are deleted. The publisher may run meanwhile.

    Raises:
        JournalError: the file cannot be written.
    """
    if not journal.exists():
        return 0
    with in_words(journal), closing(connected(journal, False)) as db:
        drop_backups(journal.parent)  # afterwards: opening it may have made one
        db.execute("PRAGMA secure_delete = ON")
        db.execute("BEGIN IMMEDIATE")
        try:
            found = list(_erased(db, person_id, name, strangers))
            erased = [after for _, after in found]
            _erase_accounts(db, [before.track for before, after in found if after.identity is None], person_id, name)
            db.executemany(
                "UPDATE events SET type = ?, person_id = ?, person = ?, body = ? WHERE seq = ?", map(_row, erased)
            )
            db.execute("COMMIT")
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")
        if pictures is not None:
            delete_pictures(pictures, [path for before, after in found for path in _dropped(before, after)])
        if erased:
            db.execute("VACUUM")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return len(erased)


def _erased(
    db: sqlite3.Connection, person_id: str, name: str, strangers: Collection[str]
) -> Iterator[tuple[Event, Event]]:
    """What changes, before and after."""
    written = [json.dumps(text, ensure_ascii=False) for text in (person_id, name, *strangers)]
    query = "SELECT body FROM events WHERE " + " OR ".join(["instr(body, CAST(? AS BLOB))"] * len(written))
    for (body,) in db.execute(query, written).fetchall():
        try:
            event = Event.from_json(body)
        except ProtocolError:  # of another version; nothing is known about its fields
            continue
        after = without_person(event, person_id=person_id, name=name, strangers=strangers)
        if after != event:
            yield event, after


def _erase_accounts(db: sqlite3.Connection, tracks: Collection[str | None], person_id: str, name: str) -> None:
    """Accounts of the person's own appearances go; in others' they are not mentioned any more."""
    db.executemany("DELETE FROM accounts WHERE track = ?", [(track,) for track in tracks if track])
    needle = json.dumps(person_id)
    rows = db.execute("SELECT track, body FROM accounts WHERE instr(body, CAST(? AS BLOB))", (needle,)).fetchall()
    for track, body in rows:
        account = json.loads(body)
        for view in account.get("views", ()):
            for key in ("best", "runner_up"):
                if _is(view.get(key), person_id, name):
                    del view[key]
        db.execute("UPDATE accounts SET body = ? WHERE track = ?", (json.dumps(account).encode(), track))


def _without_frame(snapshot: SnapshotFields | None, person_id: str) -> SnapshotFields | None:
    """A snapshot without its frame, where the person can be recognised in it."""
    if not snapshot or person_id not in snapshot.get("people", ()):
        return snapshot
    return {"face": snapshot["face"]} if "face" in snapshot else None


def _dropped(before: Event, after: Event) -> list[str]:
    """Pictures that an event referred to, and does not any more."""
    kept = after.snapshot or {}
    return [str(path) for key, path in (before.snapshot or {}).items() if key != "people" and key not in kept]


def delete_pictures(folder: Path, names: Collection[str]) -> None:
    """Delete pictures named by events, which another program may have written."""
    for name in names:
        path = (folder / name).resolve()
        if path.is_relative_to(folder.resolve()):
            path.unlink(missing_ok=True)


def _row(event: Event) -> tuple[object, ...]:
    identity = event.identity or {}
    who = identity.get("id") or event.stranger
    return (event.type.value, who, identity.get("name"), event.to_json(), event.seq)


def _is(who: Mapping[str, Any] | None, person_id: str, name: str) -> bool:
    # An event that only says that this id is no more has no name, and is what subscribers need to forget as well.
    return who is not None and "name" in who and (who.get("id") == person_id or who.get("name") == name)
