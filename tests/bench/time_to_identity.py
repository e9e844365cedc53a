"""From the first frame that shows a known face on a real RTSP camera to its ``face.identified``.

usage: python tests/bench/time_to_identity.py [APPEARANCES]      (from the repository's root, after `make models`)

One face appears 20 times on one of four 1280x720 cameras at 15 fps, while the other three show the same view without
anybody; the RTSP server, which encodes all four, runs on the same machine. Prints JSON: seconds seen from outside (the
moment at which the server pushes the first picture with the face, to the event's own time stamp) and the daemon's own
histogram.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from e2e.daemon import Daemon, eventually
from rtsp_fixtures import RtspServer, placed

from streamd.config import Config
from streamd.demo.faces import pull_faces

SIZE = (1280, 720)


def main(appearances: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        faces = pull_faces(root / "faces")
        (root / "gallery" / "Barack Obama").mkdir(parents=True)
        shutil.copy(faces["obama.jpg"], root / "gallery" / "Barack Obama")
        photo = np.asarray(cv2.imread(str(faces["obama2.jpg"])), np.uint8)[100:900]
        nobody = np.full((SIZE[1], SIZE[0], 3), (96, 104, 100), np.uint8)
        with RtspServer(root, size=SIZE) as server:
            cameras = {f"cam{i}": {"url": server.url(f"cam{i}")} for i in range(1, 5)}
            daemon = Daemon(root / "d", models=Config().models_path, cameras=cameras, gallery=root / "gallery")
            with daemon:
                seconds = measure(daemon, server, photo, nobody, appearances)
                inside = daemon.metrics().quantiles("streamd_time_to_identity_seconds", (0.5, 0.95))
    print(
        json.dumps(
            {
                "appearances": len(seconds),
                "outside_p50_s": round(float(np.percentile(seconds, 50)), 3),
                "outside_p95_s": round(float(np.percentile(seconds, 95)), 3),
                "outside_max_s": round(max(seconds), 3),
                "metric_p50_s": inside[0],
                "metric_p95_s": inside[1],
            }
        )
    )


def measure(daemon: Daemon, server: RtspServer, photo: np.ndarray, nobody: np.ndarray, appearances: int) -> list[float]:
    for camera in daemon.body["cameras"]:
        daemon.await_event("camera.online", camera=camera)
    eventually(lambda: daemon.metrics().total("streamd_gallery_people") == 1)
    rng = np.random.default_rng(0)
    seconds: list[float] = []
    for _ in range(appearances):
        last = daemon.journal()[-1].seq
        at = (float(rng.uniform(0.2, 0.8)), float(rng.uniform(0.3, 0.7)))
        view = placed(photo, SIZE, height=int(rng.integers(300, 600)), at=at)
        shown_s = server.show("cam1", view)
        named = daemon.await_event("face.identified", camera="cam1", after=last)
        seconds.append(_wall(named.at) - (shown_s + time.time() - time.monotonic()))
        server.show("cam1", nobody)
        daemon.await_event("face.left", camera="cam1", after=named.seq)
    return seconds


def _wall(at: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(at).timestamp()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
