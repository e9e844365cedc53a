"""Running ONNX models: one session, on the device and the runtime that were asked for and no other."""

from __future__ import annotations

import logging
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np

from streamd.errors import ModelError
from streamd.placement import Placement, Runtime
from streamd.vision import runtimes
from streamd.vision.engines import BUCKETS, CUDA, GPU_BUCKETS, Array, Engine, Feed, onnxruntime
from streamd.vision.gpu import Wish, open_on_gpu

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """One inference."""

    model: str
    """The file's name without its ending."""
    shape: tuple[int, ...]
    """Of the first input."""
    seconds: float
    cpu_s: float
    """Of the whole process meanwhile."""


_watchers: list[Callable[[Run], None]] = []


def watch_runs(watcher: Callable[[Run], None]) -> None:
    """Tell ``watcher`` of every inference of this process from now on."""
    _watchers.append(watcher)


class Session:
    """A loaded model; threads may share it."""

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
        return on_gpu(self.provider)

    def run(self, feed: Feed) -> dict[str, Array]:
        """One run; outputs by name.

        Raises:
            ModelError: the runtime failed (shapes that do not fit, memory of the device used up).
        """
        if not _watchers:
            return dict(zip(self.outputs, self._engine.run(feed), strict=True))
        started_s, began_cpu_s = time.perf_counter(), time.process_time()
        values = self._engine.run(feed)
        seconds, cpu_s = time.perf_counter() - started_s, time.process_time() - began_cpu_s
        run = Run(self._path.stem, next(iter(feed.values())).shape, seconds, cpu_s)
        for watcher in _watchers:
            watcher(run)
        return dict(zip(self.outputs, values, strict=True))

    def warm_up(self, name: str, shapes: Iterable[tuple[int, ...]]) -> None:
        """Have these shapes of the input ``name`` behind, where the first runs of each take long: on a GPU."""
        for shape in shapes if self.on_gpu else ():
            for _ in range(3):  # buffers, a recording, a run of it
                self._engine.run({name: np.zeros(shape, np.float32)})

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


def on_gpu(provider: str) -> bool:
    """Whether this is a provider that runs on a GPU."""
    return provider.startswith(("cuda", "tensorrt"))


def batches(count: int, largest: int, *, pad: bool) -> Iterator[tuple[int, int, int]]:
    """Split ``count`` rows: (first, past the last, batch size) with sizes out of ``BUCKETS`` or ``GPU_BUCKETS``.

    With ``pad`` the last batch is filled up to its size, which a GPU does for free; without, the rest is
    split further, because a CPU pays for every row.
    """
    sizes = GPU_BUCKETS if pad else BUCKETS
    start = 0
    while start < count:
        rest = count - start
        fitting = [size for size in sizes if size <= min(rest, largest)] or [largest]
        size = fitting[-1]
        if pad and rest < largest:
            size = next((bucket for bucket in sizes if bucket >= rest), largest)
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
    cuda_graphs: bool = False,
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
        fp16: On a GPU, in half precision.
        cuda_graphs: On a GPU, record the runs of each shape and play them again.

    Raises:
        ModelError: no such model or runtime, or the GPU that was asked for cannot be used or gives other outputs
            than the CPU.
    """
    if device == "cpu":
        return _on_cpu(path, threads, runtime)
    if device != "auto" and not device.startswith("cuda:"):
        raise ModelError(f"device '{device}' is none of auto, cpu, cuda:N")
    number = int(device.removeprefix("cuda:")) if device != "auto" else 0
    wish = Wish(number, threads, tensorrt=tensorrt, fp16=fp16, records=cuda_graphs)
    try:
        return Session(open_on_gpu(path, wish), path)
    except ModelError as error:
        problem = str(error)
    if device != "auto" and not allow_cpu:
        raise ModelError(
            f"{path.name}: {device} cannot be used: {problem}; mend it ('streamd doctor'), "
            "or set workers.device to cpu, or workers.allow_cpu to true"
        )
    # Whoever installed an onnxruntime for GPUs expects one also of "auto".
    expected = device != "auto" or CUDA in onnxruntime().get_available_providers()
    level = logging.WARNING if expected else logging.DEBUG
    logger.log(level, "%s runs on the CPU: %s cannot be used: %s", path.name, device, problem)
    return _on_cpu(path, threads, runtime)


def open_bundle(path: Path, **placement: Unpack[Placement]) -> dict[str, Session]:
    """Load the networks of a bundle (a zip file of ONNX files), by name; arguments and errors as ``open_session``."""
    keeps = placement.get("tensorrt") or placement.get("fp16")  # what is made of the networks, beside them
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory(prefix="streamd-") as aside:
            folder = path.with_suffix(".networks") if keeps else Path(aside)
            paths = [_unpacked(archive, name, folder) for name in archive.namelist()]
            return {file.name: open_session(file, **placement) for file in paths}
    except (OSError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path}: cannot read this bundle of networks: {error}") from error


def _unpacked(archive: zipfile.ZipFile, name: str, folder: Path) -> Path:
    """The file ``name``, written only if it is not there already: what is newer than it stays valid."""
    target = folder / name
    content = archive.read(name)
    if not target.exists() or target.read_bytes() != content:
        archive.extract(name, folder)
    return target


def _on_cpu(path: Path, threads: int, runtime: Runtime) -> Session:
    library = runtimes.chosen(path) if runtime == "auto" else runtime
    return Session(runtimes.open_library(path, library, threads=threads), path)
