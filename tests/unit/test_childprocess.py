from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from streamd.childprocess import THREAD_POOLS, Child, cause, environment, policy
from streamd.config import CameraConfig, Config
from streamd.lifecycle import Lifecycle
from streamd.specs import Spec

_COUNT = """
import json, os
import numpy as np, cv2
big = np.ones((500, 500), np.float32)
big @ big
cv2.GaussianBlur(cv2.resize(big, (1000, 1000)), (0, 0), 5)
print(json.dumps([cv2.getNumThreads(), len(os.listdir("/proc/self/task"))]))
"""


def counted(env: dict[str, str]) -> list[int]:
    done = subprocess.run([sys.executable, "-c", _COUNT], env=env, capture_output=True, check=True, timeout=60)
    counts: list[int] = json.loads(done.stdout)
    return counts


def test_no_library_of_a_child_starts_threads_of_its_own() -> None:
    assert counted(environment()) == [1, 1]


def test_pools_that_were_set_outside_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENCV_FOR_THREADS_NUM", "2")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = environment()
    assert [found[name] for name in THREAD_POOLS] == ["3", "1", "1", "2"]
    assert counted(found)[0] == 2


@pytest.mark.timeout(60)
def test_nobody_waits_for_a_child_that_hangs_before_it_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The launch line of so many cameras is longer than what a pipe holds."""
    hangs = tmp_path / "python"
    hangs.write_text("#!/bin/sh\nexec sleep 600\n")
    hangs.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(hangs))
    config = Config(cameras={f"camera-{n}": CameraConfig(url=f"rtsp://192.0.2.1/{n}") for n in range(200)})
    child = Child(Spec("worker@0", "worker", 0, config), Lifecycle(policy(config, "worker"), jitter=lambda: 0.0))
    child.start("ipc:///nowhere", 0.0)
    try:
        assert child.exit_code() is None
    finally:
        child.signal(signal.SIGKILL)
        assert child.process is not None
        child.process.wait()
        assert child.exit_code() == -signal.SIGKILL


def test_a_child_that_ends_before_it_reads_is_taken_leave_of_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The supervisor outlives it: what could not be written is not written when the pipe is closed, either."""
    nothing = tmp_path / "python"
    nothing.write_text("#!/bin/sh\n")
    nothing.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(nothing))
    start = subprocess.Popen

    def started_and_over(*args: object, **options: object) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] = start(*args, **options)  # type: ignore[call-overload]
        process.wait()
        return process

    monkeypatch.setattr(subprocess, "Popen", started_and_over)
    config = Config(cameras={"door": CameraConfig(url="rtsp://192.0.2.1/1")})
    child = Child(Spec("worker@0", "worker", 0, config), Lifecycle(policy(config, "worker"), jitter=lambda: 0.0))
    child.start("ipc:///nowhere", 0.0)
    assert child.exit_code() == 0
    assert child.process is None


@pytest.mark.parametrize(
    ("code", "words"),
    [(70, "exit code 70"), (-9, "killed by SIGKILL"), (-40, "killed by signal 40")],
)
def test_any_end_has_words(code: int, words: str) -> None:
    assert cause(code) == words
