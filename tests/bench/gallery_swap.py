"""How long searches wait while a large gallery changes, and how soon a new face is found.

    python tests/bench/gallery_swap.py [FACES]

One thread searches without a pause; another enrols people through a second connection and takes them over as the
worker's curator does (every 0.3 s); then enough come at once that the graph is built again and exchanged.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from streamd.bench.gallery import made
from streamd.config import GalleryConfig
from streamd.curator import PAUSE_S
from streamd.gallery.live import FRONT_MAX_FACES, LiveGallery
from streamd.gallery.rows import NewFace
from streamd.gallery.store import GalleryStore
from streamd.steadiness import settle

MODEL = "bench@0"


def kept(vector: np.ndarray, source: str) -> NewFace:
    return NewFace(vector, MODEL, b"chip", 0.9, source, source)


def fill(store: GalleryStore, vectors: np.ndarray) -> None:
    """One transaction of many faces; the store's own way would take one each."""
    with store.database.write() as connection:
        people = [(f"{i:032x}", f"person {i}", "command", 0.0) for i in range(len(vectors) // 4 + 1)]
        connection.executemany("INSERT INTO people (id, name, origin, created_wall_s) VALUES (?, ?, ?, ?)", people)
        rows = (
            (f"{i // 4:032x}", MODEL, vector.tobytes(), b"chip", 0.9, f"photo:{i}", str(i), 0.0)
            for i, vector in enumerate(vectors)
        )
        connection.executemany(
            "INSERT INTO faces (person_id, model_id, vector, chip, quality, source, source_sha256, created_wall_s)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        connection.execute(
            "INSERT INTO changes (at_wall_s, what, person_id, detail) VALUES (0, 'faces.added', '', 'bench')"
        )


class Searcher(threading.Thread):
    """Searches without a pause and keeps the longest times."""

    def __init__(self, gallery: LiveGallery, probes: np.ndarray) -> None:
        super().__init__(daemon=True)
        self.gallery, self.probes = gallery, probes
        self.times: list[float] = []
        self.failures = 0
        self.stop = threading.Event()

    def run(self) -> None:
        n = 0
        while not self.stop.is_set():
            started_s = time.perf_counter()
            found = self.gallery.search(self.probes[n % len(self.probes)][None])
            self.times.append(time.perf_counter() - started_s)
            self.failures += not found[0]
            n += 1

    def taken(self) -> dict[str, float]:
        times, self.times = np.array(self.times) * 1000, []
        return {
            "searches": len(times),
            "p50_ms": round(float(np.percentile(times, 50)), 2),
            "p99_ms": round(float(np.percentile(times, 99)), 2),
            "longest_ms": round(float(times.max()), 1),
        }


def main() -> None:
    faces = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    vectors, probes = made("faces", faces)
    new, _ = made("isotropic", FRONT_MAX_FACES + 100)
    with tempfile.TemporaryDirectory(prefix="streamd-") as folder:
        path = Path(folder) / "gallery.sqlite"
        with GalleryStore(path) as store:
            fill(store, vectors)
            with LiveGallery(path, model_id=MODEL, config=GalleryConfig(index="hnsw")) as gallery:
                gallery.await_build()
                searcher = Searcher(gallery, probes)
                settle()  # as the worker does once it is ready
                searcher.start()
                time.sleep(5)
                report = {"faces": faces, "still": searcher.taken()}
                report["new_face_found_after_s"] = found_after(store, gallery, new)
                report["enrolling"] = searcher.taken()
                built_s = swap(store, gallery, new)
                report |= {
                    "rebuild_s": built_s,
                    "building_and_swapping": searcher.taken(),
                    "failures": searcher.failures,
                }
                searcher.stop.set()
                searcher.join()
    sys.stdout.write(json.dumps(report, indent=1) + "\n")


def found_after(store: GalleryStore, gallery: LiveGallery, new: np.ndarray) -> dict[str, float]:
    """Seconds from the enrolment's commit to the first search that finds the face, twenty times."""
    times = []
    for n in range(20):
        store.add_faces(f"new {n}", [kept(new[n], f"new {n}")])
        started_s = time.perf_counter()
        while gallery.search(new[n][None])[0][0].name != f"new {n}":
            time.sleep(PAUSE_S)
            gallery.refresh()
        times.append(time.perf_counter() - started_s)
    return {"median": round(float(np.median(times)), 3), "longest": round(max(times), 3)}


def swap(store: GalleryStore, gallery: LiveGallery, new: np.ndarray) -> float:
    store.add_faces("crowd", [kept(vector, f"crowd {n}") for n, vector in enumerate(new)])
    started_s = time.perf_counter()
    gallery.refresh()
    gallery.await_build()
    return round(time.perf_counter() - started_s, 1)


if __name__ == "__main__":
    main()
