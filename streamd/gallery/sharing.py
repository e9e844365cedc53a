"""Keeps a box's gallery and the shared one in step: fetches what is new there, sends what is new here."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from streamd.config import GalleryConfig
from streamd.errors import GalleryServerAway
from streamd.gallery.erasures import Erasure
from streamd.gallery.hub import Head, Hub, open_hub
from streamd.gallery.mirror import Mirror
from streamd.gallery.store import GalleryStore

logger = logging.getLogger(__name__)

COMPARE_EVERY_S = 3600.0
"""Between comparisons of everything, which find what was lost on either side: a server restored from a backup."""
_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What one step did."""

    sent: int
    received: int
    forgotten: int
    """People whom another box forgot."""


class Sharing:
    """One box's side. Not thread-safe."""

    def __init__(self, store: GalleryStore, config: GalleryConfig, *, on_forgotten: Callable[[Erasure], None]) -> None:
        """Does not connect yet. ``on_forgotten`` erases a person from what is not in the gallery file."""
        self.mirror = Mirror(store)
        self._config = config
        self._on_forgotten = on_forgotten
        self._hub: Hub | None = None
        self._received = 0
        self._forgotten = 0

    def close(self) -> None:
        if self._hub is not None:
            self._hub.close()
            self._hub = None

    def step(self) -> Exchanged:
        """Fetch, then send. Raises GalleryServerAway, and GalleryError; either way the next step goes on from there."""
        self._received = self._forgotten = 0
        if self._hub is None:
            self._hub = open_hub(self._config)
        try:
            self._pull(self._hub)
            sent = self._push(self._hub)
        except GalleryServerAway:
            self.close()
            raise
        return Exchanged(sent, self._received, self._forgotten)

    def _pull(self, hub: Hub) -> None:
        now_wall_s, cursor_us = time.time(), self.mirror.cursor_us
        if 0 <= now_wall_s - self.mirror.compared_wall_s < COMPARE_EVERY_S:
            newest_us = max((page_us for page_us, _ in self._taken(hub, cursor_us - hub.overlap_us)), default=0)
            if newest_us > cursor_us:
                self.mirror.advance(newest_us)
            return
        newest_us = 0

        def everything() -> Iterator[list[Head]]:
            nonlocal newest_us
            for page_us, page in self._taken(hub, 0):
                newest_us = max(newest_us, page_us)
                yield page

        if lost := self.mirror.compare(everything()):
            logger.info("%d records are not on the gallery's server, and sent again", lost)
        self.mirror.advance(newest_us)
        self.mirror.compared(now_wall_s)

    def _taken(self, hub: Hub, since_us: int) -> Iterator[tuple[int, list[Head]]]:
        """Take over page by page; gives each page, and when its newest record arrived."""
        for page in hub.heads(max(0, since_us)):
            news = self.mirror.news(page)
            for at in range(0, len(news), _AT_ONCE):
                self._take(hub, news[at : at + _AT_ONCE])
            yield max(head.arrived for head in page), page

    def _take(self, hub: Hub, news: Sequence[Head]) -> None:
        records = hub.fetch(news)
        records += hub.fetch(self.mirror.strangers(records))
        for forgotten in self.mirror.apply(records):
            self._forgotten += 1
            self._on_forgotten(forgotten)
        self._received += len(records)

    def _push(self, hub: Hub) -> int:
        sent = 0
        while records := self.mirror.unsent(_AT_ONCE):
            hub.push(records)
            self.mirror.sent(records)
            sent += len(records)
        return sent
