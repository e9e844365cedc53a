"""A camera captured on another host: another network namespace, tcp, CURVE keys."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import unavailable
from e2e.conftest import SIZE, MakeDaemon
from e2e.daemon import eventually, free_ports
from numpy.typing import NDArray
from rtsp_fixtures import RtspServer

HOST, BOX = "10.203.7.1", "10.203.7.2"
"""This host's end of the wire, and the other box's."""
SPACE = "streamd-box"


@pytest.fixture
def box() -> Iterator[None]:
    """A network namespace joined to this one by a pair of interfaces."""
    steps = [
        f"ip netns add {SPACE}",
        f"ip link add sd-host type veth peer name sd-box netns {SPACE}",
        f"ip addr add {HOST}/30 dev sd-host",
        "ip link set sd-host up",
        f"ip -n {SPACE} addr add {BOX}/30 dev sd-box",
        f"ip -n {SPACE} link set sd-box up",
        f"ip -n {SPACE} link set lo up",
    ]
    remove = ["ip", "netns", "delete", SPACE]
    if shutil.which("ip") is None:
        unavailable("no 'ip': apt-get install iproute2")
    subprocess.run(remove, capture_output=True)
    for step in steps:
        done = subprocess.run(step.split(), capture_output=True, text=True)
        if done.returncode:
            subprocess.run(remove, capture_output=True)
            unavailable(f"no network namespaces here: {step}: {done.stderr.strip()}")
    yield
    subprocess.run(remove, capture_output=True)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """``worker`` and ``far`` as an operator makes them, and a stranger's."""
    folder = tmp_path / "keys"
    for name in ("worker", "far", "stranger"):
        subprocess.run([sys.executable, "-m", "streamd", "keys", "new", name, "--dir", str(folder)], check=True)
    (folder / "clients").mkdir()
    shutil.copy(folder / "far.key", folder / "clients")
    return folder


def capture(keys: Path, key: str, camera: str, port: int, url: str, log: Path) -> subprocess.Popen[bytes]:
    """``streamd capture`` on the box."""
    command = ["ip", "netns", "exec", SPACE, sys.executable, "-m", "streamd", "capture", "--camera", camera]
    command += ["--url", url, "--connect", f"tcp://{HOST}:{port}"]
    command += ["--key", str(keys / f"{key}.key_secret"), "--server-key", str(keys / "worker.key")]
    with log.open("wb") as file:
        return subprocess.Popen(command, stderr=file, cwd=log.parent, env={**os.environ, "STREAMD_CONFIG": ""})


def test_a_camera_on_another_host_is_recognised_and_a_wrong_key_is_not_heard(
    box: None, keys: Path, tmp_path: Path, make_daemon: MakeDaemon, obama: NDArray[np.uint8]
) -> None:
    (port,) = free_ports(1)
    frames = {
        "listen": f"tcp://{HOST}:{port}",
        "server_key": str(keys / "worker.key_secret"),
        "clients": str(keys / "clients"),
    }
    folder = tmp_path / "rtsp-far"
    folder.mkdir()
    cameras = {"far": {"remote": True}, "near": {"remote": True}}
    with (
        RtspServer(folder, size=SIZE, bind=HOST) as server,
        make_daemon(cameras, extra={"frames": frames}) as daemon,
    ):
        server.show("cam1", obama)
        log = tmp_path / "wrong.log"
        wrong = capture(keys, "stranger", "near", port, server.url("cam1"), log)
        eventually(lambda: b"h264" in log.read_bytes(), timeout_s=60, what="the stranger watches its camera")
        right = capture(keys, "far", "far", port, server.url("cam1"), tmp_path / "right.log")
        try:
            named = daemon.await_event("face.identified", camera="far", timeout_s=60)
            right.send_signal(signal.SIGTERM)
            daemon.await_event("camera.offline", camera="far", after=named.seq)
            assert right.wait(60) == 0
            assert wrong.poll() is None
            assert daemon.events("camera.online", camera="near") == []
        finally:
            for process in (wrong, right):
                process.kill()
                process.wait()


def test_an_address_for_others_without_keys_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "streamd.yaml"
    path.write_text('cameras:\n  far:\n    remote: true\nframes:\n  listen: "tcp://0.0.0.0:5570"\n')
    done = subprocess.run(
        [sys.executable, "-m", "streamd", "check", "-c", str(path)], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 78
    assert "streamd.yaml:5:3: frames.listen" in done.stderr
    dial = [sys.executable, "-m", "streamd", "capture", "--camera", "x", "--url", "rtsp://h/x"]
    done = subprocess.run(
        [*dial, "--connect", f"tcp://{HOST}:5570"], capture_output=True, text=True, timeout=30, cwd=tmp_path
    )
    assert done.returncode in (64, 78)
    assert "CURVE keys" in done.stderr or "frames.listen" in done.stderr
