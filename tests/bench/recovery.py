"""How long a killed child is away, and how soon a new photograph counts, on the demonstration's four cameras.

usage: python tests/bench/recovery.py [ROUNDS]      (from the repository's root, after `make models`)

Seconds from SIGKILL until the supervisor holds the child for running again (models loaded, sockets connected), and
from a photograph's arrival in the gallery's folder until the worker searches a gallery that has it. Prints JSON.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from e2e.daemon import Daemon, assert_contiguous, eventually

from streamd.config import Config
from streamd.demo.setup import prepare_demo


def main(rounds: int) -> None:
    demo = Config().state_dir / "demo"
    prepare_demo(demo)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copytree(demo / "gallery", root / "gallery")
        clips = {path.stem: {"url": str(path)} for path in sorted(demo.glob("clips-*/*.mp4"))[:4]}
        with Daemon(root / "d", models=Config().models_path, cameras=clips, gallery=root / "gallery") as daemon:
            away = {name: [round(killed(daemon, name), 2) for _ in range(rounds)] for name in victims(daemon)}
            eventually(lambda: daemon.metrics().total("streamd_gallery_people") == 2)
            photo = [round(enrolled(daemon, demo, root / "gallery", i), 2) for i in range(rounds)]
            assert_contiguous(daemon.journal())
    print(json.dumps({"away_s": away, "photo_counts_after_s": photo}))


def victims(daemon: Daemon) -> list[str]:
    return sorted(child.name for child in daemon.status().children if child.name.partition("@")[0] != "printer")


def killed(daemon: Daemon, name: str) -> float:
    """A first failure: the backoff has been reset by a fresh daemon only once, so later rounds wait longer."""
    before = daemon.kill(name)
    started_s = time.monotonic()
    eventually(lambda: daemon.running(name, instead_of=before), timeout_s=60)
    return time.monotonic() - started_s


def enrolled(daemon: Daemon, demo: Path, gallery: Path, index: int) -> float:
    people = daemon.metrics().total("streamd_gallery_people")
    target = gallery / f"Somebody {index}"
    target.mkdir()
    # Each round is another photograph: the same one under two names would be refused.
    photo = ("biden.jpg", "obama3.jpg", "obama2.jpg")[index % 3]
    started_s = time.monotonic()
    shutil.copy(demo / "faces" / photo, target / photo)
    eventually(lambda: daemon.metrics().total("streamd_gallery_people") == people + 1, timeout_s=30)
    return time.monotonic() - started_s


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
