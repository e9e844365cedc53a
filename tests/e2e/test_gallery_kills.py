from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = 200

pytestmark = pytest.mark.timeout(300)


def test_a_gallery_survives_two_hundred_kills_with_every_acknowledged_change(tmp_path: Path) -> None:
    seed = random.SystemRandom().getrandbits(32)
    program = Path(__file__).with_name("gallerykills.py")
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path), str(KILLS), str(seed)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "PYTHONFAULTHANDLER": "1"},
        check=False,
    )
    assert done.returncode == 0, f"seed {seed}: {done.stderr[-3000:]}"
    assert int(done.stdout) > KILLS // 4, "hardly any kill hit a change under way"
