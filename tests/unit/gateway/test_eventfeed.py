"""What pages hear of new events, without a publisher."""

import asyncio
import errno
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
import zmq
from gatewayparts import seen

from streamd.config import EventsConfig
from streamd.events import Event, EventType
from streamd.gateway import eventfeed
from streamd.gateway.eventfeed import EventFeed


def fed(check: Callable[[EventFeed], Awaitable[None]]) -> None:
    async def run() -> None:
        await check(EventFeed(EventsConfig()))

    asyncio.run(asyncio.wait_for(run(), 10))


def publish(feed: EventFeed, *numbers: int, kind: EventType = EventType.FACE_UNKNOWN, **more: Any) -> None:
    for n in numbers:
        feed.publish(seen("door", kind, n=n, **more).numbered(n))


async def taken(page: AsyncGenerator[Event], count: int) -> list[int]:
    return [(await anext(page)).seq for _ in range(count)]


@pytest.mark.parametrize("restored", [2, 7])
def test_a_page_that_stayed_open_hears_of_a_journal_that_went_back(restored: int) -> None:
    """``restored`` events come before the page looks: fewer, or more, than it has heard of."""

    async def check(feed: EventFeed) -> None:
        publish(feed, 3, 4, 5)
        page = feed.follow(2)
        assert await taken(page, 3) == [3, 4, 5]
        numbers = list(range(1, restored + 1))
        publish(feed, *numbers)
        assert await taken(page, restored) == numbers
        publish(feed, restored + 1)
        assert await taken(page, 1) == [restored + 1]
        await page.aclose()

    fed(check)


def test_a_page_that_comes_back_with_a_number_of_the_journal_before_hears_all() -> None:
    async def check(feed: EventFeed) -> None:
        page = feed.follow(5000)
        waiting = asyncio.create_task(taken(page, 1))
        await asyncio.sleep(0)
        publish(feed, 1)
        assert await waiting == [1]
        publish(feed, 2)
        assert await taken(page, 1) == [2]
        await page.aclose()

    fed(check)


def test_what_told_of_a_forgotten_person_is_not_told_again() -> None:
    async def check(feed: EventFeed) -> None:
        ana, ben = {"id": "p1", "name": "Ana"}, {"id": "p2", "name": "Ben"}
        publish(feed, 1, kind=EventType.FACE_IDENTIFIED, identity=ana)
        publish(feed, 2, kind=EventType.FACE_IDENTIFIED, identity=ben, runner_up=ana)
        publish(feed, 3, kind=EventType.FACE_IDENTIFIED, identity=ben, snapshot={"people": ["p2", "p1"]})
        publish(feed, 4, kind=EventType.FACE_IDENTIFIED, identity=ben)
        behind = feed.follow(0)
        assert await taken(behind, 1) == [1]
        publish(feed, 5, kind=EventType.PERSON_FORGOTTEN, identity={"id": "p1"})
        assert await taken(behind, 2) == [4, 5]
        page = feed.follow(0)
        assert await taken(page, 2) == [4, 5]
        await page.aclose()
        await behind.aclose()

    fed(check)


def test_pages_hear_again_of_new_events_after_what_nobody_foresaw(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Subscription:
        """No file can be opened when it first connects anew."""

        tries = 0

        def __init__(self, **_: str) -> None:
            type(self).tries += 1

        async def __aenter__(self) -> AsyncGenerator[Event]:
            return self._events()

        async def __aexit__(self, *_: object) -> None:
            return

        async def _events(self) -> AsyncGenerator[Event]:
            yield seen("door", EventType.FACE_UNKNOWN, n=self.tries).numbered(self.tries)
            raise zmq.ZMQError(errno.EMFILE)

    monkeypatch.setattr(eventfeed, "AsyncSubscription", Subscription)
    monkeypatch.setattr(eventfeed, "AGAIN_S", 0.0)

    async def check(feed: EventFeed) -> None:
        async with feed.running():
            page = feed.follow(0)
            assert await taken(page, 2) == [1, 2]
            await page.aclose()

    fed(check)
    assert "new events for pages: broken" in caplog.text
