"""Takes a person out of the journal: the events keep their numbers, the person is gone from them."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from streamd.backups import drop_backups
from streamd.errors import ProtocolError
from streamd.events import Event, EventType, SnapshotFields, timestamp
from streamd.journalfile import connected, in_words

ERASED = "a person was here who has been forgotten"
AROUND_S = 20.0
"""Before somebody is forgotten: a worker may have decided then what it sends afterwards."""
UNDER_WAY_S = 10.0
"""A picture younger than this may be of an event that is not committed yet."""
WRITTEN_WITHIN_S = 60.0
"""A picture is written so long after its event at most."""
_TRACK = re.compile(rb'"track":("(?:[^"\\]|\\.)*")')
_NAMING = frozenset({EventType.FACE_IDENTIFIED, EventType.FACE_REVISED})


@dataclass(frozen=True, slots=True)
class Somebody:
    """A person, as events name them."""

    ids: frozenset[str]
    """Theirs, and those of people who turned out to be them."""
    name: str | None
    """None where it says nothing, because somebody else bears it."""
    strangers: frozenset[str] = frozenset()
    """Ids that they had before their name."""

    def is_(self, who: Mapping[str, Any] | None) -> bool:
        # An event that only says that this id is no more has no name, and is what subscribers need to forget as well.
        if who is None or "name" not in who:
            return False
        return who.get("id") in self.ids or (self.name is not None and who["name"] == self.name)


def without_person(event: Event, person: Somebody) -> Event:
    """``event`` with nothing in it that tells of this person; as it is where they are not in it.

    A face that had their name has become an unknown one. Pictures of when they were a stranger go, too.
    """
    if event.stranger in person.strangers:
        event = replace(event, stranger=None, snapshot=None)
    event = replace(event, snapshot=_without_frame(event.snapshot, person.ids))
    if person.is_(event.identity):
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
    return replace(event, runner_up=None) if person.is_(event.runner_up) else event


def without_account(event: Event, person: Somebody) -> Event:
    """``event`` whose account, where it brings one, does not mention this person."""
    return event if event.account is None else replace(event, account=_without_views(event.account, person))


def _without_views(account: Mapping[str, Any], person: Somebody) -> dict[str, Any]:
    """An account in which nobody's look is like this person."""
    likenesses = ("best", "runner_up")
    views = [
        {key: value for key, value in view.items() if key not in likenesses or not person.is_(value)}
        for view in account.get("views", ())
    ]
    return {**account, "views": views} if views else dict(account)


def erase_person(
    journal: Path,
    *,
    person_id: str,
    name: str | None,
    aliases: Collection[str] = (),
    strangers: Collection[str] = (),
    pictures: Path | None = None,
    begun_wall_s: float | None = None,
) -> int:
    """Rewrite every event that tells of a person, and the file, so that nothing is left in it; returns how many.

    Copies from before upgrades are deleted. The publisher may run meanwhile.

    Args:
        name: None where somebody else bears it by now; then events are theirs by the ids alone.
        aliases: ids of people who turned out to be them.
        strangers: ids that they had before their name.
        pictures: the folder of snapshots, from which those that show them are deleted.
        begun_wall_s: since when they are forgotten. Pictures from then on that no event names are of events from which
            the publisher took the person, and deleted, too.

    Raises:
        JournalError: the file cannot be written.
    """
    if not journal.exists():
        return 0
    person = Somebody(frozenset({person_id, *aliases}), name, frozenset(strangers))
    with in_words(journal), closing(connected(journal, False)) as db:
        drop_backups(journal.parent)  # afterwards: opening it may have made one
        db.execute("PRAGMA secure_delete = ON")
        db.execute("BEGIN IMMEDIATE")
        try:
            found = _erased(db, person)
            erased = [after for _, after in found]
            _erase_accounts(db, [before.track for before, after in found if after.identity is None], person)
            if pictures is not None:  # before it is forgotten which they are
                delete_pictures(pictures, [path for before, after in found for path in _dropped(before, after)])
            db.executemany(
                "UPDATE events SET type = ?, person_id = ?, person = ?, body = ? WHERE seq = ?", map(_row, erased)
            )
            db.execute("COMMIT")
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")
        db.execute("VACUUM")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if pictures is not None and begun_wall_s is not None:
            _delete_nameless(pictures, db, begun_wall_s - AROUND_S)
    return len(erased)


def _erased(db: sqlite3.Connection, person: Somebody) -> list[tuple[Event, Event]]:
    """What changes, before and after."""
    changed = {event.seq: (event, after) for event, after in _naming(db, person)}
    tracks = {
        event.track
        for event, _ in changed.values()
        if event.track and (person.is_(event.identity) or event.stranger in person.strangers)
    }
    # Of events that the publisher wrote without the person nothing else is known.
    erased = db.execute("SELECT body FROM events WHERE instr(body, CAST(? AS BLOB))", (json.dumps(ERASED),))
    tracks |= {event.track for event in _readable(erased) if event.track and event.message == ERASED}
    for event in _nameless(db, tracks):
        before, after = changed.get(event.seq, (event, event))
        after = replace(after, stranger=None, snapshot=None)
        if after != before:
            changed[event.seq] = (before, after)
    return list(changed.values())


def _naming(db: sqlite3.Connection, person: Somebody) -> Iterator[tuple[Event, Event]]:
    """Events that tell of the person, before and after."""
    texts = [text for text in (*person.ids, person.name, *person.strangers) if text is not None]
    written = [json.dumps(text, ensure_ascii=False) for text in texts]
    query = "SELECT body FROM events WHERE " + " OR ".join(["instr(body, CAST(? AS BLOB))"] * len(written))
    for event in _readable(db.execute(query, written)):
        after = without_person(event, person)
        if after != event:
            yield event, after


def _nameless(db: sqlite3.Connection, tracks: Collection[str]) -> Iterator[Event]:
    """Events of these appearances from before they had a name, or after it was taken back."""
    known = {json.dumps(track, ensure_ascii=False).encode() for track in tracks}
    query = "SELECT body FROM events WHERE person IS NULL AND type LIKE 'face.%'"
    rows = db.execute(query) if known else ()
    return _readable(row for row in rows if (found := _TRACK.search(row[0])) and found[1] in known)


def _readable(rows: Iterable[tuple[bytes]]) -> Iterator[Event]:
    for (body,) in rows:
        try:
            yield Event.from_json(body)
        except ProtocolError:  # of another version; nothing is known about its fields
            continue


def _erase_accounts(db: sqlite3.Connection, tracks: Collection[str | None], person: Somebody) -> None:
    """Accounts of the person's own appearances go; in others' they are not mentioned any more."""
    db.executemany("DELETE FROM accounts WHERE track = ?", [(track,) for track in tracks if track])
    needles = [json.dumps(person_id) for person_id in person.ids]
    query = "SELECT track, body FROM accounts WHERE " + " OR ".join(["instr(body, CAST(? AS BLOB))"] * len(needles))
    for track, body in db.execute(query, needles).fetchall():
        account = _without_views(json.loads(body), person)
        db.execute("UPDATE accounts SET body = ? WHERE track = ?", (json.dumps(account).encode(), track))


def _without_frame(snapshot: SnapshotFields | None, ids: Collection[str]) -> SnapshotFields | None:
    """A snapshot without its frame, where the person can be recognised in it."""
    if not snapshot or not set(ids) & set(snapshot.get("people", ())):
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


def _delete_nameless(folder: Path, db: sqlite3.Connection, since_wall_s: float) -> None:
    """Delete pictures since then that no event names, but for the newest: their events are on their way."""
    query = "SELECT body FROM events WHERE at >= ? AND instr(body, CAST('\"snapshot\"' AS BLOB))"
    events = _readable(db.execute(query, (timestamp(since_wall_s - WRITTEN_WITHIN_S),)))
    named = {folder / str(path) for event in events for path in (event.snapshot or {}).values()}
    until_wall_s = time.time() - UNDER_WAY_S
    for path in folder.glob("*/*"):
        try:
            if path not in named and since_wall_s <= path.stat().st_mtime < until_wall_s:
                path.unlink()
        except FileNotFoundError:  # deleted by its age meanwhile
            continue


def _row(event: Event) -> tuple[object, ...]:
    identity = event.identity or {}
    who = identity.get("id") or event.stranger
    return (event.type.value, who, identity.get("name"), event.to_json(), event.seq)
