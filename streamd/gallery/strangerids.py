"""Ids that somebody had while they were a stranger: whose they were in the end.

Two ids of one person leave the one that went in the journal and in the names of pictures' events. Who was found to be
whom stands in ``stranger_merges``, until events of that time are gone; who got a name, in the log of changes.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Collection, Iterable

ASSIGNED = "stranger.assigned"
MERGED = "stranger.merged"
_FROM_STRANGER = re.compile(r"(shared:)?unknown:(.+)")


def note_merge(connection: sqlite3.Connection, stranger_id: str, into: str) -> None:
    """``stranger_id`` is no more: it was ``into``."""
    connection.execute("INSERT OR REPLACE INTO stranger_merges VALUES (?, ?, ?)", (stranger_id, into, time.time()))


def drop_merges(connection: sqlite3.Connection, stranger_ids: Iterable[str]) -> None:
    """These ids are somebody's own, or no longer anybody's."""
    connection.executemany("DELETE FROM stranger_merges WHERE stranger_id = ?", [(who,) for who in stranger_ids])


def drop_old_merges(connection: sqlite3.Connection, older_than_wall_s: float) -> None:
    """No event that was told before this moment is left."""
    connection.execute("DELETE FROM stranger_merges WHERE at_wall_s < ?", (older_than_wall_s,))


def merged_ids(connection: sqlite3.Connection) -> frozenset[str]:
    """Ids that events may still tell of, and that are not to be given to anybody else."""
    return frozenset(str(row[0]) for row in connection.execute("SELECT stranger_id FROM stranger_merges"))


def earlier_ids(connection: sqlite3.Connection, who: Collection[str]) -> tuple[str, ...]:
    """Ids of strangers who turned out to be one of these people or strangers, and who are not there any more."""
    became: dict[str, str] = {}
    named = "SELECT detail, person_id FROM changes WHERE what = ? ORDER BY version"
    became.update(
        (str(stranger_id), str(person_id)) for stranger_id, person_id in connection.execute(named, (ASSIGNED,))
    )
    merged = "SELECT stranger_id, into_id FROM stranger_merges"
    became.update((str(stranger_id), str(into)) for stranger_id, into in connection.execute(merged))
    there = {str(row[0]) for row in connection.execute("SELECT id FROM strangers")}
    for stranger_id in there:
        became.pop(stranger_id, None)
    for person_id in who:
        for (source,) in connection.execute("SELECT DISTINCT source FROM faces WHERE person_id = ?", (person_id,)):
            if found := _FROM_STRANGER.fullmatch(source):
                shared, stranger_id = found.groups()
                if not (shared and stranger_id in there):  # one of another box's, whose id somebody else has here
                    became[stranger_id] = person_id
    return leading_to(who, became)


def merged_into(connection: sqlite3.Connection, stranger_id: str) -> tuple[str, ...]:
    """Ids of strangers who were found to be this one."""
    merged = connection.execute("SELECT stranger_id, into_id FROM stranger_merges")
    return leading_to({stranger_id}, {str(gone): str(into) for gone, into in merged})


def leading_to(ends: Collection[str], steps: dict[str, str]) -> tuple[str, ...]:
    """Everything from which ``steps`` lead to one of ``ends``."""
    found: set[str] = set()
    while more := {start for start, end in steps.items() if end in found or end in ends} - found - set(ends):
        found |= more
    return tuple(sorted(found))
