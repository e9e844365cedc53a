"""Connections that do not ask, against a listening port."""

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from certificates import signed_by_itself, trusting

from streamd.gateway.doorkeeper import Doorkeeper

Check = Callable[[str, int, Doorkeeper], Awaitable[None]]


LARGE = 16 << 20
"""Bytes: more than the kernel keeps for both sides."""


def served(check: Check, *, idle_s: float = 60.0, most: int = 100, tls: ssl.SSLContext | None = None) -> None:
    async def run() -> None:
        async def answer(request: web.Request) -> web.Response:
            with doorkeeper.request(request):
                if request.path == "/slow":
                    await release.wait()
                elif request.path == "/release":
                    release.set()
                elif request.path == "/large":
                    return web.Response(body=b"x" * LARGE)
                elif request.path == "/body":
                    return web.Response(text=f"{len(await request.read())} bytes")
                return web.Response(text="here")

        release = asyncio.Event()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        doorkeeper = Doorkeeper(lambda: runner.server(), idle_s=idle_s, most=most)  # type: ignore[misc, return-value]
        server = await asyncio.get_running_loop().create_server(doorkeeper, "127.0.0.1", 0, ssl=tls)
        try:
            await check(*server.sockets[0].getsockname(), doorkeeper)
        finally:
            server.close()
            await runner.cleanup()

    asyncio.run(asyncio.wait_for(run(), 20))


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.005)


async def ended(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


async def ask(host: str, port: int, path: str = "/") -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer


def test_headers_that_never_end_are_not_waited_for() -> None:
    async def check(host: str, port: int, doorkeeper: Doorkeeper) -> None:
        async with doorkeeper.on_duty():
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            assert await ended(reader)
            writer.close()
            assert b"here" in await ask(host, port)

    served(check, idle_s=0.05)


def test_a_request_under_way_is_left_alone() -> None:
    async def check(host: str, port: int, doorkeeper: Doorkeeper) -> None:
        slow = asyncio.create_task(ask(host, port, "/slow"))
        while not doorkeeper.under_way:
            await asyncio.sleep(0)
        doorkeeper.look(now_s=1e12)
        assert await ask(host, port, "/release")
        assert b"here" in await slow

    served(check, idle_s=0.05)


def test_of_too_many_idle_connections_the_oldest_go() -> None:
    async def check(host: str, port: int, doorkeeper: Doorkeeper) -> None:
        first, first_writer = await asyncio.open_connection(host, port)
        others = [await asyncio.open_connection(host, port) for _ in range(15)]
        assert await ended(first)
        assert b"here" in await ask(host, port)
        assert doorkeeper.turned_away >= 5
        for _, writer in (*others, (first, first_writer)):
            writer.close()

    served(check, most=10)


@pytest.fixture(params=["plain", "tls"])
def tls(request: pytest.FixtureRequest, tmp_path: Path) -> ssl.SSLContext | None:
    if request.param == "plain":
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for name, content in zip(("crt", "key"), signed_by_itself(), strict=True):
        (tmp_path / name).write_bytes(content)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    return context


async def slow_reader(
    host: str, port: int, doorkeeper: Doorkeeper, tls: ssl.SSLContext | None, more: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """One that has asked for something large, which has been handed over for sending."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (host, port))
    reader, writer = await asyncio.open_connection(
        sock=sock, ssl=trusting() if tls else None, server_hostname="x" if tls else None
    )
    writer.write(f"GET /large HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    await until(lambda: not doorkeeper.under_way)
    return reader, writer


@pytest.mark.parametrize("more", ["", "Connection: close\r\n"])
def test_an_answer_that_is_taken_slowly_is_not_cut(tls: ssl.SSLContext | None, more: str) -> None:
    async def check(host: str, port: int, doorkeeper: Doorkeeper) -> None:
        reader, writer = await slow_reader(host, port, doorkeeper, tls, more)
        now_s, step = time.monotonic(), LARGE // 4
        for _ in range(3):
            doorkeeper.look(now_s)
            await reader.readexactly(step)
            now_s += 15.0
        doorkeeper.look(now_s)
        assert len(await reader.readexactly(LARGE - 3 * step)) == LARGE - 3 * step
        assert doorkeeper.turned_away == 0
        writer.close()

    served(check, idle_s=20.0, tls=tls)


@pytest.mark.parametrize("more", ["", "Connection: close\r\n"])
def test_an_answer_that_nobody_takes_is_given_up(tls: ssl.SSLContext | None, more: str) -> None:
    async def check(host: str, port: int, doorkeeper: Doorkeeper) -> None:
        _, writer = await slow_reader(host, port, doorkeeper, tls, more)
        now_s = time.monotonic()
        while doorkeeper.open:  # the first looks may still see what goes into buffers
            now_s += 15.0
            doorkeeper.look(now_s)
            await asyncio.sleep(0.005)
        assert doorkeeper.turned_away == 1
        writer.transport.abort()

    served(check, idle_s=20.0, tls=tls)


async def half_asked(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
    return reader, writer


def test_half_sent_bodies_make_room_for_a_newcomer_and_the_one_silent_longest_goes_first() -> None:
    async def check(host: str, port: int, doorkeeper: Doorkeeper) -> None:
        halves = []
        for count in range(1, 11):
            halves.append(await half_asked(host, port))
            await until(lambda count=count: doorkeeper.under_way == count)  # type: ignore[misc]
        heard = {one: one.heard_at_s for one in doorkeeper._connections.values()}
        (first, first_writer), (second, _) = halves[:2]
        first_writer.write(b"6")
        await until(lambda: any(one.heard_at_s > at_s for one, at_s in heard.items()))
        assert b"here" in await ask(host, port)
        assert await ended(second)
        first_writer.write(b"7890")
        assert b"200 OK" in await first.readline(), "it had sent something of late"
        for _, writer in halves:
            writer.close()

    served(check, most=10)


def silent(host: str, port: int, count: int) -> list[socket.socket]:
    return [socket.create_connection((host, port)) for _ in range(count)]


# Whoever is turned away is let go of by asyncio, not closed.
turns_away = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@turns_away
@pytest.mark.parametrize("tls", ["tls"], indirect=True)
def test_connections_that_never_shake_hands_are_bounded_and_forgotten_when_they_go(
    tls: ssl.SSLContext | None, caplog: pytest.LogCaptureFixture
) -> None:
    async def check(host: str, port: int, doorkeeper: Doorkeeper) -> None:
        sockets = silent(host, port, 15)
        await until(lambda: doorkeeper.turned_away == 5)
        assert doorkeeper.open == 10
        doorkeeper.look(now_s=1e12)
        assert doorkeeper.open == 10, "how long a handshake may take is asyncio's business"
        reader, writer = await asyncio.open_connection(host, port, ssl=trusting(), server_hostname="x")
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"here"), "the one that shook hands for longest made room"
        writer.close()
        for sock in sockets[:6]:
            await asyncio.get_running_loop().run_in_executor(None, sock.recv, 1)
        for sock in sockets:
            sock.close()
        await until(lambda: doorkeeper.open == 0)
        _, writer = await asyncio.open_connection(host, port, ssl=trusting())
        assert doorkeeper.open == 1
        writer.close()
        await until(lambda: doorkeeper.open == 0)

    served(check, most=10, tls=tls)
    assert not caplog.records


@turns_away
def test_where_all_are_busy_a_newcomer_is_turned_away(caplog: pytest.LogCaptureFixture) -> None:
    async def check(host: str, port: int, doorkeeper: Doorkeeper) -> None:
        slow = [asyncio.create_task(ask(host, port, "/slow")) for _ in range(4)]
        await until(lambda: doorkeeper.under_way == 4)
        reader, writer = await asyncio.open_connection(host, port)
        await until(lambda: doorkeeper.open == 5)
        slow.append(asyncio.create_task(ask(host, port, "/slow")))
        assert await ended(reader), "the one that was idle made room"
        writer.close()
        await until(lambda: doorkeeper.under_way == 5)
        late, late_writer = await asyncio.open_connection(host, port)
        assert await ended(late)
        late_writer.close()
        assert doorkeeper.open == 5
        slow.pop().cancel()
        await until(lambda: doorkeeper.under_way == 4 or doorkeeper.open == 4)
        assert await ask(host, port, "/release")
        assert all(b"here" in answer for answer in await asyncio.gather(*slow))

    served(check, most=5)
    assert not caplog.records
