"""Every command and block of the README is run, as a new user would, in a home of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import yaml
from e2e.conftest import MakeDaemon
from e2e.daemon import eventually, free_ports
from numpy.typing import NDArray
from rtsp_fixtures import RtspServer

ROOT = Path(__file__).parents[2]
DEMO = Path("state/streamd/demo/streamd.yaml")
README = (ROOT / "README.md").read_text()


pytestmark = pytest.mark.timeout(240)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def home(tmp_path: Path, models_dir: Path, faces_dir: Path) -> dict[str, str]:
    """An environment with its own home; models and the demonstration's photographs are there already."""
    state = tmp_path / "state" / "streamd"
    (state / "demo").mkdir(parents=True)
    (state / "models").symlink_to(models_dir)
    (state / "demo" / "faces").symlink_to(faces_dir)
    shutil.copy(faces_dir / "obama.jpg", tmp_path / "ann.jpg")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state"), "PATH": path}


def until_line(command: list[str], wanted: list[str], *, cwd: Path, env: dict[str, str]) -> tuple[str, int]:
    """Run until every wanted text was printed, then Ctrl-C; what was printed, and the exit code."""
    process = subprocess.Popen(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    printed: list[str] = []
    assert process.stdout is not None
    reader = threading.Thread(target=lambda: printed.extend(process.stdout or ()), daemon=True)
    reader.start()
    try:
        eventually(lambda: all(any(w in line for line in printed) for w in wanted), timeout_s=100, what=str(wanted))
    except AssertionError:
        print("".join(printed), file=sys.stderr)
        raise
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            code = process.wait(30)
        except subprocess.TimeoutExpired:  # Python drops an interrupt that comes while it frees something
            os.killpg(process.pid, signal.SIGINT)
            code = process.wait(30)
        reader.join(5)
        process.stdout.close()
    return "".join(printed), code


def test_the_demonstration_shows_two_known_people_and_a_stranger(home: dict[str, str], tmp_path: Path) -> None:
    assert "make run\n" in blocks("sh")
    assert "$(BIN)/streamd run --demo" in (ROOT / "Makefile").read_text()
    wanted = ["Barack Obama", "Eileen Collins", "unknown"]
    printed, code = until_line([sys.executable, "-m", "streamd", "run", "--demo"], wanted, cwd=tmp_path, env=home)
    assert code == 0, printed
    assert "Traceback" not in printed
    done = _run("streamd models list", tmp_path, {**home, "STREAMD_CONFIG": str(tmp_path / DEMO)})
    assert done.returncode == 0, done.stderr
    assert "Barack Obama" in done.stdout


def test_a_camera_of_ones_own_in_twelve_lines(
    home: dict[str, str], tmp_path: Path, rtsp: RtspServer, obama: NDArray[np.uint8]
) -> None:
    (config,) = blocks("yaml")
    assert len(config.splitlines()) <= 12
    body = yaml.safe_load(config)
    url = body["cameras"]["door"]["url"]
    ports = free_ports(3)
    # The camera of the README is not on this machine, and ports may be taken.
    config = config.replace(url, rtsp.url("private", user="user:${DOOR_PASSWORD}")) + (
        f"events: {{publish: 'tcp://127.0.0.1:{ports[0]}', replay: 'tcp://127.0.0.1:{ports[1]}'}}\n"
        f"gateway: {{listen: '127.0.0.1:{ports[2]}'}}\n"
    )
    (tmp_path / "streamd.yaml").write_text(config)
    (script,) = (b for b in blocks("sh") if "streamd check" in b)
    *commands, last = [line.split("#")[0].strip() for line in script.splitlines()]
    assert last == "streamd run --print-events"
    commands.remove(". .venv/bin/activate")
    env = {**home, "DOOR_PASSWORD": "secret"}
    done = subprocess.run(
        ["bash", "-ec", "\n".join(commands)], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    rtsp.show("private", obama)
    command = [sys.executable, "-m", *last.split()]
    printed, code = until_line(command, ["Ann Smith"], cwd=tmp_path, env=env)
    assert code == 0
    assert "secret" not in printed


def test_keys_for_another_box_are_made(home: dict[str, str], tmp_path: Path) -> None:
    done = _run("streamd keys", tmp_path, home)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "keys" / "yard.key").exists()


def _run(mark: str, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the one block of shell commands that contains ``mark``."""
    (script,) = (b for b in blocks("sh") if mark in b)
    return subprocess.run(["bash", "-ec", script], cwd=cwd, env=env, capture_output=True, text=True, timeout=100)


def test_the_python_example_prints_a_name(
    rtsp: RtspServer, make_daemon: MakeDaemon, obama: NDArray[np.uint8], home: dict[str, str], tmp_path: Path
) -> None:
    (example,) = (b for b in blocks("python") if "subscribe" in b)
    with make_daemon({"door": {"url": rtsp.url("cam1")}}) as daemon:
        rtsp.show("cam1", obama)
        daemon.await_event("face.identified")
        # The example listens at the default ports; this daemon has others.
        given = f"subscribe(publish={daemon.publish!r}, replay={daemon.replay!r}, "
        script = example.replace("subscribe(since", given + "since")
        command = [sys.executable, "-u", "-c", script]
        printed, _ = until_line(command, ["Barack Obama"], cwd=tmp_path, env=home)
        assert "door" in printed


def test_the_two_questions_are_answered_for_ones_own_photos(
    home: dict[str, str], tmp_path: Path, faces_dir: Path
) -> None:
    (example,) = (b for b in blocks("python") if "verify" in b)
    for name, photo in (("a", "obama"), ("b", "obama2"), ("party", "obama3")):
        shutil.copy(faces_dir / f"{photo}.jpg", tmp_path / f"{name}.jpg")
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, env=home, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("True [")


def test_every_file_that_the_readme_points_to_exists() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
