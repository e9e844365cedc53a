"""What a ``LiveError`` is over HTTP: a status, a code for programs, the words for people."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from streamd.errors import (
    CameraAway,
    CameraUnknown,
    CodecRefused,
    LiveError,
    OfferRefused,
    SenderBusy,
    ViewersFull,
)

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_ANSWERS: dict[type[LiveError], tuple[int, str]] = {
    CameraUnknown: (404, "not_found"),
    CameraAway: (503, "unavailable"),
    ViewersFull: (503, "unavailable"),
    SenderBusy: (409, "conflict"),
    CodecRefused: (406, "unsupported"),
    OfferRefused: (400, "invalid"),
}
_RETRY_AFTER_S = 2
"""Whoever is told that something is busy or away may try again then."""


def refusal(error: LiveError) -> web.Response:
    """The answer that says why not."""
    status, code = _ANSWERS.get(type(error), (503, "unavailable"))
    headers = {"Retry-After": str(_RETRY_AFTER_S)} if status in (409, 503) else {}
    body = json.dumps({"error": str(error), "code": code}) + "\n"
    return web.Response(text=body, status=status, content_type="application/json", headers=headers)


def answering_refusals(handler: Handler) -> Handler:
    """A handler whose ``LiveError``s become answers, and a line in the log."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except LiveError as error:
            logger.info("%s %s: %s", request.method, request.path, error)
            return refusal(error)

    return guarded
