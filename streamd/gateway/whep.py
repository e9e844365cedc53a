"""WHEP: watching by WebRTC, an offer in and an answer out (draft-ietf-wish-whep)."""

from __future__ import annotations

from aiohttp import web

from streamd.errors import OfferRefused
from streamd.gateway.live import Live
from streamd.gateway.refusals import answering_refusals

SDP = "application/sdp"


def whep_routes(live: Live) -> list[web.RouteDef]:
    """``POST /whep/{camera}`` and ``DELETE /whep/{camera}/{id}``."""

    async def begin(request: web.Request) -> web.Response:
        camera = request.match_info["camera"]
        viewing, answered = await live.watch(camera, await offer_in(request))
        return created(request, viewing, answered)

    async def end(request: web.Request) -> web.Response:
        known = await live.stop_watching(request.match_info["camera"], request.match_info["id"])
        return web.Response(status=200 if known else 404)

    return [
        web.post("/whep/{camera}", answering_refusals(begin)),
        web.delete("/whep/{camera}/{id}", answering_refusals(end)),
    ]


def created(request: web.Request, session: str, answered: str) -> web.Response:
    """The answer to an offer, and where to hang up."""
    headers = {"Location": f"{request.path}/{session}"}
    return web.Response(text=answered, status=201, content_type=SDP, headers=headers)


async def offer_in(request: web.Request) -> str:
    """The body of a request, which should be an offer.

    Raises:
        OfferRefused: it says that it is something else, or is no text.
    """
    if request.content_type != SDP:
        raise OfferRefused(f"the body should be {SDP}, not {request.content_type}")
    try:
        return (await request.read()).decode()
    except UnicodeDecodeError as error:
        raise OfferRefused("this is no SDP offer: it is no UTF-8 text") from error
