"""``streamd bench gallery``: how fast, how exact and how large the search structures are, side by side.

Two kinds of made embeddings of dimension 128:

* ``isotropic``: people lie in every direction alike. The approximate index is asked for a recall of 0.98.
* ``faces``: people have as much in common as SFace gives them: the similarity of two has the mean 0.095 and the
  deviation 0.089. It is asked for 0.995.

Everybody has four photos, of similarity 0.68 on average with the deviation 0.093, as SFace's in the development data
(docs/accuracy.md).
Probes are further photos of people in the gallery: what an approximate search must not miss.
"""

from __future__ import annotations

import ctypes
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from streamd.errors import UnavailableError
from streamd.gallery.delta import Mark
from streamd.gallery.hnsw import HnswIndex
from streamd.gallery.index import Entries, ExactIndex
from streamd.gallery.savedindex import SavedIndex, load_index, save_index

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

Kind = Literal["isotropic", "faces"]
KINDS: tuple[Kind, ...] = ("isotropic", "faces")
DIM = 128
PHOTOS = 4
_SAME, _SAME_STD = 0.68, 0.093
_COMMON: dict[Kind, float] = {"isotropic": 0.0, "faces": 0.095 / _SAME}
"""What all people's embeddings have in common."""
RECALL: dict[Kind, float] = {"isotropic": 0.98, "faces": 0.995}
_PROBES = 1000
_EXACT_PROBES_MOST = 400
_BLOCK = 20_000
_MODEL = "bench@0"


@dataclass(frozen=True, slots=True)
class Row:
    """One engine on one set of faces."""

    engine: str
    kind: Kind
    faces: int
    build_s: float
    memory_ratio: float
    """Resident memory over the raw embeddings', once the gallery is built and nothing else is held."""
    p50_us: float
    p99_us: float
    batch16_p50_us: float
    """Of a whole batch of 16."""
    recall: float
    """Share of probes whose nearest face is found."""
    ef: int | None = None
    load_s: float | None = None
    """From the saved files to the first answer."""


def engines() -> list[str]:
    """Those that are installed."""
    return [
        "exact",
        "hnsw",
        *(name for name, module in (("faiss", "faiss"), ("usearch", "usearch")) if find_spec(module)),
    ]


def compare(sizes: Sequence[int], kinds: Sequence[Kind], *, only: Sequence[str] = ()) -> Iterator[Row]:
    """Each engine on each set, in a process of its own, so that its memory can be told."""
    for size in sizes:
        for kind in kinds:
            for engine in engines():
                if not only or engine in only:
                    yield _in_process(engine, kind, size)


def _in_process(engine: str, kind: Kind, size: int) -> Row:
    command = [sys.executable, "-m", "streamd.bench.gallery", engine, kind, str(size)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise UnavailableError(f"{engine} with {size} faces ended with {done.returncode}: out of memory?")
    return Row(**json.loads(done.stdout))


def made(kind: Kind, size: int) -> tuple[Vectors, Vectors]:
    """Gallery of ``size`` rows, person after person, and probes."""
    chance = np.random.default_rng(7)
    people = -(-size // PHOTOS)
    common, share = _units(chance, 1), _COMMON[kind]
    gallery = np.empty((size, DIM), np.float32)
    wanted = np.sort(chance.choice(people, min(_PROBES, people), replace=False))
    probes: list[Vectors] = []
    for at in range(0, people, _BLOCK):
        count = min(_BLOCK, people - at)
        centres = _normed(np.sqrt(share) * common + np.sqrt(1 - share) * _units(chance, count))
        rows = gallery[PHOTOS * at : PHOTOS * (at + count)]
        rows[:] = _photos(chance, np.repeat(centres, PHOTOS, axis=0))[: len(rows)]
        probes.append(_photos(chance, centres[wanted[(wanted >= at) & (wanted < at + count)] - at]))
    return gallery, np.concatenate(probes)


def _photos(chance: np.random.Generator, centres: Vectors) -> Vectors:
    """One photo of each; two of one person have the mean similarity ``_SAME``, with the deviation ``_SAME_STD``."""
    near = np.clip(chance.normal(_SAME, _SAME_STD * np.sqrt(2), (len(centres), 1)), 0.1, 0.98)
    return _normed(np.sqrt(near) * centres + np.sqrt(1 - near) * _units(chance, len(centres)))


def _units(chance: np.random.Generator, count: int) -> Vectors:
    return _normed(chance.standard_normal((count, DIM), dtype=np.float32))


def _normed(vectors: NDArray[Any]) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


Search = Callable[["Vectors"], "NDArray[Any]"]
"""Similarity of the nearest face of each probe."""


def measure(engine: str, kind: Kind, size: int) -> Row:
    """Build, search, and ask the operating system what it takes."""
    gallery, probes = made(kind, size)
    best = _best(gallery, probes)
    before = _resident_bytes()
    started_s = time.perf_counter()
    search, ef, saved = _BUILDERS[engine](gallery, kind)
    build_s = time.perf_counter() - started_s
    raw = gallery.nbytes
    if engine != "exact":
        del gallery
    memory = _resident_bytes() - before + (raw if engine != "exact" else 0)
    few = probes[:_EXACT_PROBES_MOST] if engine == "exact" and size > 100_000 else probes
    singles = _times_us(search, [few[i : i + 1] for i in range(len(few))])
    batches = _times_us(search, [few[i : i + 16] for i in range(0, len(few) - 15, 16)])
    found = np.concatenate([search(few[i : i + 1]) for i in range(len(few))])
    load_s = _load_s(saved, probes) if saved is not None else None
    return Row(
        engine=engine,
        kind=kind,
        faces=size,
        build_s=round(build_s, 3),
        memory_ratio=round(memory / raw, 2),
        p50_us=round(float(np.percentile(singles, 50)), 1),
        p99_us=round(float(np.percentile(singles, 99)), 1),
        batch16_p50_us=round(float(np.percentile(batches, 50)), 1),
        recall=round(float(np.mean(found >= best[: len(found)] - 1e-5)), 4),
        ef=ef,
        load_s=None if load_s is None else round(load_s, 2),
    )


Built = tuple[Search, int | None, HnswIndex | None]


def _exact(gallery: Vectors, kind: Kind) -> Built:
    index = ExactIndex(_entries(gallery))
    return (lambda probes: _similarities(index, probes)), None, None


def _hnsw(gallery: Vectors, kind: Kind) -> Built:
    index = HnswIndex(_entries(gallery), recall=RECALL[kind], threads=2)
    return (lambda probes: _similarities(index, probes)), index.ef, index


def _faiss(gallery: Vectors, kind: Kind) -> Built:
    import faiss

    faiss.omp_set_num_threads(2)
    index = faiss.IndexHNSWFlat(DIM, 16, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 200
    index.add(gallery)
    faiss.omp_set_num_threads(1)
    index.hnsw.efSearch = 128
    return (lambda probes: index.search(probes, 1)[0][:, 0]), 128, None


def _usearch(gallery: Vectors, kind: Kind) -> Built:
    from usearch.index import Index

    index = Index(ndim=DIM, metric="ip", dtype="f32", connectivity=16, expansion_add=200, expansion_search=128)
    index.add(np.arange(len(gallery)), gallery, threads=2)
    return (lambda probes: 1 - np.asarray(index.search(probes, 1, threads=1).distances).reshape(-1)), 128, None


_BUILDERS: dict[str, Callable[[Vectors, Kind], Built]] = {
    "exact": _exact,
    "hnsw": _hnsw,
    "faiss": _faiss,
    "usearch": _usearch,
}


def _entries(gallery: Vectors) -> Entries:
    names = [f"{i:032x}" for i in range(len(gallery) // PHOTOS + 1)]
    return Entries(gallery, np.arange(len(gallery)), [names[i // PHOTOS] for i in range(len(gallery))])


def _similarities(index: ExactIndex | HnswIndex, probes: Vectors) -> NDArray[np.float32]:
    return np.array([hits[0].similarity if hits else -1.0 for hits in index.search(probes, 2)], np.float32)


def _best(gallery: Vectors, probes: Vectors) -> NDArray[np.float32]:
    best = np.full(len(probes), -1.0, np.float32)
    for at in range(0, len(gallery), _BLOCK):
        np.maximum(best, (probes @ gallery[at : at + _BLOCK].T).max(axis=1), out=best)
    return best


def _times_us(search: Search, batches: Sequence[Vectors]) -> NDArray[np.float64]:
    times = []
    for batch in batches:
        started_s = time.perf_counter()
        search(batch)
        times.append(1e6 * (time.perf_counter() - started_s))
    return np.array(times)


def _load_s(index: HnswIndex, probes: Vectors) -> float:
    with TemporaryDirectory(prefix="streamd-") as folder:
        path = Path(folder) / "gallery.sqlite"
        save_index(path, _MODEL, SavedIndex(index, Mark()), None)
        started_s = time.perf_counter()
        loaded = load_index(path, _MODEL, None)
        if loaded is None:
            raise UnavailableError(f"{path}: the saved index is not there")
        loaded.index.search(probes[:1], 2)
        return time.perf_counter() - started_s


def _resident_bytes() -> int:
    ctypes.CDLL(None).malloc_trim(0)  # what was freed is not counted
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def crossover(rows: Sequence[Row]) -> int | None:
    """The smallest number of faces at which a single approximate search is faster than an exact one."""
    times = {(row.engine, row.faces): row.p50_us for row in rows if row.kind == "faces"}
    sizes = sorted(size for engine, size in times if engine == "exact")
    return next((n for n in sizes if times.get(("hnsw", n), float("inf")) < times["exact", n]), None)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(measure(sys.argv[1], sys.argv[2], int(sys.argv[3])))))  # type: ignore[arg-type]
