"""Keeps the worker's gallery current, in a thread beside the work loop.

It looks for changes that others made to the store (the command line, another worker), and one worker also keeps the
folder of photographs in step. Photographs are examined with the worker's own models; inference releases the
interpreter, so the work loop goes on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from contextlib import AbstractContextManager

from streamd.background import Background
from streamd.errors import GalleryError
from streamd.events import Event
from streamd.gallery.folder import FolderSync
from streamd.gallery.live import LiveGallery
from streamd.gallery.store import GalleryStore
from streamd.gallery.strangerbook import StrangerBook
from streamd.metrics import Metrics
from streamd.upkeep import Upkeep

logger = logging.getLogger(__name__)

PAUSE_S = 0.5
"""Between looks at the store and the folder."""
RECALL_EVERY_S = 60.0
LONGEST_PAUSE_S = 5.0
"""Between looks at a folder of so many photos that looking takes long."""


class Curator:
    """Owns the thread that refreshes the gallery and, where there is one, the folder's sync."""

    def __init__(
        self,
        store: GalleryStore,
        gallery: LiveGallery,
        folder: FolderSync | None,
        *,
        metrics: Metrics,
        upkeep: Upkeep | None,
        strangers: StrangerBook | None = None,
    ) -> None:
        """``upkeep`` is what one of several workers does for all of them."""
        self._store = store
        self._gallery = gallery
        self._folder = folder
        self._metrics = metrics
        self._upkeep = upkeep
        self._strangers = strangers
        self._events: deque[Event] = deque()  # bounded: filled by one call for news, and only once that before is told
        self._given = False
        self._told = threading.Event()
        self._trouble = ""
        self._folder_due_s = 0.0
        self._recall_due_s = 0.0
        self._background = Background("curator", self._step, metrics)

    def running(self) -> AbstractContextManager[None]:
        return self._background.running()

    def events(self) -> list[Event]:
        """What happened to the gallery; for the work loop to send, and to say of all of it that it is ``told``.

        What is not told when the work ends is left to the next worker.
        """
        found: list[Event] = []
        while self._events:
            found.append(self._events.popleft())
        return found

    def told(self) -> None:
        """The journal has what ``events`` gave."""
        self._told.set()

    def _look_at_folder(self, now_s: float) -> bool:
        """Whether there is more to do in it at once."""
        if self._folder is None or now_s < self._folder_due_s:
            return False
        report = self._folder.step()
        took_s = time.monotonic() - now_s
        # Looking at an idle folder costs a twentieth of a core at most; photos are not counted.
        self._folder_due_s = 0.0 if report.enrolled or report.refused else now_s + min(LONGEST_PAUSE_S, 20 * took_s)
        return report.busy

    def _check_recall(self, now_s: float) -> None:
        if now_s < self._recall_due_s:
            return
        self._gallery.check_recall()
        # A hundredth of a core at most.
        self._recall_due_s = time.monotonic() + max(RECALL_EVERY_S, 100 * (time.monotonic() - now_s))
        if (recall := self._gallery.recall) is not None:
            self._metrics.gallery_recall.set(recall)

    def _tell(self, upkeep: Upkeep) -> None:
        if self._given:
            if not self._told.is_set():
                return
            upkeep.note_told()
            self._told.clear()
        news = upkeep.news(self._gallery.version)
        self._given = bool(news)
        self._events.extend(news)

    def _step(self) -> float:
        """One round; seconds until the next."""
        busy = False
        try:
            busy = self._look_at_folder(time.monotonic())
            self._gallery.refresh()
            if self._strangers is not None:
                self._strangers.flush()
                self._strangers.refresh()
            if self._upkeep is not None:
                self._upkeep.clean_up(time.time(), now_s=time.monotonic())
                self._tell(self._upkeep)
            self._check_recall(time.monotonic())
        except GalleryError as error:
            if str(error) != self._trouble:
                logger.error("gallery: %s", error)
            self._trouble = str(error)
            return PAUSE_S
        self._trouble = ""
        self._metrics.gallery_people.set(self._gallery.people_count)
        self._metrics.gallery_faces.set(self._gallery.faces_count)
        self._metrics.gallery_version.set(self._gallery.version)
        if self._strangers is not None:
            self._metrics.gallery_strangers.set(self._strangers.count)
            self._metrics.gallery_ignored.set(self._strangers.ignored_count)
        return 0.0 if busy else PAUSE_S
