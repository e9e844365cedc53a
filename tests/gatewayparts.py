"""A gateway on a gallery and a journal in a folder, and a supervisor that says what it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import zmq
import zmq.asyncio
from aiohttp import CookieJar
from aiohttp.test_utils import TestClient, TestServer

from streamd.config import Config
from streamd.configediting import ConfigFile
from streamd.configfile import load_config
from streamd.control import ChildStatus, SystemStatus
from streamd.endpoints import control_endpoint
from streamd.events import Event, EventType, new_id, timestamp
from streamd.gallery.rows import NewFace
from streamd.gallery.store import GalleryStore
from streamd.gallery.strangers import Sighting, StrangerRecords, StrangerView
from streamd.gateway.app import Parts, assembled, make_app
from streamd.journal import Entry, Journal
from streamd.metrics import Metrics
from streamd.sockets import Sockets

Client = TestClient[Any, Any]
UP = ChildStatus("worker@0", "running", 1, 0, 5.0)
CAMERAS = {"door": {"url": "rtsp://viewer:geheim@192.0.2.1/main"}, "yard": {"remote": True}}


def jpeg(shade: int = 128) -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((112, 112, 3), shade, np.uint8))[1])


def unit_vector(seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    vector = np.random.default_rng(seed).standard_normal(128).astype(np.float32)
    return vector / np.linalg.norm(vector)


def new_face(seed: int, source: str = "photo:ana.jpg") -> NewFace:
    return NewFace(unit_vector(seed), "sface@test", jpeg(seed), 0.9, source, f"{seed:064x}")


def status(*children: ChildStatus) -> SystemStatus:
    metrics = Metrics()
    metrics.decoded_frames.labels(camera="door").inc(42)
    metrics.source_up.labels(camera="door").set(1)
    return SystemStatus(children or (UP,), {"capture@door": metrics.snapshot()})


class Box:
    """A state directory with a configuration file, people, strangers and events."""

    def __init__(self, folder: Path, **gateway: Any) -> None:
        import yaml

        self.folder = folder
        self.file = folder / "streamd.yaml"
        body: dict[str, Any] = {
            "state_dir": str(folder / "state"),
            "runtime_dir": str(folder),
            "cameras": CAMERAS,
            "frames": {"listen": "tcp://127.0.0.1:5570"},
            "gateway": gateway,
        }
        self.file.write_text("# mine\n" + yaml.safe_dump(body))
        self.config: Config = load_config(self.file)
        self.config.state_dir.mkdir()
        self.answer: SystemStatus | None = status()
        self.reloads = 0

    def enroll(self, name: str, *seeds: int) -> list[int]:
        with GalleryStore(self.config.gallery_file, actor="tests") as store:
            return store.add_faces(name, [new_face(seed) for seed in seeds])

    def meet(self, stranger_id: str, *, times: int = 2, camera: str = "door") -> None:
        with GalleryStore(self.config.gallery_file) as store:
            for n in range(times):
                view = StrangerView(unit_vector(1000 + n), jpeg(50 + n), 0.5 + n / 100)
                sighting = Sighting(stranger_id, f"{camera}-x-{n}", camera, 1_790_000_000.0 + n, "sface@test", [view])
                StrangerRecords(store.database).record(sighting)

    def record(self, *events: Event) -> list[Event]:
        with Journal(self.config.journal_file) as journal:
            epoch = new_id()
            entries = [Entry("worker@0", epoch, n, event) for n, event in enumerate(events, start=1)]
            return [event for event in journal.append(entries) if event is not None]

    def run(self, check: Callable[[Client], Awaitable[None]]) -> None:
        """``check`` with a client of the gateway; cookies are kept."""

        async def inside() -> None:
            context = zmq.asyncio.Context()
            router = context.socket(zmq.ROUTER)
            router.bind(control_endpoint(self.config.sockets_dir))
            answering = asyncio.create_task(self._answer(router))
            making = assembled(
                self.config,
                Sockets(),
                Metrics(),
                file=ConfigFile(self.file),
                ask_reload=lambda: self._reload(parts),
            )
            try:
                async with making as parts:
                    server = TestServer(make_app(parts))
                    async with TestClient(server, cookie_jar=CookieJar(unsafe=True)) as client:
                        await check(client)
            finally:
                answering.cancel()
                context.destroy(linger=0)

        asyncio.run(inside())

    def _reload(self, parts: Parts) -> bool:
        self.reloads += 1
        loop = asyncio.get_running_loop()
        loop.call_soon(parts.adopt, load_config(self.file))
        loop.call_soon(parts.services.reload_answered, None)
        return True

    async def _answer(self, router: zmq.asyncio.Socket) -> None:
        while True:
            identity, _ = await router.recv_multipart()
            if self.answer is not None:
                await router.send_multipart([identity, *self.answer.to_parts()])


def seen(camera: str, kind: EventType, *, n: int = 0, **more: Any) -> Event:
    at = timestamp(1_790_000_000.0 + n)
    return Event(kind, camera, at, new_id(), track=more.pop("track", f"{camera}-x-{n}"), **more)


async def csrf(client: Client) -> dict[str, str]:
    """The header that every change needs."""
    answer: Mapping[str, Any] = await (await client.get("/api/v1/session")).json()
    return {"X-CSRF-Token": answer.get("csrf", "")}


async def log_in(client: Client, name: str, password: str) -> dict[str, str]:
    answer = await client.post("/api/v1/session", json={"name": name, "password": password})
    assert answer.status == 200, await answer.text()
    return {"X-CSRF-Token": (await answer.json())["csrf"]}
