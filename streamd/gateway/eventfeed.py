"""New events for however many pages follow them: one subscription, and for each page a queue that is bounded."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from streamd.client import AsyncSubscription
from streamd.config import EventsConfig
from streamd.events import Event, EventType
from streamd.gateway.places import Places

logger = logging.getLogger(__name__)

AGAIN_S = 5.0
"""Before it is listened anew."""
KEPT = 500
"""Events that a page which was away for a moment is given once more."""
MOST_STREAMS = 64


class EventFeed:
    """Belongs to the loop. A page that is too slow for ``KEPT`` events begins again at the oldest that is kept."""

    def __init__(self, config: EventsConfig) -> None:
        self._config = config
        self._recent: deque[Event] = deque(maxlen=KEPT)
        self._news = asyncio.Event()
        self._journals = 1
        """How many were told from: one that is restored numbers anew from where it was."""
        self._places = Places(MOST_STREAMS, bound="the gateway")

    @property
    def listeners(self) -> int:
        return self._places.taken

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._listen())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    @contextmanager
    def place(self, user: str | None) -> Iterator[None]:
        """For one page or program of a user (None where nobody logs in). Raises ViewersFull."""
        self._places.take(user)
        try:
            yield
        finally:
            self._places.leave(user)

    async def follow(self, since: int | None) -> AsyncGenerator[Event]:
        """Events numbered above ``since``, as far as they are kept, and new ones for ever; None: new ones only. Where
        the journal went back, all that are kept of what came then."""
        position = since if since is not None else (self._recent[-1].seq if self._recent else 0)
        journal = self._journals
        while True:
            news = self._news
            if journal != self._journals or (self._recent and self._recent[-1].seq < position):
                journal, position = self._journals, 0
            event = next((event for event in self._recent if event.seq > position), None)
            if event is not None:
                position = event.seq
                yield event
            else:
                await news.wait()

    def publish(self, event: Event) -> None:
        if self._recent and event.seq <= self._recent[-1].seq:
            self._recent.clear()
            self._journals += 1
        if event.type is EventType.PERSON_FORGOTTEN and event.identity is not None:
            person = event.identity.get("id", "")
            self._recent = deque((kept for kept in self._recent if not _tells_of(kept, person)), maxlen=KEPT)
        self._recent.append(event)
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _listen(self) -> None:
        """What nobody foresaw, as where no file can be opened any more, is logged and tried again: all pages wait."""
        while True:
            try:
                async with AsyncSubscription(publish=self._config.publish, replay=self._config.replay) as subscription:
                    async for event in subscription:
                        self.publish(event)
            except Exception:
                logger.exception("new events for pages: broken, and tried again")
            await asyncio.sleep(AGAIN_S)


def _tells_of(event: Event, person: str) -> bool:
    named = (event.identity or {}).get("id"), (event.runner_up or {}).get("id")
    return person in named or person in (event.snapshot or {}).get("people", ())
