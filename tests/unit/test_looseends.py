from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from publisherprocess import an_event

from streamd.events import EventType
from streamd.journal import Entry, Journal
from streamd.looseends import loose_ends

APPEARED, IDENTIFIED, LEFT = EventType.FACE_APPEARED, EventType.FACE_IDENTIFIED, EventType.FACE_LEFT


def test_an_appearance_without_an_end_is_ended_with_the_name_that_it_had(tmp_path: Path) -> None:
    told = [(APPEARED, "a"), (IDENTIFIED, "a"), (APPEARED, "b"), (LEFT, "b"), (APPEARED, "c")]
    events = [replace(an_event(n, kind=kind), track=track) for n, (kind, track) in enumerate(told)]
    events.append(replace(an_event(9, kind=APPEARED, camera="yard"), track="d"))
    path = tmp_path / "journal.sqlite"
    with Journal(path) as journal:
        journal.append([Entry("w", "e", n, event) for n, event in enumerate(events, start=1)])
    ends = loose_ends(path, {"door"})
    assert [(e.type, e.track) for e in ends] == [(LEFT, "a"), (LEFT, "c")]
    assert ends[0].identity == events[1].identity
    assert ends[0].message
    assert len({e.id for e in (*ends, *events)}) == 8


def test_without_a_journal_there_are_none(tmp_path: Path) -> None:
    assert loose_ends(tmp_path / "none", {"door"}) == []
