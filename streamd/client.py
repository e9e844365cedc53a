"""Events for programs: in order, each once, across restarts of either side.

from streamd.client import subscribe

for event in subscribe(since=0, types=["face.identified"]):
    print(event.camera, event.identity["name"])

``asubscribe`` is the same for asyncio, and ``signature_is_valid`` checks a webhook's request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import ExitStack, suppress
from functools import partial

import zmq

from streamd.catchup import CatchUp
from streamd.config import EventsConfig
from streamd.events import Event
from streamd.loopsocket import LoopSocket
from streamd.signatures import signature_is_valid
from streamd.sinks.zeromq import HEARTBEAT_TOPIC
from streamd.sockets import Socket, Sockets, has_message, try_receive, try_send

__all__ = ["AsyncSubscription", "Event", "Subscription", "asubscribe", "signature_is_valid", "subscribe"]

PUBLISH = str(EventsConfig.model_fields["publish"].default)
REPLAY = str(EventsConfig.model_fields["replay"].default)
SILENT_S = 10.0
"""A publisher that is not heard for this long, while somebody waits, is connected to again."""
_POLL_S = 0.5


def subscribe(
    *,
    publish: str = PUBLISH,
    replay: str = REPLAY,
    since: int | None = None,
    cameras: Collection[str] = (),
    types: Collection[str] = (),
) -> Iterator[Event]:
    """Events numbered above ``since`` (None: only new ones), for ever; empty ``cameras`` and ``types`` mean all."""
    with Subscription(publish=publish, replay=replay, since=since, cameras=cameras, types=types) as events:
        yield from events


async def asubscribe(
    *,
    publish: str = PUBLISH,
    replay: str = REPLAY,
    since: int | None = None,
    cameras: Collection[str] = (),
    types: Collection[str] = (),
) -> AsyncIterator[Event]:
    """``subscribe`` for asyncio."""
    async with AsyncSubscription(publish=publish, replay=replay, since=since, cameras=cameras, types=types) as events:
        async for event in events:
            yield event


class _Subscriber:
    """The sockets of a subscription, and where it stands in the journal."""

    def __init__(
        self,
        *,
        publish: str = PUBLISH,
        replay: str = REPLAY,
        since: int | None = None,
        cameras: Collection[str] = (),
        types: Collection[str] = (),
        timeout_s: float | None = None,
    ) -> None:
        """``timeout_s`` ends the iteration when there is no event for so long; None waits for ever."""
        self._state = CatchUp(since=since, cameras=cameras, types=types)
        self._timeout_s = timeout_s
        self._resources = ExitStack()
        self._sockets = self._resources.enter_context(Sockets())
        self._publish = publish
        self._live = self._connected()
        self._asking: Socket = self._sockets.connect(zmq.DEALER, replay, hwm=8)

    @property
    def position(self) -> int | None:
        """The last number that was given out or passed over: the next ``since``. None before anything was heard."""
        return self._state.position

    @property
    def missed(self) -> int:
        """Events that had been deleted from the journal before they could be fetched."""
        return self._state.missed

    @property
    def connected(self) -> bool:
        """Whether the publisher was ever heard."""
        return self._state.connected

    def close(self) -> None:
        self._resources.close()

    def _connected(self) -> Socket:
        socket = self._sockets.connect(zmq.SUB, self._publish, heartbeats=False)
        for topic in (b"event.", HEARTBEAT_TOPIC):
            socket.set(zmq.SUBSCRIBE, topic)
        return socket

    def _renew(self) -> None:
        """Connect again: the publisher is heard each second, unless the connection is dead and nobody noticed."""
        self._sockets.drop(self._live)
        self._live = self._connected()

    def _ask(self) -> None:
        if (question := self._state.question(time.monotonic())) is not None:
            try_send(self._asking, [question])


class Subscription(_Subscriber):
    """Iterating gives events in order of ``seq``, each once. It waits for ever, or ends after ``timeout_s`` without
    one."""

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Event]:
        while (event := self.next(self._timeout_s)) is not None:
            yield event

    def next(self, timeout_s: float | None = None) -> Event | None:
        """The next event; None where there is none for ``timeout_s`` (None: wait for ever)."""
        heard_s = time.monotonic()
        end_s = float("inf") if timeout_s is None else heard_s + timeout_s
        while not self._state.ready:
            self._ask()
            wait_s = max(0.0, min(_POLL_S, end_s - time.monotonic()))
            if self._state.behind:
                if parts := _received(self._asking, wait_s):
                    self._state.answer(parts)
            elif parts := _received(self._live, wait_s):
                self._state.hear(parts)
                heard_s = time.monotonic()
            elif time.monotonic() - heard_s > SILENT_S:
                self._renew()
                heard_s = time.monotonic()
            if not self._state.ready and time.monotonic() >= end_s:
                return None
        return self._state.ready.popleft()


class AsyncSubscription(_Subscriber):
    """``Subscription`` for asyncio: ``async with`` and ``async for``. To be used by one task."""

    _listening: tuple[LoopSocket, ...] = ()
    _woken: asyncio.Event

    async def __aenter__(self) -> AsyncSubscription:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def __aiter__(self) -> AsyncIterator[Event]:
        while (event := await self.next(self._timeout_s)) is not None:
            yield event

    async def next(self, timeout_s: float | None = None) -> Event | None:
        """The next event; None where there is none for ``timeout_s`` (None: wait for ever)."""
        heard_s = time.monotonic()
        end_s = float("inf") if timeout_s is None else heard_s + timeout_s
        while not self._state.ready:
            self._ask()
            self._listen()
            socket, take = (self._asking, self._state.answer) if self._state.behind else (self._live, self._state.hear)
            if (parts := try_receive(socket)) is not None:
                take(parts)
                heard_s = time.monotonic()
                await asyncio.sleep(0)
            elif not self._state.behind and time.monotonic() - heard_s > SILENT_S:
                self._renew()
                heard_s = time.monotonic()
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, min(_POLL_S, end_s - time.monotonic()))):
                        await self._woken.wait()
            if not self._state.ready and time.monotonic() >= end_s:
                return None
        return self._state.ready.popleft()

    def close(self) -> None:
        self._leave_loop()
        super().close()

    def _renew(self) -> None:
        self._leave_loop()
        super()._renew()

    def _listen(self) -> None:
        """Be woken by whatever comes from now on; what is there already is to be looked for after this."""
        if not self._listening:  # they belong to the running loop
            self._woken = asyncio.Event()
            self._listening = tuple(LoopSocket(each, partial(self._wake, each)) for each in (self._live, self._asking))
        self._woken.clear()

    def _leave_loop(self) -> None:
        """Before a socket is closed: its file descriptor's number is given to the next file that is opened."""
        for each in self._listening:
            each.close()
        self._listening = ()

    def _wake(self, socket: Socket) -> None:
        if has_message(socket):
            self._woken.set()


def _received(socket: Socket, wait_s: float) -> list[bytes]:
    """The next message, empty where there is none for ``wait_s``."""
    if not socket.poll(int(wait_s * 1000)):
        return []
    return socket.recv_multipart()
