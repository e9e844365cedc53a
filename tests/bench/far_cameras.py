"""How often, how soon and at what cost cameras on another box are looked at, over a wire with delay and loss.

usage: PYTHONPATH=tests python tests/bench/far_cameras.py [SECONDS [SECTIONS]]      (as root, after `make models`)

Four 1280x720 RTSP cameras at 15 fps are captured in one network namespace and looked at by a daemon in another; both
share one machine. First one of them shows somebody known, and the others nobody; then all do. Prints a line for each
kind of wire: looks per second at each camera with a face, at each of the others and at all, age of frames when work
starts, bytes from the camera box per look, and what was asked for and did not come. SECTIONS is JSON for the
daemon's configuration: '{"frames": {"jpeg_quality": null}}', '{"workers": {"max_batch": 1}}'.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from e2e.fleet import PORT, RemoteCapture, WorkerBox, frames_section, make_keys
from netspaces import Boxes, LongWire
from rtsp_fixtures import RtspServer, placed

from streamd.config import Config
from streamd.demo.faces import pull_faces
from streamd.scrape import Scrape

SIZE = (1280, 720)
CAMERAS = ["cam1", "cam2", "cam3", "cam4"]
FACES = (1, 4)
"""Cameras that show somebody."""
WIRES: list[dict[str, float]] = [
    {"delay_ms": 0},
    {"delay_ms": 20},
    {"delay_ms": 50},
    {"delay_ms": 100},
    {"delay_ms": 20, "jitter_ms": 5, "loss_percent": 2},
]
"""One way; a round trip takes twice that."""


def main(seconds: float, settings: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        faces = pull_faces(folder / "faces")
        (folder / "gallery" / "Barack Obama").mkdir(parents=True)
        shutil.copy(faces["obama.jpg"], folder / "gallery" / "Barack Obama")
        photo = np.asarray(cv2.imread(str(faces["obama2.jpg"])), np.uint8)[100:900]
        keys = make_keys(folder / "keys", CAMERAS)
        boxes = stack.enter_context(Boxes())
        west, (north, wire) = boxes.near("west"), boxes.far("north")
        server = RtspServer(folder, size=SIZE, prefix=north.command())
        stack.enter_context(server)
        daemon = WorkerBox(
            west,
            folder / "west",
            models=Config().models_path,
            gallery=folder / "gallery",
            cameras={camera: {"remote": True} for camera in CAMERAS},
            extra=settings | {"frames": frames_section(keys) | settings.get("frames", {})},
        )
        stack.enter_context(daemon)
        for camera in CAMERAS:
            connect = f"tcp://{west.address}:{PORT}"
            capture = RemoteCapture(north, camera, url=server.url(camera), connect=connect, keys=keys, folder=folder)
            stack.enter_context(capture)
        for camera in CAMERAS:
            daemon.await_event("camera.online", camera=camera)
        # The most cautious of them, and allowed in every namespace.
        for box in (north, west):
            subprocess.run(box.command("sysctl", "-qw", "net.ipv4.tcp_congestion_control=reno"), check=True)
        view = placed(photo, SIZE, height=500)
        for faces in FACES:
            for camera in CAMERAS[:faces]:
                server.show(camera, view)
            for shape in WIRES:
                print(json.dumps({"faces": faces, **measured(daemon, wire, shape, seconds, faces)}), flush=True)


def measured(daemon: WorkerBox, wire: LongWire, shape: dict[str, float], seconds: float, faces: int) -> dict[str, Any]:
    # New connections, so that congestion control begins anew.
    wire.cut()
    after = max((e.seq for e in daemon.journal()), default=0)
    daemon.await_event("camera.offline", after=after, timeout_s=30)
    for camera in CAMERAS:
        daemon.await_event("camera.offline", camera=camera, after=after, timeout_s=30)
    wire.shape(**shape)
    wire.join()
    for camera in CAMERAS:
        daemon.await_event("camera.online", camera=camera, after=after, timeout_s=60)
    threading.Event().wait(3)
    before, bytes_before = daemon.metrics(), wire.carried_bytes()
    threading.Event().wait(seconds)
    grown, carried = daemon.metrics().since(before), wire.carried_bytes() - bytes_before
    looks = {camera: _looks(grown, camera) / seconds for camera in CAMERAS}
    ages = grown.quantiles("streamd_frame_age_seconds", (0.5, 0.95))
    return {
        **shape,
        "looks_face": round(sum(looks[c] for c in CAMERAS[:faces]) / faces, 2),
        "looks_still": round(sum(looks[c] for c in CAMERAS[faces:]) / (4 - faces), 2) if faces < 4 else None,
        "looks_all": round(sum(looks.values()), 1),
        "age_p50_ms": None if ages[0] is None else round(1000 * ages[0]),
        "age_p95_ms": None if ages[1] is None else round(1000 * (ages[1] or 0)),
        "kB_per_look": round(carried / 1000 / max(1e-9, sum(looks.values()) * seconds)),
        "unanswered": grown.total("streamd_frames_total", outcome="unanswered"),
    }


def _looks(grown: Scrape, camera: str) -> float:
    return grown.total("streamd_frames_total", camera=camera, outcome="looked_at")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 15.0, dict(json.loads(sys.argv[2])) if len(sys.argv) > 2 else {})
