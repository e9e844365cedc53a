"""OpenVINO's side of a ``Session``: an extra, which is faster than onnxruntime on many CPUs."""

from __future__ import annotations

import importlib.metadata
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from streamd.discretion import keep_to_ourselves
from streamd.errors import ModelError
from streamd.vision.engines import Array, Feed, first_line

_LARGEST_BATCH = 8


def version() -> str | None:
    """The installed version; None where it is not installed."""
    try:
        return importlib.metadata.version("openvino")
    except importlib.metadata.PackageNotFoundError:
        return None


def has_bf16() -> bool:
    """Whether this CPU computes in bfloat16."""
    return "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVinoEngine:
    """Implements ``Engine``. A network that takes pictures of one size is run picture by picture: batches gain nothing
    on a CPU, and a fixed shape is faster than a free one. Its threads take a picture each: two are twice as fast so,
    and not faster at all on one picture. Threads that share it take turns."""

    def __init__(self, path: Path, *, threads: int, bf16: bool) -> None:
        """Raises ModelError."""
        self._path = path
        self.provider = "openvino-bf16" if bf16 else "openvino"
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
            # Pinned to one core, all workers of a machine would share it.
            "ENABLE_CPU_PINNING": False,
        }
        try:
            model = _core().read_model(str(path))
            shapes = {value.get_any_name(): _shape(value) for value in model.inputs}
            self.largest_batch = _LARGEST_BATCH
            if all(isinstance(side, int) for shape in shapes.values() for side in shape[1:]):
                self.largest_batch = threads
                model.reshape({name: [1, *shape[1:]] for name, shape in shapes.items()})
            at_once = 1 if model.is_dynamic() else threads
            compiled = _core().compile_model(model, "CPU", {**settings, "NUM_STREAMS": at_once})
        except Exception as error:
            raise ModelError(f"{path}: OpenVINO cannot load this model: {first_line(error)}") from error
        self.inputs = shapes
        self.outputs = {value.get_any_name(): _shape(value) for value in model.outputs}
        self._requests = [compiled.create_infer_request() for _ in range(at_once)]
        self._ports = list(compiled.outputs)
        self._turn = threading.Lock()

    def run(self, feed: Feed) -> Sequence[Array]:
        try:
            with self._turn:
                return self._run(feed)
        except Exception as error:
            raise ModelError(f"{self._path.name}: {first_line(error)}") from error

    def _run(self, feed: Feed) -> Sequence[Array]:
        rows = len(next(iter(feed.values())))
        if rows == 1 or len(self._requests) == 1:
            self._requests[0].infer(dict(feed), share_inputs=True)
            return self._outputs(self._requests[0])
        parts = [part for start in range(0, rows, len(self._requests)) for part in self._at_once(feed, start)]
        return [np.concatenate(values) for values in zip(*parts, strict=True)]

    def _at_once(self, feed: Feed, start: int) -> list[list[Array]]:
        """A row for each request, from ``start`` on."""
        rows = range(start, min(start + len(self._requests), len(next(iter(feed.values())))))
        running = list(zip(rows, self._requests, strict=False))
        for row, request in running:
            request.start_async({name: value[row : row + 1] for name, value in feed.items()}, share_inputs=True)
        for _, request in running:
            request.wait()
        return [self._outputs(request) for _, request in running]

    def _outputs(self, request: Any) -> list[Array]:
        return [np.array(request.get_tensor(port).data) for port in self._ports]


def _shape(value: Any) -> tuple[object, ...]:
    return tuple(None if side.is_dynamic else side.get_length() for side in value.partial_shape)


@cache
def _core() -> Any:
    keep_to_ourselves()
    try:
        import openvino  # type: ignore[import-untyped]  # ships no types
    except ImportError as error:
        raise ModelError(f"OpenVINO cannot be imported ({error}): pip install 'streamd[openvino]'") from error
    return openvino.Core()
