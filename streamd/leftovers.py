"""Pictures that a worker which was killed left behind: half written, or of events that were never told.

Nothing would delete them with a person who is forgotten, for that goes by the events.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import Path

from streamd.album import PART, days
from streamd.errors import JournalError
from streamd.events import Event
from streamd.journal import Filter, Journal, readable

logger = logging.getLogger(__name__)

LOOKED_BACK = 1000
"""Events; pictures from before them are not looked at."""
LATE_S = 60.0
"""A picture is written so long after its event at most."""
DAYS = 2
"""Folders of pictures that are looked into: the newest."""
_NAME = re.compile(r"(?P<camera>.+)-[^-]+-\d+-[^-]+-(?:face|frame)\..+")


def clear_leftovers(pictures: Path, journal: Path, cameras: Collection[str]) -> int:
    """Delete what is left of these cameras, before anybody writes of them; how many went."""
    try:
        events = _last_events(journal, cameras)
    except JournalError as error:
        logger.warning("pictures that a killed worker left behind stay: %s", error)
        return 0
    named = {str(path) for event in events for path in (event.snapshot or {}).values() if isinstance(path, str)}
    since_s = datetime.fromisoformat(events[0].at).timestamp() + LATE_S if events else float("inf")
    gone = 0
    for path in _pictures(pictures, cameras):
        try:
            is_left = path.suffix == PART or path.stat().st_mtime > since_s
            if is_left and str(path.relative_to(pictures)) not in named:
                path.unlink()
                gone += 1
        except FileNotFoundError:  # deleted by its age meanwhile
            continue
        except OSError as error:
            logger.warning("a picture that a killed worker left behind stays: %s", error)
    return gone


def _last_events(journal: Path, cameras: Collection[str]) -> list[Event]:
    if not journal.exists() or not cameras:
        return []
    with Journal(journal, read_only=True) as opened:
        return list(readable(opened.last(LOOKED_BACK, only=Filter(cameras=tuple(cameras)))))


def _pictures(folder: Path, cameras: Collection[str]) -> Iterator[Path]:
    for day in days(folder)[-DAYS:]:
        for path in day.iterdir():
            if (found := _NAME.fullmatch(path.name)) and found["camera"] in cameras:
                yield path
