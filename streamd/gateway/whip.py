"""WHIP: being a camera by WebRTC, an offer in and an answer out (RFC 9725)."""

from __future__ import annotations

from aiohttp import web

from streamd.gateway.refusals import answering_refusals
from streamd.gateway.sending import Senders
from streamd.gateway.whep import created, offer_in


def whip_routes(senders: Senders) -> list[web.RouteDef]:
    """``POST /whip/{camera}`` and ``DELETE /whip/{camera}/{id}``."""

    async def begin(request: web.Request) -> web.Response:
        sender, answered = await senders.send(request.match_info["camera"], await offer_in(request))
        return created(request, sender, answered)

    async def end(request: web.Request) -> web.Response:
        known = await senders.stop_sending(request.match_info["camera"], request.match_info["id"])
        return web.Response(status=200 if known else 404)

    return [
        web.post("/whip/{camera}", answering_refusals(begin)),
        web.delete("/whip/{camera}/{id}", answering_refusals(end)),
    ]
