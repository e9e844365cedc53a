"""Running ONNX models: one session, on the device and the runtime that were asked for and no other."""

from __future__ import annotations

import logging
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from streamd.errors import ModelError
from streamd.placement import Placement, Runtime
from streamd.vision import engines, half, runtimes
from streamd.vision.engines import BUCKETS, CPU, CUDA, TENSORRT, Array, Engine, Feed, open_engine

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """One inference."""

    model: str
    """The file's name without its ending."""
    shape: tuple[int, ...]
    """Of the first input."""
    seconds: float


_watchers: list[Callable[[Run], None]] = []


def watch_runs(watcher: Callable[[Run], None]) -> None:
    """Tell ``watcher`` of every inference of this process from now on."""
    _watchers.append(watcher)


class Session:
    """A loaded model. Not thread-safe where it runs on a GPU; cheap to call."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self._engine = engine
        self._path = path
        self.provider = engine.provider
        """What it really runs on; see ``Engine``."""
        self.inputs = engine.inputs
        """Shapes by name; free dimensions are strings or None."""
        self.outputs = engine.outputs
        self.largest_batch = engine.largest_batch

    @property
    def on_gpu(self) -> bool:
        return self.provider in ("cuda", "tensorrt")

    def run(self, feed: Feed) -> dict[str, Array]:
        """One run; outputs by name.

        Raises:
            ModelError: the runtime failed (shapes that do not fit, memory of the device used up).
        """
        if not _watchers:
            return dict(zip(self.outputs, self._engine.run(feed), strict=True))
        started_s = time.perf_counter()
        values = self._engine.run(feed)
        run = Run(self._path.stem, next(iter(feed.values())).shape, time.perf_counter() - started_s)
        for watcher in _watchers:
            watcher(run)
        return dict(zip(self.outputs, values, strict=True))

    def run_rows(self, name: str, rows: Array) -> dict[str, Array]:
        """Run any number of rows of the input ``name`` (first axis) in batches of the fixed sizes."""
        parts = []
        for start, stop, size in batches(len(rows), self.largest_batch, pad=self.on_gpu):
            batch = rows[start:stop]
            if size > len(batch):
                batch = np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])
            outputs = self.run({name: batch})
            parts.append({key: value[: stop - start] for key, value in outputs.items()})
        if len(parts) == 1:
            return parts[0]
        return {key: np.concatenate([part[key] for part in parts]) for key in self.outputs if parts}


def batches(count: int, largest: int, *, pad: bool) -> Iterator[tuple[int, int, int]]:
    """Split ``count`` rows: (first, past the last, batch size) with sizes out of ``BUCKETS``.

    With ``pad`` the last batch is filled up to its size, which a GPU does for free; without, the rest is
    split further, because a CPU pays for every row.
    """
    start = 0
    while start < count:
        rest = count - start
        fitting = [size for size in BUCKETS if size <= min(rest, largest)] or [largest]
        size = fitting[-1]
        if pad and rest < largest:
            size = next((bucket for bucket in BUCKETS if bucket >= rest), largest)
        yield start, min(start + size, count), size
        start += size


def open_session(
    path: Path,
    *,
    device: str = "auto",
    threads: int = 1,
    allow_cpu: bool = False,
    runtime: Runtime = "onnxruntime",
    tensorrt: bool = False,
    fp16: bool = False,
) -> Session:
    """Load a model.

    Args:
        path: The ONNX file.
        device: ``cpu``; ``cuda:N``; or ``auto``, which takes the first GPU that onnxruntime can really
            use, else the CPU.
        threads: CPU threads of one run.
        allow_cpu: With ``cuda:N``, go on without the GPU where it cannot be used.
        runtime: What runs it where that is the CPU.
        tensorrt: On a GPU, through TensorRT, whose engines are kept beside the model.
        fp16: On a GPU, in half precision, if the outputs agree with those of single precision.

    Raises:
        ModelError: no such model or runtime, or the GPU that was asked for cannot be used.
    """
    if device == "cpu":
        return _on_cpu(path, threads, runtime)
    if device != "auto" and not device.startswith("cuda:"):
        raise ModelError(f"device '{device}' is none of auto, cpu, cuda:N")
    problem = _try_gpu(path, device, threads, tensorrt=tensorrt, fp16=fp16)
    if isinstance(problem, Session):
        return problem
    if device != "auto" and not allow_cpu:
        raise ModelError(
            f"{path.name}: {device} cannot be used: {problem}; mend it ('streamd doctor'), "
            "or set workers.device to cpu, or workers.allow_cpu to true"
        )
    if device != "auto":
        logger.warning("%s runs on the CPU: %s cannot be used: %s", path.name, device, problem)
    return _on_cpu(path, threads, runtime)


def open_bundle(path: Path, **placement: Unpack[Placement]) -> dict[str, Session]:
    """Load the networks of a bundle (a zip file of ONNX files), by name; arguments and errors as ``open_session``."""
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory(prefix="streamd-") as folder:
            paths = [Path(archive.extract(name, folder)) for name in archive.namelist()]
            return {file.name: open_session(file, **placement) for file in paths}
    except (OSError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path}: cannot read this bundle of networks: {error}") from error


def _on_cpu(path: Path, threads: int, runtime: Runtime) -> Session:
    library = runtimes.chosen(path) if runtime == "auto" else runtime
    return Session(runtimes.open_library(path, library, threads=threads), path)


def _try_gpu(path: Path, device: str, threads: int, *, tensorrt: bool, fp16: bool) -> Session | str:
    """The session on the GPU, or why there is none."""
    available = engines.onnxruntime().get_available_providers()
    if CUDA not in available:
        return "this onnxruntime is built without CUDA (pip install 'streamd[gpu]' in place of streamd[cpu])"
    if tensorrt and TENSORRT not in available:
        return "this onnxruntime is built without TensorRT"
    engines.preload_cuda()
    number = int(device.removeprefix("cuda:")) if device != "auto" else 0
    cuda = {
        "device_id": str(number),
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
    }
    providers: list[Any] = [(CUDA, cuda), CPU]
    try:
        if tensorrt:
            providers.insert(0, (TENSORRT, _tensorrt_options(path, number, fp16=fp16)))
        source = half.converted(path) if fp16 and not tensorrt else path
        session = Session(open_engine(source, providers, threads, bind_to=("cuda", number)), path)
        if not session.on_gpu or (tensorrt and session.provider != "tensorrt"):
            what = "TensorRT" if tensorrt and session.on_gpu else "driver, CUDA or cuDNN"
            return f"onnxruntime fell back to the {session.provider.upper()} ({what} missing)"
        if fp16:
            half.require_agreement(session, Session(open_engine(path, [CPU], threads), path))
    except ModelError as error:
        return str(error)
    return session


def _tensorrt_options(path: Path, number: int, *, fp16: bool) -> dict[str, str]:
    """Building an engine takes minutes: it is kept beside the model."""
    cache = path.parent / "tensorrt"
    cache.mkdir(exist_ok=True)
    return {
        "device_id": str(number),
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(cache),
        "trt_fp16_enable": str(fp16),
    }
