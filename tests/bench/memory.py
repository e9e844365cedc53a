"""The worker's resident memory over time, every ten seconds, on real-time clips of real faces.

usage: python tests/bench/memory.py [SECONDS] [CAMERAS] [DETECTOR]   (from the repository's root, after `make models`)

With the detector ``slow_detector:SlowYunet`` (PYTHONPATH=tests) the worker is overloaded. Prints JSON, megabytes.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from e2e.daemon import Daemon

from streamd.config import Config
from streamd.demo.setup import prepare_demo

EVERY_S = 10.0


def main(seconds: float, cameras: int, detector: str) -> None:
    demo = Config().state_dir / "demo"
    prepare_demo(demo)
    clips = sorted(demo.glob("clips-*/*.mp4"))
    urls = {f"cam{i:02}": {"url": str(clips[i % len(clips)])} for i in range(cameras)}
    with tempfile.TemporaryDirectory() as folder:
        extra = {"detection": {"model": detector}}
        root = Path(folder) / "d"
        with Daemon(root, models=Config().models_path, cameras=urls, gallery=demo / "gallery", extra=extra) as daemon:
            series = []
            for _ in range(int(seconds / EVERY_S)):
                assert daemon.process is not None
                with contextlib.suppress(subprocess.TimeoutExpired):
                    sys.exit(f"the daemon ended with {daemon.process.wait(EVERY_S)}")
                resident = daemon.metrics().by("streamd_process_resident_bytes", "process")
                series.append(round(resident["worker@0"] / 1e6, 1))
    print(json.dumps({"cameras": cameras, "detector": detector, "worker_mb": series}))


if __name__ == "__main__":
    given = sys.argv[1:]
    main(
        float(given[0]) if given else 120.0,
        int(given[1]) if len(given) > 1 else 4,
        given[2] if len(given) > 2 else "yunet",
    )
