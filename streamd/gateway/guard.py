"""Around every request: who asks, what may go wrong, and the headers that keep a browser safe."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from streamd.gateway.doorkeeper import Doorkeeper
from streamd.gateway.gatekeeper import Gatekeeper
from streamd.gateway.operations import STATUS_CODES, WHO, Refused, problem_response

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
CSP = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "font-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), display-capture=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
NO_STORE = "no-store"


def guard(gatekeeper: Gatekeeper, doorkeeper: Doorkeeper | None = None) -> Callable[..., Awaitable[web.StreamResponse]]:
    """The middleware."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if doorkeeper is None:
            return await _answered(request, handler, gatekeeper)
        with doorkeeper.request(request):
            return await _answered(request, handler, gatekeeper)

    return guarded


async def _answered(request: web.Request, handler: Handler, gatekeeper: Gatekeeper) -> web.StreamResponse:
    try:
        who = gatekeeper.identify(request)
        if who is not None:
            request[WHO] = who
        return await handler(request)
    except Refused as refused:
        level = logging.WARNING if refused.status >= 500 else logging.INFO
        if refused.status >= 500 or (request.method != "GET" and refused.status != 401):
            logger.log(level, "%s %s from %s: %s", request.method, request.path, gatekeeper.address(request), refused)
        return problem_response(refused)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = problem_response(Refused(error.status, STATUS_CODES.get(error.status, "invalid"), _text(error)))
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except Exception as error:  # the outermost of a request
        if isinstance(error, ConnectionError) and (request.transport is None or request.transport.is_closing()):
            return web.Response(status=400)  # whoever asked is not there any more
        logger.exception("%s %s failed", request.method, request.path)
        return problem_response(Refused(500, "internal", "something went wrong; the log says more"))


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """A signal's handler: on every answer, streams too."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", NO_STORE)
    response.headers["Server"] = "streamd"
    if request.secure:
        response.headers["Strict-Transport-Security"] = "max-age=31536000"


def _text(error: web.HTTPException) -> str:
    words = {404: "there is nothing at this address", 405: "this method is not possible here", 413: "it is too large"}
    return words.get(error.status) or (error.text or error.reason)
