"""Nothing leaves the box: no library that streamd uses reports to anybody, while the daemon runs or at its end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.conftest import OBAMA
from e2e.fleet import WorkerBox
from lonelybox import LonelyBox

UNHEARD = {"CI": "", "TF_BUILD": "", "JENKINS_URL": "", "ORT_DISABLE_TELEMETRY": ""}
"""Where tests run by themselves some libraries are more discreet than at people's homes."""


@pytest.fixture
def box() -> Iterator[LonelyBox]:
    with LonelyBox() as box:
        yield box


def test_whoever_asks_for_a_name_is_heard(box: LonelyBox) -> None:
    program = "import socket\ntry: socket.getaddrinfo('nobody.example', 443)\nexcept OSError: pass"
    subprocess.run(box.command(sys.executable, "-c", program), check=True)
    assert any(b"nobody\x07example" in packet for packet in box.heard())


def test_nothing_leaves_a_box_on_which_the_daemon_runs(
    box: LonelyBox, tmp_path: Path, models_dir: Path, gallery: Path, visits: Path, faces_dir: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    env = {**UNHEARD, "HOME": str(home), "XDG_CACHE_HOME": str(home), "STREAMD_CONFIG": ""}
    camera = {"url": str(visits), "capture": {"image_fps": 5}}
    folder = tmp_path / "d"
    with WorkerBox(
        box, folder, models=models_dir, gallery=gallery, cameras={"door": camera}, env=env, extra={"gateway": {}}
    ) as daemon:
        daemon.await_event("face.identified", name=OBAMA)
        photo = str(faces_dir / "obama.jpg")
        for words in (["doctor", "--no-cameras"], ["verify", photo, photo]):
            command = box.command(sys.executable, "-m", "streamd", *words, "-c", str(daemon.config))
            done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
        assert daemon.stop() == 0
    assert [packet[:200] for packet in box.heard()] == []
    assert [path for path in home.rglob("*") if path.is_file()] == []
