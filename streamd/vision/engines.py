"""What a ``Session`` runs on, and onnxruntime as one such: on a CPU, on CUDA, or through TensorRT.

onnxruntime falls back to the CPU without a word when a GPU cannot be used, and says "GPU" all the same when asked for
its device: only the providers of the opened session are believed here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from streamd.errors import ModelError

if TYPE_CHECKING:
    from types import ModuleType

Array = NDArray[np.float32]
Feed = Mapping[str, Array]

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
_SHORT = {CPU: "cpu", CUDA: "cuda", TENSORRT: "tensorrt"}
BUCKETS = (1, 2, 4, 8, 16, 32)
"""Batch sizes in use. Each new shape makes the CUDA arena grow, so there are few of them."""
_LARGEST_ON_CPU = 8
"""Larger batches gain nothing there and keep hundreds of megabytes for ever."""
_BINDINGS = 16
"""Shapes whose buffers on the device are kept."""


class Engine(Protocol):
    """A network as a runtime has loaded it."""

    @property
    def provider(self) -> str:
        """What it really runs on: ``cpu``, ``cuda``, ``tensorrt``, ``openvino``, ``openvino-bf16``, ``cpu-int8``..."""

    @property
    def inputs(self) -> Mapping[str, tuple[object, ...]]:
        """Shapes by name; free dimensions are strings or None."""

    @property
    def outputs(self) -> Mapping[str, tuple[object, ...]]: ...

    @property
    def largest_batch(self) -> int: ...

    def run(self, feed: Feed) -> Sequence[Array]:
        """The outputs in order. Raises ModelError."""


@dataclass(slots=True)
class _Binding:
    """Buffers on the device for one shape of input, made once."""

    binding: Any
    inputs: dict[str, Any]


class OnnxruntimeEngine:
    """Implements ``Engine``. With ``bind_to`` inputs and outputs stay in buffers on that device between runs."""

    def __init__(self, session: Any, path: Path, *, bind_to: tuple[str, int] | None = None) -> None:
        self._session = session
        self._path = path
        self._bind_to = bind_to
        self._bindings: OrderedDict[tuple[tuple[int, ...], ...], _Binding] = OrderedDict()
        first = session.get_providers()[0]
        self.provider: str = _SHORT.get(first, first)
        self.inputs = {value.name: tuple(value.shape) for value in session.get_inputs()}
        self.outputs = {value.name: tuple(value.shape) for value in session.get_outputs()}
        batch = next(iter(self.inputs.values()))[0]
        ceiling = _LARGEST_ON_CPU if self.provider == "cpu" else BUCKETS[-1]
        self.largest_batch = batch if isinstance(batch, int) else ceiling

    def run(self, feed: Feed) -> Sequence[Array]:
        try:
            if self._bind_to is not None:
                return self._run_bound(feed, *self._bind_to)
            outputs: Sequence[Array] = self._session.run(None, dict(feed))
            return outputs
        except runtime_errors() as error:
            raise ModelError(f"{self._path.name}: {first_line(error)}") from error

    def _run_bound(self, feed: Feed, device: str, number: int) -> Sequence[Array]:
        key = tuple(value.shape for value in feed.values())
        bound = self._bindings.get(key)
        if bound is None:
            bound = self._bindings[key] = self._bound(feed, device, number)
            if len(self._bindings) > _BINDINGS:
                self._bindings.popitem(last=False)
        self._bindings.move_to_end(key)
        for name, value in feed.items():
            bound.inputs[name].update_inplace(np.ascontiguousarray(value))
        self._session.run_with_iobinding(bound.binding)
        outputs: Sequence[Array] = bound.binding.copy_outputs_to_cpu()
        return outputs

    def _bound(self, feed: Feed, device: str, number: int) -> _Binding:
        binding = self._session.io_binding()
        inputs = {}
        for name, value in feed.items():
            inputs[name] = onnxruntime().OrtValue.ortvalue_from_numpy(np.ascontiguousarray(value), device, number)
            binding.bind_ortvalue_input(name, inputs[name])
        for name in self.outputs:
            binding.bind_output(name, device, number)
        return _Binding(binding, inputs)


def open_engine(
    path: Path, providers: list[Any], threads: int, *, bind_to: tuple[str, int] | None = None
) -> OnnxruntimeEngine:
    """Load a model with these providers. Raises ModelError."""
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    # Spinning threads of one process steal the cores of the next: half the throughput with two processes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(str(path), options, providers=providers)
        return OnnxruntimeEngine(session, path, bind_to=bind_to)
    except runtime_errors() as error:
        raise ModelError(f"{path}: cannot load this model: {first_line(error)}") from error


@cache
def onnxruntime() -> ModuleType:
    """The library. Raises ModelError where it is missing or broken."""
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
def preload_cuda() -> None:
    """CUDA and cuDNN from pip's packages are not on the loader's path."""
    preload = getattr(onnxruntime(), "preload_dlls", None)
    if preload is not None:
        preload()


@cache
def runtime_errors() -> tuple[type[Exception], ...]:
    """onnxruntime's exceptions share no base of their own."""
    onnxruntime()
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = [kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return (*own, RuntimeError, ValueError)


def first_line(error: Exception) -> str:
    """What an exception says, in a line."""
    return (str(error).splitlines() or [type(error).__name__])[0]
