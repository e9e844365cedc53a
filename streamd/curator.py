"""Keeps the worker's gallery current, in a thread beside the work loop.

It looks for changes that others made to the store (the command line, another worker), and one worker also keeps the
folder of photographs in step. Photographs are examined with the worker's own models; inference releases the
interpreter, so the work loop goes on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from streamd.errors import GalleryError
from streamd.gallery.folder import FolderSync
from streamd.gallery.live import LiveGallery
from streamd.metrics import Metrics

logger = logging.getLogger(__name__)

PAUSE_S = 0.3
"""Between looks at the store and the folder."""


class Curator:
    """Owns the thread that refreshes the gallery and, where there is one, the folder's sync."""

    def __init__(self, gallery: LiveGallery, folder: FolderSync | None, metrics: Metrics) -> None:
        self._gallery = gallery
        self._folder = folder
        self._metrics = metrics
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="curator", daemon=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join(5.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            started_s = time.monotonic()
            busy = self._step()
            # A folder with work to do goes on at once, an idle one costs a twentieth of a core at most.
            pause_s = 0.0 if busy else max(PAUSE_S, 20 * (time.monotonic() - started_s))
            self._stop.wait(pause_s)

    def _step(self) -> bool:
        """One round; whether there is more to do at once."""
        busy = False
        try:
            if self._folder is not None:
                busy = self._folder.step().busy
            self._gallery.refresh()
        except GalleryError as error:
            logger.error("gallery: %s", error)
            return False
        self._count()
        return busy

    def _count(self) -> None:
        self._metrics.gallery_people.set(self._gallery.people_count)
        self._metrics.gallery_faces.set(self._gallery.faces_count)
        self._metrics.gallery_version.set(self._gallery.version)
