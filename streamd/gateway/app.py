"""The gateway's process: one HTTP port for the page, the API, WebRTC and Prometheus."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.http import HttpProcessingError

from streamd.child import ChildContext
from streamd.config import Config
from streamd.configediting import ConfigFile
from streamd.configfile import FILE_VARIABLE
from streamd.endpoints import control_endpoint
from streamd.errors import UnavailableError
from streamd.gateway import pages, supervising
from streamd.gateway.api import cameras, events, gallery, people, session, system, unknowns
from streamd.gateway.api import live as watching
from streamd.gateway.doorkeeper import Doorkeeper
from streamd.gateway.eventfeed import EventFeed
from streamd.gateway.gatekeeper import Gatekeeper
from streamd.gateway.guard import add_headers, guard
from streamd.gateway.live import Live
from streamd.gateway.openapi import document
from streamd.gateway.operations import Call, Operation, route
from streamd.gateway.sending import Senders
from streamd.gateway.services import Services
from streamd.gateway.supervisorclient import SupervisorClient
from streamd.gateway.uploads import tidy_uploads
from streamd.gatewayconfig import GatewayConfig
from streamd.metrics import Metrics
from streamd.sockets import Sockets

logger = logging.getLogger(__name__)

TURN_S = 0.5
BACKLOG = 256
_RENEW_S = 60.0
"""How often the certificate's files are looked at."""
_STUCK_S = 30.0
"""How long the other side may take nothing of what was sent, though its host answers, before its connection ends."""
_HANDSHAKE_S = 10.0
_SHUTDOWN_S = 3600.0
"""For TLS the end of an answer is part of its shutdown; who takes nothing of it is closed by the doorkeeper."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the API is made of."""

    services: Services
    feed: EventFeed
    live: Live
    senders: Senders

    def adopt(self, config: Config) -> None:
        """The supervisor has taken over another configuration."""
        self.services.adopt(config)
        self.live.set_cameras(config.cameras)
        self.senders.set_cameras(config.cameras)


def operations(parts: Parts) -> list[Operation]:
    """The whole API."""
    services = parts.services
    found = [
        *session.operations(services),
        *system.operations(services),
        *cameras.operations(services),
        *watching.operations(services, parts.live, parts.senders),
        *people.operations(services),
        *unknowns.operations(services),
        *gallery.operations(services),
        *events.operations(services, parts.feed),
    ]

    async def described(call: Call) -> web.Response:
        return web.json_response(document(found))

    found.append(
        Operation("GET", "/api/v1/openapi.json", "This document", described, gives="application/json", tags=("system",))
    )
    return found


def described() -> dict[str, Any]:
    """The API's document, without a daemon."""
    with TemporaryDirectory() as nowhere:
        return asyncio.run(_described(Path(nowhere)))


async def _described(folder: Path) -> dict[str, Any]:
    config = Config(state_dir=folder, runtime_dir=folder)
    async with assembled(config, Sockets(), Metrics()) as parts:
        return document(operations(parts))


@asynccontextmanager
async def assembled(
    config: Config,
    sockets: Sockets,
    metrics: Metrics,
    *,
    file: ConfigFile | None = None,
    ask_reload: Callable[[], bool] = lambda: False,
) -> AsyncIterator[Parts]:
    """The API's parts, in a running loop; ``sockets`` are closed with them."""
    services = Services(
        config,
        file=file,
        supervisor=SupervisorClient(control_endpoint(config.sockets_dir)),
        gatekeeper=Gatekeeper(config.gateway, config.state_dir / "sessions.json"),
        ask_reload=ask_reload,
    )
    services.adopt(config)
    live = Live(
        sockets,
        config.sockets_dir,
        cameras=config.cameras,
        max_viewers=config.gateway.max_viewers,
        metrics=metrics,
    )
    senders = Senders(sockets, config.sockets_dir, cameras=config.cameras)
    try:
        yield Parts(services, EventFeed(config.events), live, senders)
    finally:
        await live.close()
        senders.close()
        await services.close()
        sockets.close()


def make_app(parts: Parts, doorkeeper: Doorkeeper | None = None) -> web.Application:
    app = web.Application(middlewares=[guard(parts.services.gatekeeper, doorkeeper)])
    app.on_response_prepare.append(add_headers)
    app.add_routes(supervising.routes(parts.services))
    app.add_routes(route(operation) for operation in operations(parts))
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
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(
            assembled(
                config,
                context.sockets,
                context.metrics,
                file=ConfigFile(Path(given)) if given else None,
                ask_reload=context.link.ask_reload,
            )
        )
        await stack.enter_async_context(parts.feed.running())
        await _listen(parts, config.gateway, stack)
        context.link.ready()
        logger.info("%s://%s", "https" if config.gateway.certificate else "http", config.gateway.listen)
        while not context.draining:
            context.turn()
            if context.reloaded is not None:
                parts.adopt(context.reloaded)
                context.reloaded = None
            while context.reload_answers:
                parts.services.reload_answered(context.reload_answers.pop(0))
            await asyncio.sleep(TURN_S)
    return 0


async def _listen(parts: Parts, config: GatewayConfig, stack: AsyncExitStack) -> None:
    address = urlsplit(f"//{config.listen}")
    doorkeeper = Doorkeeper(lambda: runner.server())  # type: ignore[misc]  # there from ``setup`` on
    app = make_app(parts, doorkeeper)
    told = logger.getChild("http")
    told.addFilter(_is_ours)
    runner = web.AppRunner(app, access_log=None, logger=told, keepalive_timeout=15, shutdown_timeout=1.0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    tls = _tls(config)
    if tls is not None:
        stack.callback(asyncio.create_task(_renew(tls, config)).cancel)
    host, port = address.hostname or "127.0.0.1", address.port or 0
    try:
        server = await asyncio.get_running_loop().create_server(
            doorkeeper,
            host,
            port,
            ssl=tls,
            reuse_address=True,
            backlog=BACKLOG,
            ssl_handshake_timeout=_HANDSHAKE_S if tls is not None else None,
            ssl_shutdown_timeout=_SHUTDOWN_S if tls is not None else None,
            start_serving=False,
        )
        for listening in server.sockets:  # connections inherit it
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * _STUCK_S))
        await server.start_serving()
    except OSError as error:
        raise UnavailableError(f"gateway.listen: {host}:{port}: {error.strerror or error}") from error
    stack.callback(server.close)
    await stack.enter_async_context(doorkeeper.on_duty())


def _is_ours(record: logging.LogRecord) -> bool:
    """Not what aiohttp answers with 400 by itself: anybody can send bytes that are no HTTP."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError | web.RequestPayloadError)


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
    before, told = _stamps(config), ""
    while True:
        await asyncio.sleep(_RENEW_S)
        if (now := _stamps(config)) == before or None in now:
            continue
        try:
            _tls(config)  # a pair that does not fit would leave the context in use without a key
            context.load_cert_chain(str(config.certificate), str(config.key))
        except (OSError, ssl.SSLError, UnavailableError) as error:
            if str(error) != told:
                logger.error("%s; the certificate before stays in use", error)
            told = str(error)
        else:
            logger.info("gateway.certificate: %s was renewed", config.certificate)
            before, told = now, ""


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
