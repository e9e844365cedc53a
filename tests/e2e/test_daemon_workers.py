"""Several workers: cameras are spread over them, and move when one has too much to do."""

import socket
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from e2e.conftest import MakeDaemon
from e2e.daemon import Daemon, assert_contiguous, eventually
from numpy.typing import NDArray
from rtsp_fixtures import RtspServer

from streamd.events import Event

Picture = NDArray[np.uint8]
TWO = {"workers": {"count": 2}}


def seen_by(daemon: Daemon, worker: str) -> set[str]:
    """Cameras at whose frames a worker has looked."""
    rows = daemon.metrics().samples.get("streamd_frames_total", {})
    labels = [dict(row) for row in rows]
    return {row["camera"] for row in labels if row["process"] == worker and row["outcome"] == "looked_at"}


def sent_away(daemon: Daemon) -> list[Event]:
    """Where a camera went offline because it was told to, and not because the machine had no time for it."""
    asked = {"no camera of this worker any more", "capture stopped"}
    return [event for event in daemon.events("camera.offline") if event.message in asked]


def test_two_workers_share_the_cameras_and_a_killed_one_returns_to_its_own(
    rtsp: RtspServer, make_daemon: MakeDaemon, obama: Picture, nobody: Picture
) -> None:
    cameras = {"door": {"url": rtsp.url("cam1")}, "yard": {"url": rtsp.url("cam2")}}
    with make_daemon(cameras, extra=TWO) as daemon:
        for mount, camera in (("cam1", "door"), ("cam2", "yard")):
            daemon.await_event("camera.online", camera=camera)
            rtsp.show(mount, obama)
            named = daemon.await_event("face.identified", camera=camera)
        eventually(lambda: (seen_by(daemon, "worker@0"), seen_by(daemon, "worker@1")) == ({"door"}, {"yard"}))
        eventually(lambda: daemon.metrics().total("streamd_accelerator_info", model="sface") == 2)
        rtsp.show("cam2", nobody)
        left = daemon.await_event("face.left", camera="yard", after=named.seq)
        others = {name: daemon.child(name).pid for name in ("worker@0", "capture@door")}
        killed = daemon.kill("worker@1")
        eventually(lambda: daemon.running("worker@1", instead_of=killed), timeout_s=60)
        rtsp.show("cam2", obama)
        daemon.await_event("face.identified", camera="yard", after=left.seq)
        assert {name: daemon.child(name).pid for name in others} == others
        # Whoever was there stayed, unless the machine itself halted for so long that the camera was taken for gone.
        assert daemon.events("camera.offline", camera="door") or not daemon.events("face.left", camera="door")
        assert_contiguous(daemon.journal())


@pytest.mark.timeout(240)
def test_a_camera_of_an_overloaded_worker_moves_to_the_other_and_is_recognised_there(
    rtsp: RtspServer, make_daemon: MakeDaemon, obama: Picture
) -> None:
    slow = {"model": "slow_detector:SlowYunet"}
    # The first and the third go to the first worker; a face keeps each at four looks a second.
    cameras = {
        "door": {"url": rtsp.url("cam1"), "detection": slow},
        "hall": {"url": rtsp.url("cam2")},
        "yard": {"url": rtsp.url("cam1"), "detection": slow},
    }
    with make_daemon(cameras, extra=TWO, env={"STREAMD_SLOW_MS": "300"}) as daemon:
        daemon.await_event("camera.online", camera="yard")
        rtsp.show("cam1", obama)
        workers = {name: daemon.child(name).pid for name in ("worker@0", "worker@1")}
        eventually(lambda: daemon.metrics().total("streamd_worker_busy_ratio", child="worker@0") > 0.85, timeout_s=40)
        eventually(lambda: daemon.metrics().total("streamd_cameras_moved_total") == 1, timeout_s=90)
        (moved,) = {"door", "yard"} & {
            dict(row)["camera"] for row in daemon.metrics().samples["streamd_cameras_moved_total"]
        }
        eventually(lambda: moved in seen_by(daemon, "worker@1"), timeout_s=30)
        offline = eventually(lambda: sent_away(daemon))[0]
        online = daemon.await_event("camera.online", camera=moved, after=offline.seq)
        away = datetime.fromisoformat(online.at) - datetime.fromisoformat(offline.at)
        print(f"{moved} was away for {away.total_seconds():.1f} s")
        daemon.await_event("face.identified", camera=moved, after=offline.seq)
        # It went and came back as a camera does, and nobody else noticed.
        assert [event.camera for event in sent_away(daemon)] == [moved]
        assert {name: daemon.child(name).pid for name in workers} == workers
        assert_contiguous(daemon.journal())


def test_systemd_is_asked_to_wait_for_tensorrt(rtsp: RtspServer, make_daemon: MakeDaemon, tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        systemd.settimeout(30)
        extra = {"workers": {"tensorrt": True, "device": "cpu"}}
        with make_daemon({"door": {"url": rtsp.url("cam1")}}, extra=extra, env={"NOTIFY_SOCKET": address}):
            assert systemd.recv(100) == b"EXTEND_TIMEOUT_USEC=30000000"
            while not systemd.recv(100).startswith(b"READY=1"):
                pass
