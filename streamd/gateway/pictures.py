"""Still pictures, MJPEG and faces over HTTP."""

from __future__ import annotations

import json
from contextlib import aclosing

from aiohttp import web

from streamd.events import timestamp
from streamd.gateway.audience import WIDEST_VIEW
from streamd.gateway.live import MJPEG_FPS, Live
from streamd.gateway.refusals import answering_refusals

BOUNDARY = "frame"
_FRESH = {"Cache-Control": "no-store"}


def picture_routes(live: Live) -> list[web.RouteDef]:
    """``picture.jpg``, ``stream.mjpeg`` and ``faces`` of ``/api/v1/cameras/{camera}``."""

    async def picture(request: web.Request) -> web.Response:
        camera, width = request.match_info["camera"], _number(request, "width", WIDEST_VIEW)
        body = await live.still(camera, width=int(width), annotated=_flag(request, "annotated"))
        return web.Response(body=body, content_type="image/jpeg", headers=_FRESH)

    async def stream(request: web.Request) -> web.StreamResponse:
        return await stream_mjpeg(live, request)

    async def faces(request: web.Request) -> web.Response:
        overlay = await live.faces(request.match_info["camera"])
        body = {
            "size": list(overlay.size) if overlay else None,
            "at": timestamp(overlay.wall_s) if overlay else None,
            "faces": [face.as_json() for face in overlay.faces] if overlay else [],
        }
        return web.Response(text=json.dumps(body) + "\n", content_type="application/json", headers=_FRESH)

    of = "/api/v1/cameras/{camera}"
    return [
        web.get(f"{of}/picture.jpg", answering_refusals(picture)),
        web.get(f"{of}/stream.mjpeg", answering_refusals(stream)),
        web.get(f"{of}/faces", answering_refusals(faces)),
    ]


async def stream_mjpeg(live: Live, request: web.Request) -> web.StreamResponse:
    """``multipart/x-mixed-replace``; a client that is slow gets fewer pictures."""
    pictures = live.mjpeg(
        request.match_info["camera"],
        width=int(_number(request, "width", 640)),
        annotated=_flag(request, "annotated"),
        fps=_number(request, "fps", MJPEG_FPS),
    )
    response = web.StreamResponse(headers={"Content-Type": f"multipart/x-mixed-replace; boundary={BOUNDARY}", **_FRESH})
    async with aclosing(pictures):  # type: ignore[type-var]  # an async generator
        async for jpeg in pictures:
            if not response.prepared:
                await response.prepare(request)
            head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            await response.write(head.encode() + jpeg + b"\r\n")
    return response


def _number(request: web.Request, name: str, default: float) -> float:
    try:
        value = float(request.query.get(name, default))
    except ValueError:
        value = float("nan")
    if not 0 < value < 100_000:
        raise web.HTTPBadRequest(
            text=json.dumps({"error": f"{name} should be a positive number", "code": "invalid"}) + "\n",
            content_type="application/json",
        )
    return value


def _flag(request: web.Request, name: str) -> bool:
    return request.query.get(name, "true").lower() not in ("false", "0", "no")
