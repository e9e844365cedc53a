"""Publishes events into a JetStream stream, which drops what it has already: message ids are the events' own."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from streamd.errors import SinkAway, SinkRefused, UnavailableError
from streamd.events import Event
from streamd.interfaces import Parcel
from streamd.sinkconfig import NatsSink

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js import JetStreamContext

_TIMEOUT_S = 5.0
_BREATH_S = 0.01


class NatsDestination:
    """Implements ``interfaces.Destination``."""

    keeps_state = False
    forgets = False

    def __init__(self, config: NatsSink) -> None:
        try:
            import nats
        except ImportError as error:
            raise UnavailableError("a sink of kind nats needs an extra: pip install 'streamd[nats]'") from error
        self._connect = nats.connect
        self._config = config
        box = config.box or re.sub(r"[^A-Za-z0-9_-]+", "-", socket.gethostname()) or "box"
        self._subject = f"{config.subject}.{box}"
        self._runner = asyncio.Runner()
        self._client: Client | None = None
        self._heard: Exception | None = None
        self._stream: JetStreamContext | None = None

    def open(self) -> None:
        from nats.errors import Error

        try:
            self._runner.run(self._open())
        except (Error, OSError, TimeoutError, ssl.SSLError, ValueError) as error:
            raise SinkAway(_in_words(self._heard or error)) from error

    def recall(self, past: Sequence[Event]) -> None:
        return

    def deliver(self, parcels: Sequence[Parcel]) -> int:
        return self._runner.run(self._publish(parcels))

    def idle(self, now_wall_s: float) -> None:
        """Answer the server's pings."""
        self._runner.run(asyncio.sleep(_BREATH_S))
        if self._client is None or not self._client.is_connected:
            raise SinkAway("the connection was lost")

    def close(self) -> None:
        if self._client is not None:
            with suppress(TimeoutError):
                self._runner.run(asyncio.wait_for(self._client.close(), _TIMEOUT_S))
        self._runner.close()

    async def _open(self) -> None:
        from nats.js.errors import NotFoundError

        config = self._config
        options: dict[str, Any] = {"allow_reconnect": False, "connect_timeout": _TIMEOUT_S, "error_cb": self._hear}
        options |= {"max_reconnect_attempts": 1, "reconnect_time_wait": 0.1}
        if config.credentials is not None:
            options["user_credentials"] = str(config.credentials)
        if config.url.startswith("tls://"):
            options["tls"] = ssl.create_default_context(cafile=config.ca_file)
        async with asyncio.timeout(3 * _TIMEOUT_S):
            self._client = await self._connect(config.url, **options)
            self._stream = self._client.jetstream(timeout=_TIMEOUT_S)
            try:
                await self._stream.stream_info(config.stream)
            except NotFoundError:
                await self._stream.add_stream(
                    name=config.stream, subjects=[f"{config.subject}.>"], duplicate_window=config.duplicates_s
                )

    async def _hear(self, error: Exception) -> None:
        """The library's complaints from the background: at a failed start they say more than its exception."""
        self._heard = error

    async def _publish(self, parcels: Sequence[Parcel]) -> int:
        """All at once, in order; what follows one that did not arrive is sent again, and dropped by the stream."""
        try:
            async with asyncio.timeout(2 * _TIMEOUT_S):  # the library's own does not count while nothing can be sent
                results = await asyncio.gather(*map(self._publish_one, parcels), return_exceptions=True)
        except TimeoutError as error:
            raise SinkAway(_in_words(error)) from error
        done = next((i for i, result in enumerate(results) if result is not None), len(results))
        if done == 0:
            raise _failure(results[0])
        return done

    async def _publish_one(self, parcel: Parcel) -> None:
        if self._stream is None:
            raise SinkAway("not open")
        event = parcel.event
        camera = "_" if event.camera == "-" else event.camera
        subject = f"{self._subject}.{camera}.{event.type.value}"
        headers = {"Nats-Msg-Id": event.id, "Streamd-Seq": str(event.seq)}
        await self._stream.publish(subject, parcel.body, headers=headers, timeout=_TIMEOUT_S)


def _failure(error: BaseException | None) -> Exception:
    from nats.errors import Error
    from nats.js.errors import APIError, NoStreamResponseError

    if isinstance(error, APIError) and not isinstance(error, NoStreamResponseError) and error.code == 400:
        return SinkRefused(_in_words(error))
    if isinstance(error, Error | OSError | TimeoutError | SinkAway):
        return SinkAway(_in_words(error))
    raise error or SinkAway("nothing was said")


def _in_words(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    if "authorization" in text.lower():
        return f"the server refuses user, password or credentials: {text}"
    if isinstance(error, TimeoutError):
        return "the server did not answer in time"
    return f"the server cannot be used: {text}"
