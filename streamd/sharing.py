"""Keeps the shared gallery in step in a thread of its own, and tells when its server is away."""

from __future__ import annotations

import logging
import time
from collections import deque
from contextlib import AbstractContextManager, closing

from streamd.background import Background
from streamd.config import Config
from streamd.errors import GalleryError
from streamd.events import Event, EventType, new_id, timestamp
from streamd.gallery.erasures import Erasure
from streamd.gallery.opening import open_store
from streamd.gallery.sharing import Exchanged, Sharing
from streamd.gallery.store import GalleryStore
from streamd.metrics import Metrics
from streamd.traces import erase_traces

logger = logging.getLogger(__name__)

STEP_S = 1.0
LONGEST_PAUSE_S = 10.0
"""Between tries while the server is away."""


class GalleryLink:
    """Owns the thread. One worker of a box has one."""

    def __init__(self, config: Config, metrics: Metrics) -> None:
        self._config = config
        self._metrics = metrics
        self._events: deque[Event] = deque(maxlen=100)
        self._is_up: bool | None = None
        self._pause_s = STEP_S
        self._background = Background("gallery-link", self._keep_in_step, metrics)

    def running(self) -> AbstractContextManager[None]:
        return self._background.running()

    def events(self) -> list[Event]:
        """The server's coming and going since the last call."""
        found: list[Event] = []
        while self._events:
            found.append(self._events.popleft())
        return found

    def _keep_in_step(self) -> float:
        """As long as nothing is wrong with the box's own file; seconds until that is tried again."""
        stopping = self._background.stopping
        try:
            with (
                open_store(self._config, actor="shared gallery") as store,
                closing(sharing_of(store, self._config, final=False)) as sharing,
            ):
                while not stopping.is_set():
                    self._step(sharing)
                    self._metrics.gallery_unsent.set(sharing.mirror.unsent_count())
                    stopping.wait(self._pause_s)
        except GalleryError as error:
            logger.error("gallery: %s", error)
        return LONGEST_PAUSE_S

    def _step(self, sharing: Sharing) -> None:
        try:
            done = sharing.step()
        except GalleryError as error:
            self._told(False, str(error))
            self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s)
            return
        self._pause_s = STEP_S
        self._told(True, "")
        if done != Exchanged(0, 0, 0):
            logger.info("shared gallery: %d records sent, %d received", done.sent, done.received)

    def _told(self, is_up: bool, message: str) -> None:
        self._metrics.gallery_server_up.set(int(is_up))
        if is_up is self._is_up:
            return
        first, self._is_up = self._is_up is None, is_up
        if is_up:
            logger.info("the gallery's server answers")
        else:
            logger.error("the gallery's server is away, the box goes on with its copy: %s", message)
        if is_up and first:
            return
        self._events.append(
            Event(
                type=EventType.GALLERY_ONLINE if is_up else EventType.GALLERY_OFFLINE,
                camera="-",
                at=timestamp(time.time()),
                id=new_id(),
                message=message or None,
            )
        )


def sharing_of(store: GalleryStore, config: Config, *, final: bool) -> Sharing:
    """This box's side of the shared gallery.

    ``final``: no daemon runs here, which could still tell of a person whom another box forgot, and finish the erasure.
    """

    def erase(erasure: Erasure) -> None:
        for trouble in erase_traces(config, store, erasure, final=final).undone:
            logger.error("a person forgotten on another box is not erased everywhere yet: %s", trouble)

    return Sharing(store, config.gallery, on_forgotten=erase)
