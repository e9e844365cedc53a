"""``streamd bench embedders``: what a face costs in each runtime, and whether the vectors are the same.

Times are taken in turns, so that a busy machine is unfair to nobody; memory is that of a process of its own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamd.config import Config
from streamd.domain import Bgr
from streamd.errors import ModelError, PhotoRefused
from streamd.interfaces import Detector, Embedder
from streamd.placement import Library
from streamd.vision import openvino
from streamd.vision.catalog import catalogue
from streamd.vision.crops import cut_chip
from streamd.vision.embedding import alignment_of
from streamd.vision.loading import load_detector, load_embedder
from streamd.vision.modelstore import ModelStore
from streamd.vision.photos import SUFFIXES, read_photo, shrink_for_detection

BATCHES, THREADS = (1, 4, 8), (1, 2)
ROUNDS, ROUND_S = 4, 0.25
REFERENCE: Library = "onnxruntime"
_DETECTION_PX = 1024


@dataclass(frozen=True, slots=True)
class Row:
    """One embedder in one runtime, with so many threads, given so many faces at once."""

    embedder: str
    runtime: str
    threads: int
    batch: int
    ms: float
    """Elapsed, a face."""
    cpu_ms: float
    ratio: float
    """CPU time, of onnxruntime's with as many threads and faces: elapsed time has a busy machine's other work in it."""
    memory_mb: float
    """By which the process grows with the embedder and batches of eight."""
    least_cosine: float
    """Between its vectors and onnxruntime's, over all faces."""
    mean_cosine: float


@dataclass(frozen=True, slots=True)
class Running:
    """An embedder that is loaded."""

    embedder: Embedder
    runtime: Library
    threads: int


def measure(config: Config, photos: Sequence[Path], *, models: Path, only: Sequence[str] = ()) -> Iterator[Row]:
    """Every embedder that is ready (or those named in ``only``), in every runtime that is installed.

    Raises:
        ModelError: none is ready, one that was named is not, or no photograph shows a face.
    """
    detector = load_detector(config.detection.model, models=models)
    for name in only or ready_embedders(models):
        running = loaded(name, models)
        chips = faces_of(photos, detector, running[0].embedder)
        yield from compare(name, running, chips, models)


def ready_embedders(models: Path) -> list[str]:
    """Names of the embedders that can be used. Raises ModelError where there are none."""
    store = ModelStore(models)
    known = catalogue(store.manifests).values()
    found = [m.name for m in known if m.kind == "embedder" and store.problem(m) is None]
    if not found:
        raise ModelError(f"no embedder is ready in {models}: run 'streamd models pull'")
    return found


def libraries() -> list[Library]:
    """What is installed and can be used on this CPU."""
    if openvino.version() is None:
        return [REFERENCE]
    return [REFERENCE, "openvino", *(("openvino-bf16",) if openvino.has_bf16() else ())]


def faces_of(photos: Sequence[Path], detector: Detector, embedder: Embedder) -> NDArray[np.uint8]:
    """Every face of the photographs and its mirror image, as the embedder wants it. Raises ModelError for none."""
    chips = []
    for path in photos:
        if path.suffix.lower() not in SUFFIXES:
            continue
        try:
            photo, _ = shrink_for_detection(read_photo(path), _DETECTION_PX)
        except PhotoRefused as refusal:
            raise ModelError(str(refusal)) from refusal
        for seen in detector.detect([photo], min_score=0.7)[0]:
            if seen.landmarks is not None:
                chip = cut_chip(Bgr(photo), seen.landmarks, alignment_of(embedder))
                chips += [chip, np.ascontiguousarray(chip[:, ::-1])]
    if not chips:
        raise ModelError("no face in any of the photographs")
    return np.stack(chips)


def loaded(name: str, models: Path) -> list[Running]:
    """One embedder in every runtime that is installed, with each number of threads. Raises ModelError."""
    return [
        Running(load_embedder(name, models=models, device="cpu", runtime=library, threads=threads), library, threads)
        for threads in THREADS
        for library in (libraries() if _has_runtimes(name, models) else [REFERENCE])
    ]


def _has_runtimes(name: str, models: Path) -> bool:
    """Whether it is a network, which runs in any runtime, and not another library's model."""
    return ModelStore(models).manifest(name, kind="embedder").prepared != "weights"


def compare(name: str, running: Sequence[Running], chips: NDArray[np.uint8], models: Path) -> Iterator[Row]:
    """Everything about one embedder, measured on these faces."""
    vectors = {(each.runtime, each.threads): each.embedder.embed(chips) for each in running}
    memory = {key: _grown_mb(name, *key, models) for key in vectors}
    for batch in BATCHES:
        costs = timed(running, np.resize(chips, (batch, *chips.shape[1:])))
        for each, (elapsed_s, cpu_s) in zip(running, costs, strict=True):
            reference = next(
                cost[1]
                for other, cost in zip(running, costs, strict=True)
                if (other.runtime, other.threads) == (REFERENCE, each.threads)
            )
            key = (each.runtime, each.threads)
            cosines = np.einsum("ij,ij->i", vectors[key], vectors[REFERENCE, each.threads], dtype=np.float64)
            yield Row(
                name,
                each.runtime if _has_runtimes(name, models) else name,
                each.threads,
                batch,
                round(1000 * elapsed_s / batch, 3),
                round(1000 * cpu_s / batch, 3),
                round(cpu_s / reference, 3),
                memory[key],
                round(float(cosines.min()), 6),
                round(float(cosines.mean()), 6),
            )


def timed(running: Sequence[Running], chips: NDArray[np.uint8]) -> list[tuple[float, float]]:
    """Elapsed and CPU seconds of a call, the least of some rounds, in which all take their turns."""
    best = [(math.inf, math.inf)] * len(running)
    for _ in range(ROUNDS):
        for place, each in enumerate(running):
            best[place] = min(best[place], _round(each.embedder, chips))
    return best


def _round(embedder: Embedder, chips: NDArray[np.uint8]) -> tuple[float, float]:
    embedder.embed(chips)
    calls, cpu_s, began_s = 0, time.process_time(), time.perf_counter()
    while time.perf_counter() - began_s < ROUND_S:
        embedder.embed(chips)
        calls += 1
    return (time.perf_counter() - began_s) / calls, (time.process_time() - cpu_s) / calls


def _grown_mb(name: str, library: Library, threads: int, models: Path) -> float:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(grown_mb, name, library, threads, models).result()


def grown_mb(name: str, library: Library, threads: int, models: Path) -> float:
    """By how much this process grows when it loads an embedder and uses it; only true of a fresh one."""
    before = _resident_bytes()
    embedder = load_embedder(name, models=models, device="cpu", runtime=library, threads=threads)
    alignment = alignment_of(embedder)
    for batch in BATCHES:
        embedder.embed(np.zeros((batch, alignment.height, alignment.width, 3), np.uint8) + np.uint8(90))
    return round((_resident_bytes() - before) / 1e6, 1)


def _resident_bytes() -> int:
    fields: Mapping[str, str] = dict(
        line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line
    )
    return int(fields["VmRSS"].split()[0]) * 1024
