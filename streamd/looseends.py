"""Departures that were never told, because the process that followed the faces was killed."""

from __future__ import annotations

import logging
import time
from collections.abc import Container, Sequence
from dataclasses import replace
from pathlib import Path

from streamd.errors import JournalError
from streamd.events import Event, EventType, new_id, timestamp
from streamd.journal import Entry, Filter, Journal, readable

logger = logging.getLogger(__name__)

LOOKED_BACK = 5000
"""Events; an appearance of which none of them tells is not ended any more."""
MESSAGE = "the worker was started anew"


def loose_ends(path: Path, cameras: Container[str]) -> list[Event]:
    """``face.left`` for every appearance on these cameras that has begun and not ended; before work begins."""
    open_tracks: dict[str, Event] = {}
    if not path.exists():
        return []
    try:
        with Journal(path, read_only=True) as journal:
            faces = tuple(kind.value for kind in EventType if kind.value.startswith("face."))
            rows = journal.last(LOOKED_BACK, only=Filter(types=faces))
    except JournalError as error:
        logger.warning("appearances of an earlier run stay open: %s", error)
        return []
    for event in readable(rows):
        if event.track is None or event.camera not in cameras:
            continue
        if event.type is EventType.FACE_LEFT:
            open_tracks.pop(event.track, None)
        elif event.type is EventType.FACE_APPEARED or event.track in open_tracks:
            open_tracks[event.track] = event
    return [_left(event) for event in open_tracks.values()]


def without_told(entries: Sequence[Entry], journal: Journal) -> list[Entry]:
    """The entries without loose ends that have their departure in the journal by now.

    A worker that was told to end, or whose publisher waited for room on the disk, told of them after the next one had
    looked.
    """
    if not any(_is_loose_end(entry.event) for entry in entries):
        return list(entries)
    only = Filter(types=(EventType.FACE_LEFT.value,))
    try:
        past = journal.since(max(0, journal.last_seq - LOOKED_BACK), LOOKED_BACK, only=only)
    except JournalError as error:
        logger.warning("some departures may be told twice: %s", error)
        return list(entries)
    left = {event.track for event in readable(past)}
    kept = []
    for entry in entries:
        if _is_loose_end(entry.event) and entry.event.track in left:
            continue
        if entry.event.type is EventType.FACE_LEFT:
            left.add(entry.event.track)
        kept.append(entry)
    return kept


def _is_loose_end(event: Event) -> bool:
    return event.type is EventType.FACE_LEFT and event.message == MESSAGE


def _left(last: Event) -> Event:
    return replace(
        last,
        type=EventType.FACE_LEFT,
        id=new_id(),
        at=timestamp(time.time()),
        seq=0,
        revises=None,
        evidence=None,
        runner_up=None,
        latency_ms=None,
        message=MESSAGE,
    )
