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
SETTLED_S = 10.0
"""What arrived at the publisher before is in the journal so long after it took an event that came later."""
DAYS = 2
"""Folders of pictures that are looked into: the newest."""
_NAME = re.compile(r"(?P<camera>.+)-[^-]+-\d+-[^-]+-(?:face|frame)\..+")


class Leftovers:
    """What was found of these cameras before anybody wrote of them anew.

    A picture without an event may belong to one that waits: for a publisher that is away, or for room on the disk.
    They are deleted once the journal takes events again, and has had time for those before.
    """

    def __init__(self, pictures: Path, journal: Path, cameras: Collection[str]) -> None:
        self._pictures = pictures
        self._journal = journal
        self._cameras = cameras
        self._suspects: list[Path] = []
        self._due_s: float | None = None
        named, since_s = self._told()
        for path in _pictures(pictures, cameras):
            if path.suffix == PART:
                _delete(path)
            elif self._is_left(path, named, since_s):
                self._suspects.append(path)

    def look(self, now_s: float, *, journal_works: bool) -> int:
        """Delete what is left, once it is time; how many went. Cheap until then, and afterwards.

        Args:
            now_s: infinite at the end of the work.
            journal_works: whether it has what was sent since.
        """
        if not self._suspects:
            return 0
        if self._due_s is None:
            self._due_s = now_s + SETTLED_S if journal_works else None
            return 0
        if now_s < self._due_s:
            return 0
        named, since_s = self._told()
        gone = sum(_delete(path) for path in self._suspects if self._is_left(path, named, since_s))
        self._suspects = []
        return gone

    def _told(self) -> tuple[set[str], float]:
        """Pictures that events name, and the time after which each is named; of nothing, where that is not known."""
        try:
            events = _last_events(self._journal, self._cameras)
        except JournalError as error:
            logger.warning("pictures that a killed worker left behind stay: %s", error)
            events = []
        named = {str(path) for event in events for path in (event.snapshot or {}).values() if isinstance(path, str)}
        return named, datetime.fromisoformat(events[0].at).timestamp() + LATE_S if events else float("inf")

    def _is_left(self, path: Path, named: Collection[str], since_s: float) -> bool:
        try:
            return path.stat().st_mtime > since_s and str(path.relative_to(self._pictures)) not in named
        except FileNotFoundError:  # deleted by its age meanwhile
            return False


def _delete(path: Path) -> bool:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("a picture that a killed worker left behind stays: %s", error)
        return False
    return True


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
