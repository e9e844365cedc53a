"""People who are forgotten stay out of the journal: what was decided before and comes after does not name them.

A worker says that it has taken note with ``person.forgotten``, and then the journal is erased. An event may come later
all the same: another worker had not noticed yet, or in the account of another face the person is the second best.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from streamd.erasure import Somebody, without_account, without_person
from streamd.events import Event, EventType
from streamd.journal import Entry, Filter, Journal, readable

REMEMBERED = 1000
"""People; nothing comes so late that as many were forgotten meanwhile."""
LOOKED_BACK = 10_000
"""Events of before the start, for the same reason."""


class Forgotten:
    """Not thread-safe: the publisher's loop calls it with every event before it is written."""

    def __init__(self, journal: Journal) -> None:
        """Raises JournalError."""
        only = Filter(types=(EventType.PERSON_FORGOTTEN.value,))
        self._ids: dict[str, None] = {}  # in order; bounded: REMEMBERED
        self._somebody = Somebody(frozenset(), None)
        self._note(readable(journal.since(max(0, journal.last_seq - LOOKED_BACK), LOOKED_BACK, only=only)))

    def keep_out(self, entries: Sequence[Entry]) -> list[Entry]:
        """The entries with nothing in them that tells of anybody who is forgotten by then."""
        kept = []
        for entry in entries:
            if entry.event.type is EventType.PERSON_FORGOTTEN:
                self._note([entry.event])
            elif self._ids:
                event = without_account(without_person(entry.event, self._somebody), self._somebody)
                entry = replace(entry, event=event)
            kept.append(entry)
        return kept

    def _note(self, events: Iterable[Event]) -> None:
        self._ids |= {str(event.identity["id"]): None for event in events if event.identity}
        for oldest in list(self._ids)[:-REMEMBERED]:
            del self._ids[oldest]
        self._somebody = Somebody(frozenset(self._ids), None)
