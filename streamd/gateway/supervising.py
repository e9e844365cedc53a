"""What concerns Prometheus and whoever watches the daemon: ``/metrics``, ``/healthz``, ``/readyz``."""

from __future__ import annotations

import json
from collections.abc import Mapping

from aiohttp import web

from streamd.access import Role
from streamd.control import SystemStatus
from streamd.errors import UnavailableError
from streamd.exposition import CONTENT_TYPE, render
from streamd.gateway.api.system import problems_of
from streamd.gateway.operations import WHO, Refused
from streamd.gateway.services import Services


def routes(services: Services) -> list[web.RouteDef]:
    async def metrics(request: web.Request) -> web.Response:
        if not services.config.gateway.public_metrics:
            _check(request)
        status = await _status(services)
        return web.Response(body=render(status.snapshots), headers={"Content-Type": CONTENT_TYPE})

    async def healthz(request: web.Request) -> web.Response:
        """Alive: the supervisor answers."""
        await _status(services)
        return _json({"status": "ok"}, 200)

    async def readyz(request: web.Request) -> web.Response:
        """Ready: every process runs and none reports trouble. What is wrong is for whoever may look."""
        problems = problems_of(await _status(services))
        body: dict[str, object] = {"status": "not ready" if problems else "ready"}
        who = request.get(WHO)
        if who is not None and who.may(Role.VIEWER):
            body["problems"] = problems
        return _json(body, 503 if problems else 200)

    return [web.get("/metrics", metrics), web.get("/healthz", healthz), web.get("/readyz", readyz)]


def _check(request: web.Request) -> None:
    who = request.get(WHO)
    if who is None or not who.may(Role.VIEWER):
        raise Refused(401, "unauthenticated", "give a token: Authorization: Bearer ... ('streamd user token NAME')")


async def _status(services: Services) -> SystemStatus:
    try:
        return await services.status()
    except UnavailableError as error:
        raise Refused(503, "unavailable", str(error)) from error


def _json(body: Mapping[str, object], status: int) -> web.Response:
    return web.Response(text=json.dumps(body) + "\n", status=status, content_type="application/json")
