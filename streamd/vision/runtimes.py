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
from streamd.vision import openvino
from streamd.vision.engines import CPU, Array, Engine, Feed, open_engine

logger = logging.getLogger(__name__)

LIBRARIES: tuple[Library, ...] = ("onnxruntime", "openvino", "openvino-bf16")

WORTH_IT = 0.9
"""Another runtime must take at most this share of onnxruntime's time: it costs memory and a longer start."""
LEAST_COSINE = 0.999
"""Between the embeddings of two runtimes."""
TOLERANCE = 1e-3
"""Absolute and relative, of anything else that they give."""
ROUNDS, ROUND_S = 3, 0.25
FREE_SIZE = (384, 640)
"""Height and width at which networks for pictures of any size are measured."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found for one model on one machine."""

    best: Library
    ms: dict[Library, float]
    """CPU milliseconds of one picture, by library."""
    disagree: list[str]
    """Libraries whose outputs are not the same."""
    sha256: str
    """Of the model."""
    machine: str
    """The CPU and the versions of the libraries: on another machine this is not valid."""


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
    return measured if valid else None


def choose(path: Path, *, sha256: str) -> Measured:
    """Compare the runtimes that are installed on one thread, and write down the fastest that agrees.

    Raises:
        ModelError: onnxruntime cannot run the model.
    """
    reference = open_engine(path, [CPU], 1)
    feed = probe(reference.inputs)
    wanted = reference.run(feed)
    running: dict[Library, Engine] = {"onnxruntime": reference}
    disagree: list[str] = []
    for library in _others():
        try:
            engine: Engine = openvino.OpenVinoEngine(path, threads=1, bf16=library == "openvino-bf16")
            agrees = outputs_agree(engine.run(feed), wanted)
        except ModelError as error:
            logger.info("%s", error)
            continue
        if agrees:
            running[library] = engine
        else:
            disagree.append(library)
    ms = {name: round(1000 * seconds, 3) for name, seconds in _compared(running, feed).items()}
    fastest = min(running, key=lambda name: ms[name])
    best: Library = fastest if ms[fastest] <= WORTH_IT * ms["onnxruntime"] else "onnxruntime"
    measured = Measured(best, ms, disagree, sha256, machine())
    _write(record_of(path), measured)
    return measured


def outputs_agree(got: Sequence[Array], wanted: Sequence[Array], *, tolerance: float | None = None) -> bool:
    """Embeddings (one output of rows) by their direction, anything else by its values.

    These may be off by ``TOLERANCE``, or by the share ``tolerance`` of the largest of their output.
    """
    if [value.shape for value in got] != [value.shape for value in wanted]:
        return False
    if len(wanted) == 1 and wanted[0].ndim == 2:
        products = np.einsum("ij,ij->i", got[0], wanted[0], dtype=np.float64)
        lengths = np.linalg.norm(got[0], axis=1) * np.linalg.norm(wanted[0], axis=1)
        return bool((products >= LEAST_COSINE * lengths).all())
    if tolerance is None:
        return all(np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE) for a, b in zip(got, wanted, strict=True))
    return all(bool((np.abs(a - b) <= tolerance * np.abs(b).max()).all()) for a, b in zip(got, wanted, strict=True))


def probe(inputs: Mapping[str, tuple[object, ...]]) -> dict[str, Array]:
    """One fixed picture for each input: coarse shapes and fine grain, 0..255."""
    random = np.random.default_rng(11)
    feed = {}
    for name, shape in inputs.items():
        sides = [side if isinstance(side, int) else None for side in shape]
        height, width = (side or free for side, free in zip(sides[2:4], FREE_SIZE, strict=False))
        coarse = random.uniform(0, 255, (1, sides[1] or 3, math.ceil(height / 16), math.ceil(width / 16)))
        whole = coarse.repeat(16, axis=2).repeat(16, axis=3)[:, :, :height, :width]
        feed[name] = np.asarray(0.7 * whole + 0.3 * random.uniform(0, 255, whole.shape), np.float32)
    return feed


def machine() -> str:
    """What a measurement is valid for."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features"))), [])
    wide = " ".join(sorted({"avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16"} & set(flags)))
    return f"{cpu} ({wide}), onnxruntime {_onnxruntime_version()}, openvino {openvino.version()}"


def _onnxruntime_version() -> str | None:
    for wheel in ("onnxruntime", "onnxruntime-gpu"):
        try:
            return importlib.metadata.version(wheel)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _others() -> list[Library]:
    if openvino.version() is None:
        return []
    return ["openvino", "openvino-bf16"] if openvino.has_bf16() else ["openvino"]


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
    aside = path.with_name(f".{path.name}.writing")
    try:
        aside.write_text(json.dumps(asdict(measured), indent=2) + "\n", encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        raise ModelError(f"cannot write {path}: {error}") from error
