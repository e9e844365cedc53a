"""Posts each event to an HTTP server; one connection, one request at a time, in order."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping, Sequence

import aiohttp

import streamd
from streamd.errors import SinkAway, SinkRefused
from streamd.events import Event
from streamd.interfaces import Parcel
from streamd.signatures import HEADER, signature
from streamd.sinkconfig import WebhookSink

_SHOWN_BYTES = 200


class WebhookDestination:
    """Implements ``interfaces.Destination``."""

    keeps_state = False
    forgets = False

    def __init__(self, config: WebhookSink) -> None:
        self._config = config
        self._runner = asyncio.Runner()
        self._session: aiohttp.ClientSession | None = None

    def open(self) -> None:
        try:
            tls = ssl.create_default_context(cafile=self._config.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise SinkAway(f"ca_file {self._config.ca_file}: {error}") from error
        self._session = self._runner.run(self._make(tls))

    def recall(self, past: Sequence[Event]) -> None:
        return

    def deliver(self, parcels: Sequence[Parcel]) -> int:
        self._runner.run(self._post(parcels[0]))
        return 1

    def idle(self, now_wall_s: float) -> None:
        return

    def close(self) -> None:
        if self._session is not None:
            self._runner.run(self._session.close())
        self._runner.close()

    async def _make(self, tls: ssl.SSLContext) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, limit=1),
            timeout=aiohttp.ClientTimeout(total=self._config.timeout_s),
            headers={"User-Agent": f"streamd/{streamd.__version__}", **self._config.headers},
        )

    async def _post(self, parcel: Parcel) -> None:
        if self._session is None:
            raise SinkAway("not open")
        try:
            async with self._session.post(
                self._config.url, data=parcel.body, headers=self._headers(parcel), allow_redirects=False
            ) as answer:
                if not 200 <= answer.status < 300:
                    said = (await answer.content.read(_SHOWN_BYTES)).decode(errors="replace").strip()
                    words = f"answered {answer.status} {answer.reason or ''}".strip() + (f": {said}" if said else "")
                    raise SinkRefused(words, after_s=_retry_after_s(answer.headers))
        except TimeoutError as error:
            raise SinkAway(f"no answer within {self._config.timeout_s:g} s (timeout_s)") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise SinkAway(f"cannot be reached: {error}") from error

    def _headers(self, parcel: Parcel) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "Streamd-Event": parcel.event.type.value,
            "Idempotency-Key": parcel.event.id,
        }
        if self._config.secret is not None:
            headers[HEADER] = signature(self._config.secret, parcel.body, time.time())
        return headers


def _retry_after_s(headers: Mapping[str, str]) -> float:
    given = headers.get("Retry-After", "")
    return float(given) if given.isascii() and given.isdecimal() else 0.0
