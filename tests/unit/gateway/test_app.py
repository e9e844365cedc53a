"""The HTTP port against a supervisor's answers over a real socket."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import zmq
import zmq.asyncio
from aiohttp.test_utils import TestClient, TestServer

from streamd.control import ChildStatus, SystemStatus
from streamd.gateway.app import SupervisorClient, make_app
from streamd.metrics import Metrics

Client = TestClient[Any, Any]


def status(*children: ChildStatus) -> SystemStatus:
    metrics = Metrics()
    metrics.decoded_frames.labels(camera="door").inc(42)
    return SystemStatus(children, {"capture@door": metrics.snapshot()})


UP = ChildStatus("worker@0", "running", 1, 0, 5.0)
DOWN = ChildStatus("capture@door", "backoff", None, 3, 0.2)
ILL = ChildStatus("publisher", "running", 2, 0, 9.0, "journal: disk is full")


def served(tmp_path: Path, answer: SystemStatus | None, check: Callable[[Client], Awaitable[None]]) -> None:
    async def run() -> None:
        endpoint = f"ipc://{tmp_path}/control.sock"
        context = zmq.asyncio.Context()
        router = context.socket(zmq.ROUTER)
        router.bind(endpoint)
        task = asyncio.create_task(_answer(router, answer)) if answer else None
        asking = SupervisorClient(endpoint)
        try:
            async with TestClient(TestServer(make_app(asking))) as client:
                await check(client)
        finally:
            if task:
                task.cancel()
            asking.close()
            context.destroy(linger=0)

    asyncio.run(run())


async def _answer(router: "zmq.asyncio.Socket", answer: SystemStatus) -> None:
    while True:
        identity, _ = await router.recv_multipart()
        await router.send_multipart([identity, *answer.to_parts()])


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

    served(tmp_path, status(UP), check)


def test_ready_when_every_process_runs(tmp_path: Path) -> None:
    async def check(client: Client) -> None:
        answer = await client.get("/readyz")
        assert answer.status == 200
        assert (await answer.json())["status"] == "ready"

    served(tmp_path, status(UP), check)


def test_not_ready_names_each_process_and_why(tmp_path: Path) -> None:
    async def check(client: Client) -> None:
        answer = await client.get("/readyz")
        assert answer.status == 503
        problems = (await answer.json())["problems"]
        assert problems == {"capture@door": "backoff", "publisher": "journal: disk is full"}
        assert (await client.get("/healthz")).status == 200

    served(tmp_path, status(UP, DOWN, ILL), check)


def test_a_supervisor_that_does_not_answer_makes_everything_unavailable(tmp_path: Path) -> None:
    async def check(client: Client) -> None:
        for path in ("/metrics", "/healthz", "/readyz"):
            assert (await client.get(path)).status == 503

    served(tmp_path, None, check)


def test_other_paths_are_not_found(tmp_path: Path) -> None:
    async def check(client: Client) -> None:
        assert (await client.get("/../etc/passwd")).status == 404

    served(tmp_path, status(UP), check)
