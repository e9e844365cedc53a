from __future__ import annotations

import json
import subprocess
import sys

import pytest

from streamd.childprocess import THREAD_POOLS, environment

_COUNT = """
import json, os
import numpy as np, cv2
big = np.ones((1500, 1500), np.float32)
big @ big
cv2.GaussianBlur(cv2.resize(big, (4000, 4000)), (0, 0), 5)
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
