"""The HTTP port: ``/metrics`` for Prometheus, ``/healthz`` and ``/readyz`` for whoever watches the daemon."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from urllib.parse import urlsplit

import zmq
import zmq.asyncio
from aiohttp import web

from streamd.child import ChildContext
from streamd.control import STATUS, SystemStatus
from streamd.endpoints import control_endpoint
from streamd.errors import ProtocolError, UnavailableError
from streamd.exposition import render
from streamd.lifecycle import State
from streamd.wire import encode

logger = logging.getLogger(__name__)

ASK_TIMEOUT_S = 2.0
TURN_S = 0.5
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class SupervisorClient:
    """Asks the supervisor for its status; one question at a time."""

    def __init__(self, endpoint: str) -> None:
        self._context = zmq.asyncio.Context()
        self._endpoint = endpoint

    async def status(self) -> SystemStatus:
        """Raises UnavailableError where no answer comes in time."""
        socket = self._context.socket(zmq.DEALER)
        socket.set(zmq.LINGER, 0)
        try:
            socket.connect(self._endpoint)
            await socket.send(encode(STATUS))
            parts = await asyncio.wait_for(socket.recv_multipart(), ASK_TIMEOUT_S)
            return SystemStatus.from_parts(parts)
        except (TimeoutError, ProtocolError) as error:
            raise UnavailableError(f"supervisor: no answer: {error}") from error
        finally:
            socket.close()

    def close(self) -> None:
        self._context.destroy(linger=0)


def make_app(client: SupervisorClient) -> web.Application:
    app = web.Application(client_max_size=64 * 1024)

    async def metrics(request: web.Request) -> web.Response:
        status = await _status(client)
        return web.Response(body=render(status.snapshots), headers={"Content-Type": METRICS_TYPE})

    async def healthz(request: web.Request) -> web.Response:
        """Alive: the supervisor answers."""
        await _status(client)
        return _json({"status": "ok"}, 200)

    async def readyz(request: web.Request) -> web.Response:
        """Ready: every process runs and none reports trouble."""
        status = await _status(client)
        problems = {
            child.name: child.trouble or child.state
            for child in status.children
            if child.state != State.RUNNING.value or child.trouble
        }
        body = {"status": "ready" if not problems else "not ready", "problems": problems}
        return _json(body, 200 if not problems else 503)

    app.add_routes([web.get("/metrics", metrics), web.get("/healthz", healthz), web.get("/readyz", readyz)])
    return app


async def _status(client: SupervisorClient) -> SystemStatus:
    try:
        return await client.status()
    except UnavailableError as error:
        raise web.HTTPServiceUnavailable(text=f"{error}\n") from error


def _json(body: Mapping[str, object], status: int) -> web.Response:
    return web.Response(text=json.dumps(body) + "\n", status=status, content_type="application/json")


def serve(context: ChildContext) -> int:
    """Answer until told to drain."""
    return asyncio.run(_serve(context))


async def _serve(context: ChildContext) -> int:
    parts = urlsplit(f"//{context.config.gateway.listen}")
    client = SupervisorClient(control_endpoint(context.config.sockets_dir))
    runner = web.AppRunner(make_app(client), access_log=None, keepalive_timeout=15)
    await runner.setup()
    try:
        await _listen(runner, parts.hostname or "127.0.0.1", parts.port or 0)
        context.link.ready()
        logger.info("http://%s", context.config.gateway.listen)
        while not context.draining:
            context.turn()
            await asyncio.sleep(TURN_S)
    finally:
        await runner.cleanup()
        client.close()
    return 0


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port, reuse_address=True).start()
    except OSError as error:
        raise UnavailableError(f"gateway.listen: {host}:{port}: {error.strerror or error}") from error
