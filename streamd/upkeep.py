"""What one worker does for all of them: tells what became of people, and deletes what has been kept long enough."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator, Sequence

from streamd.album import tidy
from streamd.backups import thin_out
from streamd.config import Config
from streamd.errors import JournalError
from streamd.events import Event, EventType, PersonFields, timestamp
from streamd.gallery.erasures import erasures_under_way
from streamd.gallery.labels import label_texts
from streamd.gallery.rows import ENROLLED, FORGOTTEN, Change, Person
from streamd.gallery.store import GalleryStore
from streamd.gallery.strangerids import ASSIGNED, MERGED, drop_old_merges, merged_into
from streamd.gallery.strangers import StrangerRecords
from streamd.gallery.undo import UNDONE, drop_old_undo
from streamd.journal import Filter, Journal, readable
from streamd.traces import erase_traces
from streamd.wallclock import was_set

logger = logging.getLogger(__name__)

CLEAN_EVERY_S = 3600.0
TIDY_EVERY_S = 600.0
ERASE_AFTER_S = 60.0
"""Until then whoever forgot a person is at erasing them, and a worker may not have noticed."""
MOST_AT_ONCE = 500
"""Changes that bring more news than this at once are told a part at a time."""
MOST_REVISED = 1000
"""Past appearances of a stranger that are revised once they have a name; of more, the oldest stay as they were."""
LOOKED_BACK = 5000
"""Events of the journal among which those are looked for that an earlier worker sent and could not note."""
_DAY_S = 86_400.0
_TOLD = "told_version"


class Upkeep:
    """Not thread-safe: one thread calls it."""

    def __init__(self, store: GalleryStore, config: Config) -> None:
        self._store = store
        self._strangers = StrangerRecords(store.database)
        self._journal = config.journal_file
        self._config = config
        self._gallery = config.gallery
        self._snapshots = config.snapshots
        self._pictures = config.snapshots_dir
        self._told_version = self._reached = self._read_told()
        self._is_first = True
        self._cleaned_at_s = self._tidied_at_s = float("-inf")
        self._erasures_due_s = float("-inf")

    def news(self, upto: int | None = None) -> list[Event]:
        """People enrolled and forgotten, and strangers who got a name, since what was told; of very many the first.

        The same again until ``note_told``, also by the next worker, and under the same ids; what an earlier worker sent
        and could not note is left out. Raises GalleryError.

        Args:
            upto: the version that searches have reached: who is said to be forgotten is not found any more. None: all.
        """
        events: list[Event] = []
        version = self._store.version() if upto is None else upto
        if version <= self._told_version:
            return events
        for change in self._store.changes(after=self._told_version):
            if len(events) >= MOST_AT_ONCE or change.version > version:
                break
            self._reached = change.version
            if change.what in (ENROLLED, FORGOTTEN):
                events.append(_person_event(change))
            elif change.what == ASSIGNED and change.name is not None:
                identity: PersonFields = {"id": change.person_id, "name": change.name}
                events += self._revisions(change, change.detail, identity=identity)
            elif change.what == UNDONE and change.detail:  # forgetting a person empties it
                for stranger_id in self._unnamed(change):
                    events += self._revisions(change, stranger_id, message="the name was taken back")
        if self._is_first and events:
            events = self._without_heard(events)
        if not events:
            self.note_told()
        return events

    def note_told(self) -> None:
        """The journal has what ``news`` gave. Raises GalleryError; then it is to be called again."""
        self._write_told(self._reached)
        self._told_version = self._reached
        self._is_first = False

    def clean_up(self, now_wall_s: float, *, now_s: float | None = None) -> None:
        """Delete what is too old: pictures every few minutes, the rest once an hour. Raises GalleryError.

        Args:
            now_wall_s: what the clock says; ages are counted from there where it is believed.
            now_s: what says whether it is time again, ``time.monotonic()`` where it is not given.
        """
        now_s = time.monotonic() if now_s is None else now_s
        if now_s - self._tidied_at_s >= TIDY_EVERY_S:
            self._tidied_at_s = now_s
            self._tidy_pictures(self._date(now_wall_s))
        self._finish_erasures(now_wall_s)
        if now_s - self._cleaned_at_s >= CLEAN_EVERY_S:
            self._cleaned_at_s = now_s
            self._delete_old(self._date(now_wall_s))

    def _date(self, now_wall_s: float) -> float:
        """From which ages are counted (``wallclock.Calendar``); 0, by which nothing is old, where that is not known."""
        if not self._journal.exists():
            return now_wall_s
        try:
            with Journal(self._journal, read_only=True) as journal:
                return journal.calendar(now_wall_s).seen(now_wall_s).reckoned(now_wall_s)
        except JournalError as error:
            logger.error("nothing is deleted for its age: %s", error)
            return 0.0

    def _delete_old(self, date_wall_s: float) -> None:
        self._thin_out_backups(date_wall_s)
        self._forget_expired(date_wall_s)
        gone = self._strangers.drop_old(date_wall_s - self._gallery.unknown_retention_days * _DAY_S)
        with self._store.database.write() as connection:
            final = drop_old_undo(connection, date_wall_s - self._gallery.undo_days * _DAY_S)
            drop_old_merges(connection, date_wall_s - (self._config.events.retention_days + 1) * _DAY_S)
        if gone or final:
            logger.info("%d strangers not seen for long and %d removed rows deleted", gone, final)

    def _thin_out_backups(self, now_wall_s: float) -> None:
        try:
            thin_out(self._store.path.parent, now_wall_s=now_wall_s)
        except OSError as error:
            logger.error("old copies from before an upgrade stay: %s", error)

    def _tidy_pictures(self, now_wall_s: float) -> None:
        oldest_s = now_wall_s - self._snapshots.retention_days * _DAY_S
        try:
            tidy(self._pictures, older_than_wall_s=oldest_s, max_bytes=self._snapshots.max_mb * 1e6)
        except OSError as error:
            logger.error("old pictures stay: %s", error)

    def _finish_erasures(self, now_wall_s: float) -> None:
        """People who were forgotten, and of whom something may be left."""
        if time.monotonic() < self._erasures_due_s:
            return
        self._erasures_due_s = time.monotonic() + ERASE_AFTER_S
        for erasure in erasures_under_way(self._store.database):
            if 0 <= now_wall_s - erasure.begun_wall_s < ERASE_AFTER_S:
                continue
            for trouble in erase_traces(self._config, self._store, erasure, final=True).undone:
                logger.error("a person who was forgotten is not erased everywhere yet: %s", trouble)
                self._erasures_due_s = time.monotonic() + TIDY_EVERY_S

    def _forget_expired(self, now_wall_s: float) -> None:
        """People whose label's time is over; what is left of them is erased with the others'."""
        if not self._gallery.retention_days or not was_set(now_wall_s):
            return
        for person in self._store.people():
            days = [self._gallery.retention_days.get(text) for text in label_texts(person.labels)]
            kept_days = min((d for d in days if d is not None), default=None)
            if kept_days is None or now_wall_s - self._since_wall_s(person, now_wall_s) < kept_days * _DAY_S:
                continue
            self._store.forget(person.name)
            logger.info("a person is forgotten after %g days", kept_days)

    def _since_wall_s(self, person: Person, now_wall_s: float) -> float:
        """When somebody was enrolled; of who was enrolled before the clock was set, when that was noticed."""
        if was_set(person.created_wall_s):
            return person.created_wall_s
        key = f"noticed:{person.id}"
        with self._store.database.write() as connection:
            connection.execute("INSERT OR IGNORE INTO settings VALUES (?, ?)", (key, str(now_wall_s)))
            return float(connection.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()[0])

    def _unnamed(self, undone: Change) -> list[str]:
        """Strangers whose name was taken back, or who are not the one any more who got a name since."""
        query = "SELECT detail FROM changes WHERE batch = ? AND what = ?"
        named_since = "SELECT 1 FROM changes WHERE what = ? AND detail = ? AND version > ?"
        batch = int(undone.detail)
        with self._store.database.read() as connection:
            unnamed = [str(row[0]) for row in connection.execute(query, (batch, ASSIGNED))]
            for (detail,) in connection.execute(query, (batch, MERGED)).fetchall():
                stranger_id, _, into = str(detail).partition(" into ")
                if connection.execute(named_since, (ASSIGNED, into, batch)).fetchone():
                    unnamed.append(stranger_id)
        return unnamed

    def _revisions(
        self,
        change: Change,
        stranger_id: str,
        *,
        identity: PersonFields | None = None,
        message: str | None = None,
    ) -> Iterator[Event]:
        """A revision of every event that told of the stranger, who has a name now, or none any more; also under ids
        that were found to be theirs."""
        with self._store.database.read() as connection:
            ids = (stranger_id, *merged_into(connection, stranger_id))
        unknown = (EventType.FACE_UNKNOWN.value,)
        try:
            if not self._journal.exists():
                return
            with Journal(self._journal, read_only=True) as journal:
                found = [
                    row for who in ids for row in journal.last(MOST_REVISED, only=Filter(types=unknown, person=who))
                ]
                past = list(readable(sorted(found)[-MOST_REVISED:]))
        except JournalError as error:
            logger.error("past events of %s are not revised: %s", stranger_id, error)
            return
        for event in past:
            yield Event(
                type=EventType.FACE_REVISED,
                camera=event.camera,
                at=timestamp(time.time()),
                id=_id_of(change, event.id),
                track=event.track,
                identity=identity,
                revises=event.id,
                stranger=event.stranger,
                gallery_version=change.version,
                message=message,
            )

    def _without_heard(self, events: Sequence[Event]) -> list[Event]:
        """Those that the journal does not have."""
        kinds = tuple(
            kind.value for kind in (EventType.PERSON_ENROLLED, EventType.PERSON_FORGOTTEN, EventType.FACE_REVISED)
        )
        try:
            if not self._journal.exists():
                return list(events)
            with Journal(self._journal, read_only=True) as journal:
                heard = {event.id for event in readable(journal.last(LOOKED_BACK, only=Filter(types=kinds)))}
        except JournalError as error:
            logger.warning("what became of people may be told twice, under the same ids: %s", error)
            return list(events)
        return [event for event in events if event.id not in heard]

    def _read_told(self) -> int:
        """How far earlier workers told; all of it where none has yet, from now on."""
        with self._store.database.read() as connection:
            row = connection.execute("SELECT value FROM settings WHERE key = ?", (_TOLD,)).fetchone()
        if row:
            return int(row[0])
        version = self._store.version()
        self._write_told(version)
        return version

    def _write_told(self, version: int) -> None:
        with self._store.database.write() as connection:
            connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (_TOLD, str(version)))


def _person_event(change: Change) -> Event:
    identity: PersonFields = {"id": change.person_id}
    if change.name:
        identity["name"] = change.name
    return Event(
        type=EventType(change.what),
        camera="-",
        at=timestamp(change.at_wall_s),
        id=_id_of(change),
        identity=identity,
        gallery_version=change.version,
    )


def _id_of(change: Change, revised: str = "") -> str:
    """One event's id, the same each time that it is told.

    The moment sets boxes apart that share a gallery, and number its changes each for itself.
    """
    about = f"{change.version} {change.at_wall_s!r} {revised}"
    return hashlib.blake2b(about.encode(), digest_size=16).hexdigest()
