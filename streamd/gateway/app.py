"""The gateway's process: one HTTP port for the page, the API, WebRTC and Prometheus."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import ssl
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from streamd.child import ChildContext
from streamd.config import Config, GatewayConfig
from streamd.configediting import ConfigFile
from streamd.configfile import FILE_VARIABLE
from streamd.endpoints import control_endpoint
from streamd.errors import UnavailableError
from streamd.gateway import pages, supervising
from streamd.gateway.api import cameras, events, gallery, people, session, system, unknowns
from streamd.gateway.doorkeeper import Doorkeeper
from streamd.gateway.eventfeed import EventFeed
from streamd.gateway.gatekeeper import Gatekeeper
from streamd.gateway.guard import add_headers, guard
from streamd.gateway.openapi import document
from streamd.gateway.operations import Call, Operation, route
from streamd.gateway.services import Services
from streamd.gateway.supervisorclient import SupervisorClient
from streamd.gateway.uploads import tidy_uploads

logger = logging.getLogger(__name__)

TURN_S = 0.2
BACKLOG = 256
_RENEW_S = 60.0
"""How often the certificate's files are looked at."""


def operations(services: Services, feed: EventFeed) -> list[Operation]:
    """The whole API."""
    found = [
        *session.operations(services),
        *system.operations(services),
        *cameras.operations(services),
        *people.operations(services),
        *unknowns.operations(services),
        *gallery.operations(services),
        *events.operations(services, feed),
    ]

    async def described(call: Call) -> web.Response:
        return web.json_response(document(found))

    found.append(
        Operation("GET", "/api/v1/openapi.json", "This document", described, gives="application/json", tags=("system",))
    )
    return found


def described() -> dict[str, Any]:
    """The API's document, without a daemon."""
    nowhere = Path("/nonexistent")
    config = Config(state_dir=nowhere)
    services = Services(
        config,
        file=None,
        supervisor=SupervisorClient(control_endpoint(nowhere)),
        gatekeeper=Gatekeeper(config.gateway, nowhere / "sessions.json"),
    )
    try:
        return document(operations(services, EventFeed(config.events)))
    finally:
        services.supervisor.close()


def make_app(services: Services, feed: EventFeed, doorkeeper: Doorkeeper | None = None) -> web.Application:
    app = web.Application(middlewares=[guard(services.gatekeeper, doorkeeper)])
    app.on_response_prepare.append(add_headers)
    app.add_routes(supervising.routes(services))
    app.add_routes(route(operation) for operation in operations(services, feed))
    app.add_routes(pages.routes())
    return app


def serve(context: ChildContext) -> int:
    """Answer until told to drain."""
    _raise_open_files()
    return asyncio.run(_serve(context))


async def _serve(context: ChildContext) -> int:
    config = context.config
    tidy_uploads(config.state_dir)
    given = os.environ.get(FILE_VARIABLE)
    services = Services(
        config,
        file=ConfigFile(Path(given)) if given else None,
        supervisor=SupervisorClient(control_endpoint(config.sockets_dir)),
        gatekeeper=Gatekeeper(config.gateway, config.state_dir / "sessions.json"),
        ask_reload=context.link.ask_reload,
    )
    services.adopt(config)
    feed = EventFeed(config.events)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(services.close)
        await stack.enter_async_context(feed.running())
        await _listen(services, feed, config.gateway, stack)
        context.link.ready()
        logger.info("%s://%s", "https" if config.gateway.certificate else "http", config.gateway.listen)
        while not context.draining:
            context.turn()
            if context.reloaded is not None:
                services.adopt(context.reloaded)
                context.reloaded = None
            await asyncio.sleep(TURN_S)
    return 0


async def _listen(services: Services, feed: EventFeed, config: GatewayConfig, stack: AsyncExitStack) -> None:
    parts = urlsplit(f"//{config.listen}")
    doorkeeper = Doorkeeper(lambda: runner.server())  # type: ignore[misc]  # there from ``setup`` on
    app = make_app(services, feed, doorkeeper)
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=15)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    tls = _tls(config)
    if tls is not None:
        stack.callback(asyncio.create_task(_renew(tls, config)).cancel)
    host = parts.hostname or "127.0.0.1"
    try:
        server = await asyncio.get_running_loop().create_server(
            doorkeeper, host, parts.port or 0, ssl=tls, reuse_address=True, backlog=BACKLOG
        )
    except OSError as error:
        raise UnavailableError(f"gateway.listen: {host}:{parts.port}: {error.strerror or error}") from error
    stack.callback(server.close)
    await stack.enter_async_context(doorkeeper.on_duty())


def _tls(config: GatewayConfig) -> ssl.SSLContext | None:
    """Raises UnavailableError: the certificate or its key cannot be used."""
    if config.certificate is None or config.key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(config.certificate, config.key)
    except (OSError, ssl.SSLError) as error:
        raise UnavailableError(f"gateway.certificate: {config.certificate}, {config.key}: {error}") from error
    return context


async def _renew(context: ssl.SSLContext, config: GatewayConfig) -> None:
    """Take over a renewed certificate: connections made from then on have it."""
    before = _stamps(config)
    while True:
        await asyncio.sleep(_RENEW_S)
        if (now := _stamps(config)) == before or None in now:
            continue
        try:
            context.load_cert_chain(str(config.certificate), str(config.key))
        except (OSError, ssl.SSLError) as error:
            logger.error("gateway.certificate: %s: %s; the one before stays in use", config.certificate, error)
        else:
            logger.info("gateway.certificate: %s was renewed", config.certificate)
        before = now


def _stamps(config: GatewayConfig) -> list[int | None]:
    def stamp(path: Path | None) -> int | None:
        try:
            return path.stat().st_mtime_ns if path else None
        except OSError:
            return None

    return [stamp(config.certificate), stamp(config.key)]


def _raise_open_files() -> None:
    """As far as this user may: many pages may be open at once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else 65536, hard))
