"""Keeps the gallery in step with a folder of photographs, ``<person>/<photo>``, a little at a time.

Whoever owns the thread calls ``step`` a few times a second. A step looks for changes, takes over renames and
deletions at once, and enrols at most one photo, so that it never lasts longer than one photo does.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from streamd.errors import PhotoRefused
from streamd.gallery.enrolment import Enroller
from streamd.gallery.folderplan import Known, Plan, plan
from streamd.gallery.folderrecords import FOLDER, FolderRecords, PhotoRecord, Stamp
from streamd.gallery.listing import FolderListing
from streamd.gallery.names import person_name
from streamd.gallery.store import GalleryStore

logger = logging.getLogger(__name__)

SETTLED_AFTER_S = 0.3
"""A photo written to more recently may be half there."""
UNREADABLE_AFTER_S = 2.0
"""A photo that cannot be read is tried again until it has been left alone for this long."""
_IDENTITY = "folder_identity"


@dataclass(slots=True)
class SyncReport:
    """What one step did."""

    enrolled: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    """Path and reason label."""
    removed: list[str] = field(default_factory=list)
    moved: list[tuple[str, str]] = field(default_factory=list)
    """Directory before and after; the same where files were renamed inside."""
    waiting: int = 0
    """Photos still being written."""
    busy: bool = False
    """Whether another step would find work at once."""


class FolderSync:
    """One folder, one gallery file. Not thread-safe: one thread calls ``step``."""

    def __init__(
        self,
        folder: Path,
        store: GalleryStore,
        enroller: Enroller,
        *,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._enroller = enroller
        self._wall_clock = wall_clock
        self._records = FolderRecords(store.database)
        self._listing = FolderListing(folder)
        self._known: Known | None = None
        self._seen_version = -1
        self._todo: deque[str] = deque()
        self._gone: set[str] = set()
        """Directories that went while this was the same folder: of people who are to be forgotten."""
        self._warned = False

    def step(self) -> SyncReport:
        """Do a bounded part of what is to be done.

        Raises:
            GalleryError: the gallery file cannot be used; the step may be tried again later.
        """
        report = SyncReport()
        known, reloaded = self._load()
        try:
            before = self._listing.directories()
            changed = self._listing.look(self._wall_clock())
            identity = self._listing.identity()
        except OSError as error:
            self._absent(error, known)
            return report
        is_another = identity != self._records.setting(_IDENTITY)
        is_empty = self._listing.is_empty() and not self._listing.unreadable
        if is_another and is_empty and (known.photos or known.dismissed):
            # As where a disk is not mounted.
            self._warn(f"the gallery folder {self._listing.folder} is not the one it was, and empty")
            return report
        self._warned = False
        if changed or reloaded:
            wanted = plan(self._photos(), known, unreadable=self._listing.unreadable)
            if not is_another:
                self._gone |= before - self._listing.directories() | {path.partition("/")[0] for path in wanted.removed}
            self._apply(wanted, report)
            self._forget_absent()
        if is_another and not is_empty:
            self._records.set_setting(_IDENTITY, identity)
        self._enroll_one(report)
        return report

    def _load(self) -> tuple[Known, bool]:
        version = self._store.version()
        if self._known is not None and version == self._seen_version:
            return self._known, False
        self._seen_version = version
        photos, dismissed = self._records.photos(), self._records.dismissed()
        self._known = Known(photos, dismissed, self._enroller.model_id)
        return self._known, True

    def _photos(self) -> dict[str, Stamp]:
        return dict(self._listing.photos())

    def _absent(self, error: OSError, known: Known) -> None:
        folder = self._listing.folder
        if isinstance(error, FileNotFoundError) and not (known.photos or known.dismissed):
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as reason:
                self._warn(f"the gallery folder {folder} cannot be made: {reason.strerror}")
            return
        self._warn(f"the gallery folder {folder} cannot be read: {error.strerror}")

    def _warn(self, message: str) -> None:
        if not self._warned:
            logger.warning("%s; its people stay in the gallery", message)
        self._warned = True

    def _apply(self, wanted: Plan, report: SyncReport) -> None:
        for before, after, moves in wanted.moves:
            if self._records.move(moves, person_name(before), person_name(after)):
                report.moved.append((before, after))
                logger.info("gallery folder: %r became %r", before, after)
            else:  # the name is somebody else's, and so are the photos now
                self._records.remove([path for path, _ in moves])
        if wanted.removed:
            self._records.remove(wanted.removed)
            report.removed.extend(wanted.removed)
            logger.info("gallery folder: %d photos are gone", len(wanted.removed))
        if wanted.undismissed:
            self._records.undismiss(wanted.undismissed)
        self._todo = deque(wanted.wanted)
        if wanted.moves or wanted.removed or wanted.undismissed:
            self._known = None  # read again, and plan what is left, in the next step
            report.busy = True

    def _forget_absent(self) -> None:
        """Forget those whose directory is gone; while it is there, somebody may be without a face, as when a photo is
        exchanged for a better one."""
        if self._known is None or not self._gone:
            return
        there = {person_name(directory) for directory in self._listing.directories() | self._listing.unreadable}
        for name in {person_name(directory) for directory in self._gone} - there:
            if self._records.forget_faceless(name):
                logger.info("gallery folder: %r is gone, and forgotten", name)
        self._gone = set()

    def _enroll_one(self, report: SyncReport) -> None:
        """Take the first photo that has been left alone; those still being written keep their turn."""
        for _ in range(len(self._todo)):
            path = self._todo.popleft()
            if self._try(path, report):
                break
            self._todo.append(path)
            report.waiting += 1
        report.busy |= len(self._todo) > report.waiting

    def _try(self, path: str, report: SyncReport) -> bool:
        """Deal with one photo; False where it is too early to."""
        stamp = self._listing.restamp(path)
        if stamp is None:
            return True
        if self._age_s(stamp) < SETTLED_AFTER_S:
            return False
        record = PhotoRecord(path, stamp, self._enroller.model_id)
        name = person_name(path.partition("/")[0])
        try:
            face = self._enroller.face_of(self._listing.folder / path, name=name, source=FOLDER + path)
        except PhotoRefused as refusal:
            if self._is_unfinished(record, refusal):
                return False
            self._refuse(record, refusal)
            self._remember(replace(record, reason=refusal.reason), report)
            report.refused.append((path, refusal.reason))
            return True
        if self._listing.restamp(path) != stamp:
            return False
        self._records.keep_face(record, name, face)
        self._remember(record, report)
        report.enrolled.append(path)
        logger.info("gallery folder: %s enrolled, quality %.2f", path, face.quality)
        return True

    def _is_unfinished(self, record: PhotoRecord, refusal: PhotoRefused) -> bool:
        young = refusal.reason == "unreadable" and self._age_s(record.stamp) < UNREADABLE_AFTER_S
        return young or self._listing.restamp(record.path) != record.stamp

    def _refuse(self, record: PhotoRecord, refusal: PhotoRefused) -> None:
        self._records.refuse(replace(record, reason=refusal.reason))
        logger.warning("gallery folder: refused (%s): %s", refusal.reason, refusal)

    def _remember(self, record: PhotoRecord, report: SyncReport) -> None:
        """Spare the next step reading all records again after something new of our own."""
        if self._known is None or record.path in self._known.photos:
            self._known = None  # what the photo gave before is gone, and others may take its place
            report.busy = True
        else:
            photos = dict(self._known.photos)
            photos[record.path] = record
            self._known = replace(self._known, photos=photos)
            self._seen_version = self._store.version()

    def _age_s(self, stamp: Stamp) -> float:
        """Seconds since the photo was written to; one from the future counts as old."""
        age_s = self._wall_clock() - stamp.mtime_ns / 1e9
        return age_s if age_s >= 0 else float("inf")
