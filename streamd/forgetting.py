"""Forgets a person or stranger everywhere: gallery, log, journal, caches; and says what was deleted."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from streamd.backups import backups
from streamd.config import Config
from streamd.control import ask_status
from streamd.endpoints import control_endpoint
from streamd.errors import JournalError, NotInGallery, UnavailableError
from streamd.events import EventType, timestamp
from streamd.gallery.erasures import Erasure, erasures_under_way
from streamd.gallery.names import person_name
from streamd.gallery.store import GalleryStore
from streamd.gallery.strangers import StrangerRecords
from streamd.journal import Filter, Journal, readable
from streamd.traces import Erased, erase_traces

LOOKED_BACK = 1000
"""Events of a name, among which its ids are found."""
ANSWERS_WITHIN_S = 1.0
"""How long a running daemon may take to say that it runs."""
NOTICED_WITHIN_S = 10.0
"""How long a running daemon may take to notice; until then it may still tell of the person."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was deleted of one person."""

    forgotten: str
    person_id: str
    at: str
    faces: int
    """Embeddings, and as many crops."""
    events: int
    """Events in the journal that told of them."""
    caches: int
    """Saved search indexes, which are built again without the person."""
    photos: tuple[str, ...]
    """Photos in the watched folder that are still there."""
    photos_deleted: tuple[str, ...]
    erased: bool
    """Whether no trace is left in the files; False while another process kept reading."""
    noticed: bool
    """Whether a running daemon has taken note, or none runs."""
    backups: int = 0
    """Copies of gallery and journal from before upgrades, which are gone as a whole."""
    undone: tuple[str, ...] = ()
    """What could not be done yet, and why. The daemon goes on with it, or the same command does."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        """The receipt for people."""
        lines = [
            f"{self.forgotten} is forgotten ({self.person_id}, {self.at})",
            f"  {self.faces} embeddings and {self.faces} crops deleted, with what could be undone",
            f"  {self.events} events in the journal erased",
        ]
        if self.backups:
            lines.append(f"  {self.backups} copies from before an upgrade deleted, which held everybody")
        if self.photos_deleted:
            lines.append(f"  {len(self.photos_deleted)} photos in the folder deleted")
        if self.photos:
            lines.append("photos that are still in the folder, not enrolled again (--photos deletes them):")
            lines += [f"  {photo}" for photo in self.photos]
        if self.undone:
            lines.append("not done yet; a running daemon goes on with it, and so does the same command:")
            lines += [f"  {trouble}" for trouble in self.undone]
        elif not self.erased:
            lines.append("another process was reading: run 'streamd gallery audit' later to empty its log")
        if not self.noticed:
            lines.append("the daemon has not taken note yet; what it still tells of them it erases once it has")
        return lines


def forget_person(config: Config, store: GalleryStore, name: str, *, photos: bool) -> Receipt:
    """Delete a person for good, or go on with that where it was cut short.

    Args:
        photos: delete their photos in the watched folder, too.

    Raises:
        GalleryError: there is no such person, and was none, or the gallery cannot be written.
        JournalError: the journal cannot be read; nobody is forgotten.
    """
    watched = daemon_runs(config)
    seq = _last_seq(config.journal_file)
    copies = len(backups(config.state_dir))
    erasure = _begun(store, name)
    if erasure is None:
        erasure = store.forget(name, with_photos=photos, told=_told(config.journal_file, name))
    else:
        seq = 0  # the daemon may have told of it before
        erasure = replace(erasure, with_photos=erasure.with_photos or photos)
    noticed = not watched or _await_notice(config.journal_file, erasure.person_id, seq)
    # Of what was decided before pictures may still be written, and other workers hear of it later.
    erased = erase_traces(config, store, erasure, final=not watched, noticed=noticed)
    folder = config.gallery_folder
    return Receipt(
        forgotten=erasure.name,
        person_id=erasure.person_id,
        at=timestamp(time.time()),
        faces=erasure.faces,
        events=erased.events,
        caches=erased.caches,
        photos=tuple(str(folder / path) for path in erasure.photos if path not in erased.photos_deleted),
        photos_deleted=tuple(str(folder / path) for path in erased.photos_deleted),
        erased=erased.is_gone,
        noticed=noticed,
        backups=copies,
        undone=erased.undone,
    )


def forget_stranger(config: Config, store: GalleryStore, stranger_id: str) -> Erased:
    """Delete a stranger for good, or go on with that where it was cut short.

    A daemon that runs goes over it once more, a minute later: until it has noticed it may tell of them.

    Raises:
        GalleryError: there is no such stranger, or the gallery cannot be written.
    """
    watched = daemon_runs(config)
    try:
        erasure = StrangerRecords(store.database).forget(stranger_id)
    except NotInGallery:
        begun = [e for e in erasures_under_way(store.database) if e.person_id == stranger_id and e.is_strangers]
        if not begun:
            raise
        erasure = begun[0]
    return erase_traces(config, store, erasure, final=not watched)


def _begun(store: GalleryStore, name: str) -> Erasure | None:
    """The erasure of the person who had this name, where it was cut short and nobody has the name now."""
    try:
        store.person(name)
    except NotInGallery:
        wanted = person_name(name)
        begun = [e for e in erasures_under_way(store.database) if e.name == wanted and not e.is_strangers]
        return begun[-1] if begun else None
    return None


def _told(journal: Path, name: str) -> set[str]:
    """Ids under which events tell of this name: a person's, or of somebody who is not in the gallery any more."""
    if not journal.exists():
        return set()
    wanted = person_name(name)
    with Journal(journal, read_only=True) as opened:
        events = readable(opened.last(LOOKED_BACK, only=Filter(person=wanted)))
        named = [event.identity for event in events if event.identity is not None]
        return {str(identity["id"]) for identity in named if identity.get("name") == wanted and "id" in identity}


def daemon_runs(config: Config) -> bool:
    try:
        ask_status(control_endpoint(config.sockets_dir), timeout_s=ANSWERS_WITHIN_S)
    except UnavailableError:
        return False
    return True


def _last_seq(journal: Path) -> int:
    if not journal.exists():
        return 0
    with Journal(journal, read_only=True) as opened:
        return opened.last_seq


def _await_notice(path: Path, person_id: str, after: int) -> bool:
    """Wait until the daemon tells that the person is no more: what it decides from then on does not name them."""
    only = Filter(types=(EventType.PERSON_FORGOTTEN.value,), person=person_id)
    deadline_s = time.monotonic() + NOTICED_WITHIN_S
    if not path.exists():  # a daemon that has not begun
        return False
    try:
        with Journal(path, read_only=True) as journal:
            while not journal.since(after, 1, only=only):
                if time.monotonic() >= deadline_s:
                    return False
                time.sleep(0.05)
    except JournalError:
        return False
    return True
