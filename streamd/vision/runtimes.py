"""Which library runs a network on this CPU: measured once, where the models are fetched, and written down beside it."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from streamd.errors import ModelError
from streamd.placement import Library
from streamd.vision import openvino, quantised
from streamd.vision.engines import CPU, Array, Engine, Feed, OnnxruntimeEngine, open_engine
from streamd.vision.probing import probes
from streamd.wholefile import write_whole

logger = logging.getLogger(__name__)

LIBRARIES: tuple[Library, ...] = ("onnxruntime", "openvino", "openvino-bf16", *quantised.LIBRARIES)

WORTH_IT = 0.9
"""Another runtime must take at most this share of onnxruntime's time: it costs memory and a longer start."""
LEAST_COSINE, LEAST_MEAN_COSINE = 0.999, 0.9995
"""Between the embeddings of two runtimes, of any probe and of all."""
TOLERANCE = 1e-3
"""Absolute and relative, of anything else that they give."""
ROUNDS, ROUND_S = 3, 0.25
_WIDE = {
    "avx2",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "asimddp",
    "bf16",
}
"""Instructions that decide which runtime is the fastest, as /proc/cpuinfo calls them."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found for one model on one machine."""

    best: Library
    ms: dict[Library, float]
    """CPU milliseconds of one picture, by library."""
    disagree: list[Library]
    """Libraries whose outputs are not the same."""
    sha256: str
    """Of the model."""
    machine: str
    """The CPU and the versions of the libraries: on another machine this is not valid."""
    int8_sha256: str | None = None
    """Of the 8-bit form that was a candidate; None where there was none that lost nothing."""


def record_of(path: Path) -> Path:
    return path.with_suffix(".runtime.json")


def chosen(path: Path) -> Library:
    """What ``choose`` found for this model here; onnxruntime where nothing valid is written down."""
    measured = read_record(path)
    if measured is not None:
        return measured.best
    if openvino.version() is not None and path.with_suffix(".json").exists():
        logger.info("%s: runtimes were not compared on this machine: run 'streamd models pull'", path.stem)
    return "onnxruntime"


def read_record(path: Path) -> Measured | None:
    """What is written down for this model, if it is of this model, this machine and these libraries."""
    try:
        measured = Measured(**json.loads(record_of(path).read_text(encoding="utf-8")))
        sha256 = json.loads(path.with_suffix(".json").read_text(encoding="utf-8")).get("sha256")
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    valid = measured.sha256 == sha256 and measured.machine == machine() and measured.best in LIBRARIES
    return measured if valid and measured.int8_sha256 == _int8_sha256(path) else None


def choose(path: Path, *, sha256: str) -> Measured:
    """Compare the runtimes that are installed on one thread, and write down the fastest that agrees.

    Raises:
        ModelError: onnxruntime cannot run the model.
    """
    running: dict[Library, Engine] = {"onnxruntime": open_library(path, "onnxruntime", threads=1)}
    feeds = list(probes(running["onnxruntime"].inputs))
    wanted = [running["onnxruntime"].run(feed) for feed in feeds]
    disagree: list[Library] = []
    for library in _others(path):
        try:
            engine = open_library(path, library, threads=1)
            # What an 8-bit form may change was measured on labelled pairs instead.
            agrees = library in quantised.LIBRARIES or all_agree([engine.run(feed) for feed in feeds], wanted)
        except ModelError as error:
            logger.info("%s", error)
            continue
        if agrees:
            running[library] = engine
        else:
            disagree.append(library)
    ms = {name: round(1000 * seconds, 3) for name, seconds in _compared(running, feeds[0]).items()}
    measured = Measured(_best(ms), ms, disagree, sha256, machine(), _int8_sha256(path))
    _write(record_of(path), measured)
    return measured


def _best(ms: Mapping[Library, float]) -> Library:
    """The fastest; each step away from onnxruntime, and the one to 8 bits, must be worth it."""
    fastest = min((name for name in ms if name not in quantised.LIBRARIES), key=lambda name: ms[name])
    best: Library = fastest if ms[fastest] <= WORTH_IT * ms["onnxruntime"] else "onnxruntime"
    eight = min((name for name in ms if name in quantised.LIBRARIES), key=lambda name: ms[name], default=best)
    return eight if ms[eight] <= WORTH_IT * ms[best] else best


def open_library(path: Path, library: Library, *, threads: int) -> Engine:
    """The network as this library has loaded it. Raises ModelError."""
    eight = library in quantised.LIBRARIES
    file = quantised.ready(path) if eight else path
    engine: openvino.OpenVinoEngine | OnnxruntimeEngine
    if library.startswith("openvino"):
        engine = openvino.OpenVinoEngine(file, threads=threads, bf16=library == "openvino-bf16")
    else:
        engine = open_engine(file, [CPU], threads)
        if threads == 1 and not isinstance(next(iter(engine.inputs.values()))[0], int):
            # One thread gains nothing by batches, and keeps their memory for ever: SFace 154 MB with single faces, 219
            # with batches of four, 306 with batches of eight.
            engine.largest_batch = 1
    if eight:
        engine.provider = f"{engine.provider}-int8"
    return engine


def outputs_agree(got: Sequence[Array], wanted: Sequence[Array], *, tolerance: float | None = None) -> bool:
    """Embeddings (one output of rows) by their direction, anything else by its values.

    These may be off by ``TOLERANCE``, or by the share ``tolerance`` of the largest of their output.
    """
    if [value.shape for value in got] != [value.shape for value in wanted]:
        return False
    if _are_embeddings(wanted):
        return bool((_cosines(got[0], wanted[0]) >= LEAST_COSINE).all())
    if tolerance is None:
        return all(np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE) for a, b in zip(got, wanted, strict=True))
    return all(bool((np.abs(a - b) <= tolerance * np.abs(b).max()).all()) for a, b in zip(got, wanted, strict=True))


def all_agree(got: Sequence[Sequence[Array]], wanted: Sequence[Sequence[Array]]) -> bool:
    """Whether the outputs agree for each of some feeds; embeddings also on the whole."""
    if not all(outputs_agree(some, those) for some, those in zip(got, wanted, strict=True)):
        return False
    cosines = [_cosines(a[0], b[0]) for a, b in zip(got, wanted, strict=True) if _are_embeddings(b)]
    return not cosines or float(np.concatenate(cosines).mean()) >= LEAST_MEAN_COSINE


def _are_embeddings(outputs: Sequence[Array]) -> bool:
    return len(outputs) == 1 and outputs[0].ndim == 2


def _cosines(a: Array, b: Array) -> Array:
    """Row by row; NaN where either is zero, which agrees with nothing."""
    with np.errstate(invalid="ignore"):
        products = np.einsum("ij,ij->i", a, b, dtype=np.float64)
        return np.asarray(products / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)), np.float32)


def machine() -> str:
    """What a measurement is valid for."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features"))), [])
    wide = " ".join(sorted(_WIDE & set(flags)))
    return f"{cpu} ({wide}), onnxruntime {_onnxruntime_version()}, openvino {openvino.version()}"


def _onnxruntime_version() -> str | None:
    for wheel in ("onnxruntime", "onnxruntime-gpu"):
        try:
            return importlib.metadata.version(wheel)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _others(path: Path) -> list[Library]:
    found: list[Library] = []
    if openvino.version() is not None:
        found += ["openvino", "openvino-bf16"] if openvino.has_bf16() else ["openvino"]
    record = quantised.read_record(path)
    lossless = record.lossless if record is not None else []
    return found + [name for name in lossless if openvino.version() is not None or not name.startswith("openvino")]


def _int8_sha256(path: Path) -> str | None:
    record = quantised.read_record(path)
    return record.sha256 if record is not None and record.lossless else None


def _compared(running: Mapping[Library, Engine], feed: Feed) -> dict[Library, float]:
    """CPU seconds of one run: the least of some rounds, in which all take their turns."""
    found = dict.fromkeys(running, math.inf)
    for _ in range(ROUNDS):
        for name, engine in running.items():
            found[name] = min(found[name], cpu_seconds(partial(engine.run, feed), at_least_s=ROUND_S))
    return found


def cpu_seconds(once: Callable[[], object], *, at_least_s: float) -> float:
    """CPU time of one call, by repeating it, warmed up by one."""
    once()
    calls, began_s, started_s = 0, time.process_time(), time.perf_counter()
    while time.perf_counter() - started_s < at_least_s:
        once()
        calls += 1
    return (time.process_time() - began_s) / max(1, calls)


def _write(path: Path, measured: Measured) -> None:
    try:
        write_whole(path, json.dumps(asdict(measured), indent=2) + "\n", mode=0o644)
    except OSError as error:
        raise ModelError(f"cannot write {path}: {error}") from error
