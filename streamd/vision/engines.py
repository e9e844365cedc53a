"""What a ``Session`` runs on, and onnxruntime as one such: on a CPU, on CUDA, or through TensorRT.

onnxruntime falls back to the CPU without a word when a GPU cannot be used, and says "GPU" all the same when asked for
its device: only the providers of the opened session are believed here.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from streamd.errors import ModelError
from streamd.vision import nvidia

if TYPE_CHECKING:
    from types import ModuleType

logger = logging.getLogger(__name__)

Array = NDArray[np.float32]
Feed = Mapping[str, Array]

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
_SHORT = {CPU: "cpu", CUDA: "cuda", TENSORRT: "tensorrt"}
BUCKETS = (1, 2, 4, 8, 16, 32)
"""Batch sizes in use on a CPU."""
GPU_BUCKETS = (1, 4, 8, 16, 32)
"""On a GPU each costs memory and seconds at the start, and rows that fill a batch cost next to nothing."""
_LARGEST_ON_CPU = 8
"""Larger batches gain nothing there and keep hundreds of megabytes for ever."""
LARGEST_OF_PICTURES = 8
"""On a GPU, of networks for pictures of any size: eight fill it, and more only make its arena grow."""
_PLACE = re.compile(r"^/onnxruntime_src/\S+:\d+ .*?\) (?=[A-Z[])")
_BINDINGS = 32
"""Shapes whose buffers on the device are kept."""
_UNRECORDED, _RECORDED = "-1", "1"


class Engine(Protocol):
    """A network as a runtime has loaded it."""

    @property
    def provider(self) -> str:
        """What it really runs on: ``cpu``, ``cuda``, ``cuda-fp16``, ``tensorrt``, ``tensorrt-fp16``, ``openvino``,
        ``openvino-bf16``, ``cpu-int8``, ``openvino-int8``."""

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
    """Buffers for one shape of input, made once: page-locked where there is such memory, and a copy on the device."""

    binding: Any
    staged: dict[str, NDArray[Any]]
    """Inputs on their way to the device."""
    inputs: dict[str, Any]
    """On the device."""
    outputs: list[NDArray[Any]]
    """On their way back; empty before the first run, which shows their shapes."""
    recorded: list[Any] = field(default_factory=list)
    """Outputs on the device, where runs are recorded; empty likewise."""
    options: Any = None
    """Which recording a run is."""


class OnnxruntimeEngine:
    """Implements ``Engine``. With ``bind_to`` inputs and outputs have buffers of their own that stay between runs.

    With ``records`` (the session was opened for it) the second run of its first shape is recorded as a CUDA graph, and
    every later one is a single launch: a hundred launches, one a node, take longer than what they launch. A session
    that records must see no other shape: cuDNN's plans, which are in the recording, are made anew for each.

    May be shared by threads: onnxruntime's sessions may, and runs with such buffers take turns.
    """

    def __init__(
        self, session: Any, path: Path, *, bind_to: tuple[str, int] | None = None, records: bool = False
    ) -> None:
        self._session = session
        self._path = path
        self.name = path.stem
        self._bind_to = bind_to
        self.records = records
        self._bindings: OrderedDict[tuple[tuple[int, ...], ...], _Binding] = OrderedDict()
        self._turn = threading.Lock()
        first = session.get_providers()[0]
        self.provider: str = _SHORT.get(first, first)
        self.inputs = {value.name: tuple(value.shape) for value in session.get_inputs()}
        self.outputs = {value.name: tuple(value.shape) for value in session.get_outputs()}
        self.largest_batch = _largest_batch(next(iter(self.inputs.values())), self.provider)
        self.page_locked: bool | None = None
        """Whether buffers are page-locked; None before the first run with buffers."""

    def run(self, feed: Feed) -> Sequence[Array]:
        try:
            if self._bind_to is not None:
                with self._turn:
                    return self._run_bound(feed, *self._bind_to)
            outputs: Sequence[Array] = self._session.run(None, dict(feed), self._run_options(_UNRECORDED))
            return outputs
        except runtime_errors() as error:
            raise ModelError(f"{self._path.name}: {first_line(error)}") from error

    def unbind(self) -> None:
        """Do without buffers from now on."""
        self._bind_to = None
        self._bindings.clear()

    def nodes_by_provider(self) -> dict[str, int] | None:
        """Nodes of the graph by what runs them; None where this onnxruntime does not tell."""
        tell = getattr(self._session, "get_provider_graph_assignment_info", None)
        if tell is None:
            return None
        found: dict[str, int] = {}
        try:
            for part in tell():
                name = _SHORT.get(part.ep_name, part.ep_name)
                found[name] = found.get(name, 0) + len(part.get_nodes())
        except runtime_errors() as error:
            logger.debug("%s: who runs what is not told: %s", self._path.name, first_line(error))
            return None
        return found or None

    def _run_bound(self, feed: Feed, device: str, number: int) -> Sequence[Array]:
        key = tuple(value.shape for value in feed.values())
        bound = self._bindings.get(key)
        if bound is None:
            bound = self._bindings[key] = self._bound(feed, device, number)
            if len(self._bindings) > _BINDINGS:
                self._bindings.popitem(last=False)
        self._bindings.move_to_end(key)
        for name, value in feed.items():
            np.copyto(bound.staged[name], value)
            bound.inputs[name].update_inplace(bound.staged[name])
        self._session.run_with_iobinding(bound.binding, bound.options)
        if bound.outputs:
            return [output.copy() for output in bound.outputs]
        if bound.recorded:
            return [output.numpy() for output in bound.recorded]
        outputs: Sequence[Array] = bound.binding.copy_outputs_to_cpu()
        if self.records:
            self._record(bound, outputs, device, number)
            return outputs
        bound.outputs = [self._buffer(output.shape, output.dtype, device, number) for output in outputs]
        for name, buffer in zip(self.outputs, bound.outputs, strict=True):
            bound.binding.bind_ortvalue_output(name, onnxruntime().OrtValue.ortvalue_from_numpy(buffer))
        return outputs

    def _record(self, bound: _Binding, outputs: Sequence[Array], device: str, number: int) -> None:
        """Have the next run of this shape recorded, with outputs where a recording finds them again."""
        make = onnxruntime().OrtValue.ortvalue_from_shape_and_type
        bound.recorded = [make(output.shape, output.dtype, device, number) for output in outputs]
        for name, value in zip(self.outputs, bound.recorded, strict=True):
            bound.binding.bind_ortvalue_output(name, value)
        if len(self._bindings) == 1:
            bound.options = self._run_options(_RECORDED)

    def _run_options(self, recording: str) -> Any:
        if not self.records:
            return None
        options = onnxruntime().RunOptions()
        options.add_run_config_entry("gpu_graph_id", recording)
        return options

    def _bound(self, feed: Feed, device: str, number: int) -> _Binding:
        binding = self._session.io_binding()
        staged, inputs = {}, {}
        for name, value in feed.items():
            staged[name] = self._buffer(value.shape, value.dtype, device, number)
            np.copyto(staged[name], value)
            inputs[name] = onnxruntime().OrtValue.ortvalue_from_numpy(staged[name], device, number)
            binding.bind_ortvalue_input(name, inputs[name])
        for name in self.outputs:
            binding.bind_output(name, device, number)
        return _Binding(binding, staged, inputs, [], options=self._run_options(_UNRECORDED))

    def _buffer(self, shape: tuple[int, ...], dtype: Any, device: str, number: int) -> NDArray[Any]:
        locked = nvidia.page_locked(shape, dtype, number) if device == "cuda" else None
        self.page_locked = locked is not None
        return np.empty(shape, dtype) if locked is None else locked


def _largest_batch(shape: tuple[object, ...], provider: str) -> int:
    batch, *sides = shape
    if isinstance(batch, int):
        return batch
    if provider == "cpu":
        return _LARGEST_ON_CPU
    return BUCKETS[-1] if all(isinstance(side, int) for side in sides) else LARGEST_OF_PICTURES


def open_engine(
    path: Path, providers: list[Any], threads: int, *, bind_to: tuple[str, int] | None = None, records: bool = False
) -> OnnxruntimeEngine:
    """Load a model with these providers; ``records``: they were told to record runs. Raises ModelError."""
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    # Spinning threads of one process steal the cores of the next: half the throughput with two processes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if providers != [CPU]:
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    options.log_severity_level = 3
    try:
        # Its own fallback would print to standard output, open another session, and at a failed run do so once more.
        session = runtime.InferenceSession(str(path), options, providers=providers, enable_fallback=0)
        return OnnxruntimeEngine(session, path, bind_to=bind_to, records=records)
    except runtime_errors() as error:
        raise ModelError(f"{path}: cannot load this model: {first_line(error)}") from error


@cache
def onnxruntime() -> ModuleType:
    """The library. Raises ModelError where it is missing or broken.

    Everybody else imports it, or a part of it, after this: the wheels of newer versions report to a server of their
    maker's from the moment they are loaded, and keep an id of the machine, unless this is in the environment by then.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(
            f"onnxruntime cannot be imported ({error}): pip install 'streamd[cpu]', "
            "or 'streamd[gpu]' on a machine with an NVIDIA GPU, never both"
        ) from error
    module: ModuleType = onnxruntime
    if hasattr(module, "set_default_logger_severity"):
        module.set_default_logger_severity(3)  # warnings of its own form in between; what matters is checked here
    if not hasattr(module, "InferenceSession"):  # what is left after one of the two wheels was removed
        raise ModelError("onnxruntime is broken: uninstall onnxruntime and onnxruntime-gpu, install one")
    return module


@cache
def runtime_errors() -> tuple[type[Exception], ...]:
    """onnxruntime's exceptions share no base of their own."""
    onnxruntime()
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = [kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return (*own, RuntimeError, ValueError)


def first_line(error: Exception) -> str:
    """What an exception says, in a line, without the place in onnxruntime's own source."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return _PLACE.sub("", line)
