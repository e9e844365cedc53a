"""A gallery shared by two boxes: how long searches take, and how soon one box knows whom the other enrolled.

    PYTHONPATH=tests python tests/bench/shared_gallery.py [FACES]

Engines: the box's own copy, pgvector over a Unix socket, milvus-lite in this process.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from gallery_swap import MODEL, fill, kept
from pgserver import Postgres

from streamd.bench.gallery import made
from streamd.config import GalleryConfig
from streamd.gallery.hub import open_hub
from streamd.gallery.live import LiveGallery
from streamd.gallery.sharedwith import keep_shared
from streamd.gallery.sharing import Sharing
from streamd.gallery.store import GalleryStore
from streamd.sharing import STEP_S


def main() -> None:
    faces = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    vectors, probes = made("faces", faces)
    with tempfile.TemporaryDirectory(prefix="streamd-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        postgres = Postgres(folder / "postgres")
        configs = {
            "pgvector": GalleryConfig(kind="pgvector", dsn=postgres.new_database()),
            "milvus": GalleryConfig(kind="milvus", uri=str(folder / "milvus.db")),
        }
        try:
            report = {kind: measured(folder / kind, config, vectors, probes) for kind, config in configs.items()}
        finally:
            postgres.stop()
    sys.stdout.write(json.dumps({"faces": faces} | report, indent=1) + "\n")


def measured(folder: Path, config: GalleryConfig, vectors: np.ndarray, probes: np.ndarray) -> dict[str, object]:
    folder.mkdir()
    with GalleryStore(folder / "one.sqlite") as one, GalleryStore(folder / "two.sqlite") as two:
        fill(one, vectors)
        sharing = []
        for store in (one, two):
            keep_shared(store, config)
            sharing.append(Sharing(store, config, on_forgotten=lambda gone: None))
        started_s = time.perf_counter()
        sharing[0].step()
        sent_s = time.perf_counter() - started_s
        started_s = time.perf_counter()
        sharing[1].step()
        received_s = time.perf_counter() - started_s
        report = {
            "sent_per_s": round(len(vectors) / sent_s),
            "received_per_s": round(len(vectors) / received_s),
            "known_elsewhere_after_s": [round(known_after(one, two, sharing, n), 2) for n in range(5)],
        }
        with LiveGallery(two.path, model_id=MODEL, config=GalleryConfig()) as live:
            live.await_build()
            report["box_us"] = searched(lambda probe: live.search(probe), probes)
        hub = open_hub(config)
        report["server_us"] = searched(lambda probe: hub.nearest(MODEL, probe, 16), probes)
        hub.close()
        for side in sharing:
            side.close()
    return report


def known_after(one: GalleryStore, two: GalleryStore, sharing: list[Sharing], n: int) -> float:
    """Seconds, with both boxes stepping as their daemons do, half a step apart."""
    started_s = time.perf_counter()
    one.add_faces(f"new {n}", [kept(np.eye(128, dtype=np.float32)[n], f"new {n}")])
    while not two.has_source(f"shared:new {n}"):
        for side in sharing:
            time.sleep(STEP_S / 2)
            side.step()
    return time.perf_counter() - started_s


def searched(search: object, probes: np.ndarray) -> dict[str, float]:
    times = []
    for probe in probes[:200]:
        started_s = time.perf_counter()
        search(probe[None])  # type: ignore[operator]
        times.append(time.perf_counter() - started_s)
    return {"p50": round(1e6 * float(np.median(times)), 1), "p99": round(1e6 * float(np.percentile(times, 99)), 1)}


if __name__ == "__main__":
    main()
