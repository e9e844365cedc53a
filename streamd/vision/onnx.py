"""Running ONNX models: one session, on the device that was asked for and no other.

onnxruntime falls back to the CPU without a word when a GPU cannot be used, and says "GPU" all the same
when asked for its device: only the providers of the opened session are believed here.
"""

from __future__ import annotations

import logging
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from streamd.errors import ModelError

if TYPE_CHECKING:
    from types import ModuleType

logger = logging.getLogger(__name__)

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_SHORT = {CPU: "cpu", CUDA: "cuda"}
BUCKETS = (1, 2, 4, 8, 16, 32)
"""Batch sizes in use. Each new shape makes the CUDA arena grow, so there are few of them."""
_LARGEST_ON_CPU = 8
"""Larger batches gain nothing there and keep hundreds of megabytes for ever."""

Array = NDArray[np.float32]
Feed = Mapping[str, Array]


class Session:
    """A loaded model. Not thread-safe where it runs on a GPU; cheap to call."""

    def __init__(self, runtime: Any, path: Path) -> None:
        self._runtime = runtime
        self._path = path
        self.provider: str = _SHORT.get(runtime.get_providers()[0], runtime.get_providers()[0])
        """The execution provider really in use: ``cpu``, ``cuda``."""
        self.inputs = {value.name: tuple(value.shape) for value in runtime.get_inputs()}
        """Shapes by name; free dimensions are strings or None."""
        self.outputs = {value.name: tuple(value.shape) for value in runtime.get_outputs()}
        batch = next(iter(self.inputs.values()))[0]
        ceiling = BUCKETS[-1] if self.on_gpu else _LARGEST_ON_CPU
        self.largest_batch = batch if isinstance(batch, int) else ceiling

    @property
    def on_gpu(self) -> bool:
        return self.provider == "cuda"

    def run(self, feed: Feed) -> dict[str, Array]:
        """One run; outputs by name.

        Raises:
            ModelError: the runtime failed (shapes that do not fit, memory of the device used up).
        """
        try:
            values = self._runtime.run(None, dict(feed))
        except _runtime_errors() as error:
            raise ModelError(f"{self._path.name}: {_first_line(error)}") from error
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


def open_session(path: Path, *, device: str = "auto", threads: int = 1, allow_cpu: bool = False) -> Session:
    """Load a model.

    Args:
        path: The ONNX file.
        device: ``cpu``; ``cuda:N``; or ``auto``, which takes the first GPU that onnxruntime can really
            use, else the CPU.
        threads: CPU threads of one run.
        allow_cpu: With ``cuda:N``, go on without the GPU where it cannot be used.

    Raises:
        ModelError: no onnxruntime, no such model, or the GPU that was asked for cannot be used.
    """
    if device == "cpu":
        return _open(path, [CPU], threads)
    if device != "auto" and not device.startswith("cuda:"):
        raise ModelError(f"device '{device}' is none of auto, cpu, cuda:N")
    problem = _try_gpu(path, device, threads)
    if isinstance(problem, Session):
        return problem
    if device != "auto" and not allow_cpu:
        raise ModelError(
            f"{path.name}: {device} cannot be used: {problem}; mend it ('streamd doctor'), "
            "or set workers.device to cpu, or workers.allow_cpu to true"
        )
    if device != "auto":
        logger.warning("%s runs on the CPU: %s cannot be used: %s", path.name, device, problem)
    return _open(path, [CPU], threads)


def open_bundle(path: Path, *, device: str = "auto", threads: int = 1, allow_cpu: bool = False) -> dict[str, Session]:
    """Load the networks of a bundle (a zip file of ONNX files), by name; arguments and errors as ``open_session``."""
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory(prefix="streamd-") as folder:
            paths = [Path(archive.extract(name, folder)) for name in archive.namelist()]
            return {
                file.name: open_session(file, device=device, threads=threads, allow_cpu=allow_cpu) for file in paths
            }
    except (OSError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path}: cannot read this bundle of networks: {error}") from error


def _try_gpu(path: Path, device: str, threads: int) -> Session | str:
    """The session on the GPU, or why there is none."""
    if CUDA not in _onnxruntime().get_available_providers():
        return "this onnxruntime is built without CUDA (pip install 'streamd[gpu]' in place of streamd[cpu])"
    _preload_cuda()
    number = device.removeprefix("cuda:") if device != "auto" else "0"
    options = {
        "device_id": number,
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
    }
    try:
        session = _open(path, [(CUDA, options), CPU], threads)
    except ModelError as error:
        return str(error)
    return session if session.on_gpu else "onnxruntime fell back to the CPU (driver, CUDA or cuDNN missing)"


def _open(path: Path, providers: list[Any], threads: int) -> Session:
    runtime = _onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    # Spinning threads of one process steal the cores of the next: half the throughput with two processes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return Session(runtime.InferenceSession(str(path), options, providers=providers), path)
    except _runtime_errors() as error:
        raise ModelError(f"{path}: cannot load this model: {_first_line(error)}") from error


@cache
def _onnxruntime() -> ModuleType:
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(
            f"onnxruntime cannot be imported ({error}): pip install 'streamd[cpu]', "
            "or 'streamd[gpu]' on a machine with an NVIDIA GPU, never both"
        ) from error
    module: ModuleType = onnxruntime
    if not hasattr(module, "InferenceSession"):  # what is left after one of the two wheels was removed
        raise ModelError("onnxruntime is broken: uninstall onnxruntime and onnxruntime-gpu, install one")
    return module


@cache
def _preload_cuda() -> None:
    """CUDA and cuDNN from pip's packages are not on the loader's path."""
    preload = getattr(_onnxruntime(), "preload_dlls", None)
    if preload is not None:
        preload()


@cache
def _runtime_errors() -> tuple[type[Exception], ...]:
    """onnxruntime's exceptions share no base of their own."""
    _onnxruntime()
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = [kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return (*own, RuntimeError, ValueError)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
