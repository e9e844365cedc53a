"""Connections that do not ask, against a listening port."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from streamd.gateway.doorkeeper import Doorkeeper

Check = Callable[[str, int, Doorkeeper], Awaitable[None]]


def served(check: Check, *, idle_s: float = 60.0, most: int = 100) -> None:
    async def run() -> None:
        async def answer(request: web.Request) -> web.Response:
            with doorkeeper.request(request):
                if request.path == "/slow":
                    await release.wait()
                elif request.path == "/release":
                    release.set()
                return web.Response(text="here")

        release = asyncio.Event()
        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        doorkeeper = Doorkeeper(lambda: runner.server(), idle_s=idle_s, most=most)  # type: ignore[misc, return-value]
        server = await asyncio.get_running_loop().create_server(doorkeeper, "127.0.0.1", 0)
        try:
            await check(*server.sockets[0].getsockname(), doorkeeper)
        finally:
            server.close()
            await runner.cleanup()

    asyncio.run(asyncio.wait_for(run(), 20))


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
