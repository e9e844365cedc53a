"""Changes a gallery in child processes that are killed at random moments, and looks after each what is left.

Run as ``gallerykills.py FOLDER KILLS SEED``; prints the number of kills that hit a change under way.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from streamd.config import GalleryConfig
from streamd.gallery.archive import export_gallery, opened_archive
from streamd.gallery.audit import audit
from streamd.gallery.importer import import_people
from streamd.gallery.live import LiveGallery
from streamd.gallery.rows import NewFace
from streamd.gallery.signing import Signer
from streamd.gallery.store import GalleryStore

MODEL = "kills@000000000000"
CHIP = cv2.imencode(".jpg", np.zeros((112, 112, 3), np.uint8))[1].tobytes()
NAMES = ["Anna", "Бруно", "محمد", "李", "Zoë"]
State = dict[str, tuple[str, ...]]


def kept(number: int) -> NewFace:
    vector = np.random.default_rng(number).normal(size=32).astype(np.float32)
    return NewFace(vector / np.linalg.norm(vector), MODEL, CHIP, 0.8, f"photo:{number}", f"{number:064x}")


def state_of(store: GalleryStore) -> State:
    return {p.name: tuple(sorted(f.source for f in store.faces_of(p.id))) for p in store.people()}


def change(store: GalleryStore, folder: Path, chance: random.Random) -> None:
    """One change; which one depends on chance and on who is there."""
    names = [p.name for p in store.people()]
    what = chance.random()
    if what < 0.45 or not names:
        store.add_faces(chance.choice(NAMES), [kept(chance.getrandbits(40)) for _ in range(chance.randint(1, 8))])
    elif what < 0.6 and (free := [n for n in NAMES if n not in names]):
        store.rename(chance.choice(names), chance.choice(free))
    elif what < 0.75:
        store.forget(chance.choice(names))
    elif what < 0.85 and len(names) > 1:
        store.merge(*chance.sample(names, 2))
    elif what < 0.92:
        reindex(store.path)
    else:
        trusted = {Signer.of(folder).public_key}
        with opened_archive(folder / "archive", folder, trusted=trusted, vault=None) as (_, inside):
            import_people(store, inside, merge=True)


def reindex(path: Path) -> int:
    """Build and save the search index; returns how many faces are in it."""
    with LiveGallery(path, model_id=MODEL, config=GalleryConfig(index="hnsw")) as live:
        live.await_build()
        return live.faces_count


def child(path: Path, folder: Path, seeds: list[int], acknowledge: int) -> None:
    with GalleryStore(path) as store:
        for seed in seeds:
            change(store, folder, random.Random(seed))
            os.write(acknowledge, b"+")
    os.write(acknowledge, b".")
    signal.pause()


def one_kill(path: Path, folder: Path, chance: random.Random) -> bool:
    """Kill one child; whether that hit it between two acknowledgements."""
    with GalleryStore(path) as store:
        expected = state_of(store)
    seeds = [chance.getrandbits(40) for _ in range(60)]
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            child(path, folder, seeds, writing)
        finally:
            os._exit(1)
    os.close(writing)
    time.sleep(chance.uniform(0.0, 0.08))  # the moment of the kill, not a wait for anything
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    done = said.count(b"+")
    possible = replayed(path, expected, folder, seeds=seeds[: done + 1])[done:]
    with GalleryStore(path) as store:
        problems = audit(store)
        if problems:
            raise SystemExit(f"after a kill: {problems}")
        found = state_of(store)
        faces = store.faces_by_model().get(MODEL, 0)
    if reindex(path) != faces:
        raise SystemExit("after a kill: the index has other faces than the gallery")
    if found not in possible:
        raise SystemExit(f"acknowledged {done} of {seeds}, expected one of {possible}, found {found}")
    return not said.endswith(b".")


def replayed(path: Path, before: State, folder: Path, *, seeds: list[int]) -> list[State]:
    """The states after none, one, two... of the changes, on a copy made before the child began."""
    origin = path.with_name("origin.sqlite")
    states = [before]
    with GalleryStore(origin) as store:
        for seed in seeds:
            change(store, folder, random.Random(seed))
            states.append(state_of(store))
    return states


def main() -> None:
    folder, kills, chance = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
    with GalleryStore(folder / "other.sqlite") as other:
        other.add_faces("Anna", [kept(1), kept(2)])
        other.add_faces("Carla", [kept(3)])
        export_gallery(other, folder / "archive", Signer.of(folder))
    path = folder / "gallery.sqlite"
    GalleryStore(path).close()
    hit = 0
    for _ in range(kills):
        for leftover in folder.glob("origin.sqlite*"):
            leftover.unlink()
        with GalleryStore(path) as store:
            store.database.copy_to(folder / "origin.sqlite")
        hit += one_kill(path, folder, chance)
    print(hit)


if __name__ == "__main__":
    main()
