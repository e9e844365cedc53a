"""A fleet: two camera boxes, two worker boxes, one gallery, one bus, over wires with delay and loss."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from brokers import NatsServer, nats_messages, program
from e2e.conftest import OBAMA, SIZE
from e2e.daemon import assert_contiguous, eventually
from e2e.fleet import PORT, RemoteCapture, WorkerBox, frames_section, make_keys
from netspaces import HERE, Box, Boxes, LongWire
from numpy.typing import NDArray
from pgserver import Postgres
from rtsp_fixtures import RtspServer, require_rtsp_server

Picture = NDArray[np.uint8]
STREAM = "STREAMD"


@dataclass
class Fleet:
    """``gate`` and ``dock`` are on the camera box north, ``yard`` is on south; ``dock`` is looked at by east."""

    west: WorkerBox
    east: WorkerBox
    north: Box
    wires: dict[str, LongWire]
    servers: dict[str, RtspServer]
    captures: dict[str, RemoteCapture]
    bus: NatsServer

    def show(self, camera: str, picture: Picture) -> None:
        server, mount = {"gate": ("north", "cam1"), "dock": ("north", "cam2"), "yard": ("south", "cam1")}[camera]
        self.servers[server].show(mount, picture)

    def box_of(self, camera: str) -> WorkerBox:
        return self.east if camera == "dock" else self.west


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, models_dir: Path, faces_dir: Path) -> Iterator[Fleet]:
    require_rtsp_server()
    program("nats-server")
    folder = tmp_path_factory.mktemp("fleet")
    keys = make_keys(folder / "keys", ["gate", "dock", "yard"])
    with ExitStack() as stack:
        boxes = stack.enter_context(Boxes())
        # Not below pytest's own folder, which it may close to the server's user meanwhile.
        postgres = Postgres(Path(stack.enter_context(TemporaryDirectory(prefix="streamd-fleet-"))))
        stack.callback(postgres.stop)
        postgres.listen(HERE, clients="10.204.0.0/16")
        gallery = {"kind": "pgvector", "dsn": postgres.over_tcp(postgres.new_database())}
        bus = stack.enter_context(NatsServer(folder / "nats", address="0.0.0.0"))
        sink = {"kind": "nats", "url": f"nats://{HERE}:{bus.port}", "plain": True}

        def worker_box(name: str, cameras: list[str], workers: int) -> WorkerBox:
            box = boxes.near(name)
            daemon = WorkerBox(
                box,
                folder / name,
                models=models_dir,
                cameras={camera: {"remote": True} for camera in cameras},
                extra={
                    "frames": frames_section(keys),
                    "gallery": gallery,
                    "sinks": {"bus": {**sink, "box": name}},
                    "workers": {"count": workers},
                    "tracking": {"reappear_s": 0.5},
                },
            )
            daemon.start(wait=False)
            stack.callback(daemon.__exit__, None, None, None)
            return daemon

        west, east = worker_box("west", ["gate", "yard"], 2), worker_box("east", ["dock"], 1)
        far = {name: boxes.far(name) for name in ("north", "south")}
        servers = {}
        for name, (box, wire) in far.items():
            wire.shape(delay_ms=40, jitter_ms=8, loss_percent=2)
            (folder / f"rtsp-{name}").mkdir()
            server = RtspServer(folder / f"rtsp-{name}", size=SIZE, fps=10, prefix=box.command())
            servers[name] = stack.enter_context(server)
        for daemon in (west, east):
            daemon.await_ready()
        # Each capture is told the first worker's port alone.
        captures = {}
        for camera, name, mount, worker in (
            ("gate", "north", "cam1", west),
            ("dock", "north", "cam2", east),
            ("yard", "south", "cam1", west),
        ):
            capture = RemoteCapture(
                far[name][0],
                camera,
                url=servers[name].url(mount),
                connect=f"tcp://{worker.box.address}:{PORT}",
                keys=keys,
                folder=folder,
            )
            captures[camera] = stack.enter_context(capture)
        enroll(west, OBAMA, faces_dir / "obama.jpg")
        wires = {name: wire for name, (_, wire) in far.items()}
        yield Fleet(west, east, far["north"][0], wires, servers, captures, bus)


def enroll(daemon: WorkerBox, name: str, photo: Path) -> None:
    command = [sys.executable, "-m", "streamd", "enroll", name, str(photo), "-c", str(daemon.config), "--json"]
    subprocess.run(daemon.box.command(*command), check=True, capture_output=True, timeout=60)


def known(daemon: WorkerBox) -> list[str]:
    command = [sys.executable, "-m", "streamd", "person", "list", "-c", str(daemon.config), "--json"]
    done = subprocess.run(daemon.box.command(*command), check=True, capture_output=True, timeout=60)
    return [person["name"] for person in json.loads(done.stdout)]


def last_seq(daemon: WorkerBox) -> int:
    return max((event.seq for event in daemon.journal()), default=0)


def identified(fleet: Fleet, camera: str, *, after: int = 0) -> Any:
    return fleet.box_of(camera).await_event("face.identified", camera=camera, name=OBAMA, after=after, timeout_s=40)


def in_view(fleet: Fleet, camera: str) -> None:
    """Wait until the camera's last word is that somebody known is there, and not what was told before a cut."""

    def look() -> bool:
        told = [event for event in fleet.box_of(camera).journal() if event.camera == camera]
        return bool(told) and told[-1].type.value == "face.identified"

    eventually(look, timeout_s=40, what=f"{OBAMA} in view of {camera}")


def test_who_is_enrolled_on_one_box_is_named_by_both(fleet: Fleet, obama: Picture) -> None:
    for camera in ("gate", "dock", "yard"):
        fleet.box_of(camera).await_event("camera.online", camera=camera, timeout_s=40)
        fleet.show(camera, obama)
    found = [identified(fleet, camera).identity for camera in ("gate", "dock", "yard")]
    assert len({identity["id"] for identity in found}) == 1


def test_a_capture_finds_its_worker_from_the_first_ones_port(fleet: Fleet) -> None:
    fleet.west.await_event("camera.online", camera="yard", timeout_s=40)
    looked = eventually(
        lambda: [
            rows
            for rows in fleet.west.metrics().samples["streamd_frames_total"]
            if ("camera", "yard") in rows and ("outcome", "looked_at") in rows
        ]
    )
    assert {dict(rows)["process"] for rows in looked} == {"worker@1"}
    assert f":{PORT + 1}" in fleet.captures["yard"].log.read_text()


def test_a_wire_that_was_cut_is_used_again(fleet: Fleet, obama: Picture) -> None:
    for camera in ("gate", "dock"):
        fleet.show(camera, obama)
        in_view(fleet, camera)
    before = {camera: last_seq(fleet.box_of(camera)) for camera in ("gate", "dock")}
    fleet.wires["north"].cut()
    for camera, seq in before.items():
        offline = fleet.box_of(camera).await_event("camera.offline", camera=camera, after=seq, timeout_s=30)
        assert offline.message
    fleet.wires["north"].join()
    for camera, seq in before.items():
        fleet.box_of(camera).await_event("camera.online", camera=camera, after=seq, timeout_s=30)
    identified(fleet, "gate", after=before["gate"])


def test_a_worker_box_goes_on_after_a_power_cut_and_the_other_one_meanwhile(
    fleet: Fleet, obama: Picture, nobody: Picture
) -> None:
    for camera in ("gate", "dock"):
        fleet.show(camera, obama)
        in_view(fleet, camera)
    before = last_seq(fleet.west)
    fleet.west.power_cut()
    here = last_seq(fleet.east)
    fleet.show("dock", nobody)
    left = fleet.east.await_event("face.left", camera="dock", after=here)
    fleet.show("dock", obama)
    identified(fleet, "dock", after=left.seq)
    fleet.west.start()
    for camera in ("gate", "yard"):
        fleet.west.await_event("camera.online", camera=camera, after=before, timeout_s=40)
    identified(fleet, "gate", after=before)
    assert OBAMA in known(fleet.west)


def test_a_capture_box_that_comes_back_is_taken_up_again(fleet: Fleet, obama: Picture) -> None:
    fleet.show("yard", obama)
    in_view(fleet, "yard")
    before = last_seq(fleet.west)
    fleet.captures["yard"].kill()
    fleet.west.await_event("camera.offline", camera="yard", after=before, timeout_s=30)
    fleet.captures["yard"].start()
    fleet.west.await_event("camera.online", camera="yard", after=before, timeout_s=40)


def test_the_bus_has_every_event_of_every_box_once(fleet: Fleet) -> None:
    fleet.east.await_event("camera.online", camera="dock", timeout_s=40)

    def arrived(box: str, count: int) -> list[tuple[int, str]]:
        messages = nats_messages(fleet.bus.port, STREAM)
        found = [(seq, event_id) for subject, seq, event_id in messages if subject.split(".")[2] == box]
        return found if len(found) >= count else []

    for daemon, name in ((fleet.west, "west"), (fleet.east, "east")):
        journal = daemon.journal()  # more may be told meanwhile
        assert_contiguous(journal)
        rows = eventually(partial(arrived, name, len(journal)), what="every event on the bus")
        assert rows[: len(journal)] == [(event.seq, event.id) for event in journal]
        assert len({event_id for _, event_id in rows}) == len(rows)
