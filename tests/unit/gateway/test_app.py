"""What Prometheus and whoever watches the daemon ask, against a supervisor's answers over a real socket."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from gatewayparts import UP, Box, Client, seen, status

from streamd.control import ChildStatus
from streamd.events import EventType
from streamd.gateway import app
from streamd.gateway.doorkeeper import Doorkeeper, Handler
from streamd.gateway.eventfeed import KEPT
from streamd.gatewayconfig import GatewayConfig
from streamd.metrics import Metrics
from streamd.sockets import Sockets

DOWN = ChildStatus("capture@door", "backoff", None, 3, 0.2)
ILL = ChildStatus("publisher", "running", 2, 0, 9.0, "journal: disk is full")


def test_metrics_carry_the_process_that_counted_them(tmp_path: Path) -> None:
    async def check(client: Client) -> None:
        answer = await client.get("/metrics")
        text = await answer.text()
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        line = next(x for x in text.splitlines() if x.startswith("streamd_decoded_frames_total{"))
        assert 'camera="door"' in line
        assert 'process="capture@door"' in line
        assert line.endswith(" 42.0")

    Box(tmp_path).run(check)


def test_ready_when_every_process_runs(tmp_path: Path) -> None:
    async def check(client: Client) -> None:
        answer = await client.get("/readyz")
        assert answer.status == 200
        assert (await answer.json())["status"] == "ready"

    Box(tmp_path).run(check)


def test_not_ready_names_each_process_and_why(tmp_path: Path) -> None:
    async def check(client: Client) -> None:
        answer = await client.get("/readyz")
        assert answer.status == 503
        problems = (await answer.json())["problems"]
        assert problems == {"capture@door": "backoff", "publisher": "journal: disk is full"}
        assert (await client.get("/healthz")).status == 200

    box = Box(tmp_path)
    box.answer = status(UP, DOWN, ILL)
    box.run(check)


def test_a_supervisor_that_does_not_answer_makes_everything_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamd.gateway.supervisorclient.ASK_TIMEOUT_S", 0.1)

    async def check(client: Client) -> None:
        for path in ("/metrics", "/healthz", "/readyz"):
            assert (await client.get(path)).status == 503

    box = Box(tmp_path)
    box.answer = None
    box.run(check)


def test_other_paths_are_not_found(tmp_path: Path) -> None:
    async def check(client: Client) -> None:
        answer = await client.get("/../etc/passwd")
        assert answer.status == 404
        assert (await answer.json())["code"] == "not_found"

    Box(tmp_path).run(check)


def test_every_answer_has_the_headers_that_keep_a_browser_safe(tmp_path: Path) -> None:
    async def check(client: Client) -> None:
        for path in ("/healthz", "/nothing", "/api/v1/people"):
            headers = (await client.get(path)).headers
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert "unsafe" not in headers["Content-Security-Policy"]
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Cache-Control"] == "no-store"
            assert headers["Server"] == "streamd"

    Box(tmp_path).run(check)


def listening(tmp_path: Path, check: Callable[[int, app.Parts], Awaitable[None]]) -> None:
    """``check`` with the port of a gateway in which nobody needs to log in, and its parts."""
    probe = socket.create_server(("127.0.0.1", 0))
    port = probe.getsockname()[1]
    probe.close()

    async def run() -> None:
        async with AsyncExitStack() as stack:
            making = app.assembled(Box(tmp_path).config, Sockets(), Metrics())
            parts = await stack.enter_async_context(making)
            await app._listen(parts, GatewayConfig(listen=f"127.0.0.1:{port}"), stack)
            await check(port, parts)

    asyncio.run(asyncio.wait_for(run(), 30))


def test_who_stops_reading_is_gone_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_STUCK_S", 0.3)

    async def check(port: int, parts: app.Parts) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET /api/v1/events/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        while not parts.feed.listeners:
            await asyncio.sleep(0.005)
        long = "x" * 100_000  # together more than the kernel keeps for both sides
        for n in range(1, KEPT + 1):
            parts.feed.publish(seen("door", EventType.CAMERA_OFFLINE, n=n, message=long).numbered(n))
        while parts.feed.listeners:
            await asyncio.sleep(0.05)
        writer.transport.abort()

    listening(tmp_path, check)


LOGIN = b"POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
PHOTO = (
    b"POST /api/v1/people/Ann/photos HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
)
PART = b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\nabc'


@pytest.mark.parametrize(
    "sent",
    [
        LOGIN + b"Transfer-Encoding: chunked\r\n\r\nZZZ\r\n",
        LOGIN + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nabcde",
        PHOTO + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nabcde",
        b"GET / HTTP/1.1\r\nHost: [\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nno header\r\n\r\n",
        LOGIN + b"Origin: http://[\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_bytes_that_are_no_request_are_answered_and_no_error_of_ours(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    async def check(port: int, parts: app.Parts) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        assert (await reader.readline()).split()[1] == b"400"
        writer.close()
        await _answers(port)

    listening(tmp_path, check)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    "sent", [LOGIN + b"Content-Length: 50\r\n\r\n{", PHOTO + b"Content-Length: 5000\r\n\r\n" + PART]
)
def test_a_request_that_is_broken_off_is_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    doorkeepers: list[Doorkeeper] = []

    class Told(Doorkeeper):
        def __init__(self, make: Callable[[], Handler]) -> None:
            super().__init__(make)
            doorkeepers.append(self)

    monkeypatch.setattr(app, "Doorkeeper", Told)

    async def check(port: int, parts: app.Parts) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        while not doorkeepers[0].under_way:
            await asyncio.sleep(0.005)
        writer.transport.abort()
        while doorkeepers[0].open:
            await asyncio.sleep(0.005)
        await _answers(port)

    listening(tmp_path, check)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def _answers(port: int) -> None:
    """Whatever came before has been dealt with by then."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /static/none HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 404")
    writer.close()
