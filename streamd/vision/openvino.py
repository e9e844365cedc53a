"""OpenVINO's side of a ``Session``: an extra, which is faster than onnxruntime on many CPUs."""

from __future__ import annotations

import importlib.metadata
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

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
    on a CPU, and a fixed shape is faster than a free one. Threads that share it take turns."""

    def __init__(self, path: Path, *, threads: int, bf16: bool) -> None:
        """Raises ModelError."""
        self._path = path
        self.provider = "openvino-bf16" if bf16 else "openvino"
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
            # Pinned to one core, all workers of a machine would share it.
            "ENABLE_CPU_PINNING": False,
        }
        try:
            model = _core().read_model(str(path))
            shapes = {value.get_any_name(): _shape(value) for value in model.inputs}
            self.largest_batch = _LARGEST_BATCH
            if all(isinstance(side, int) for shape in shapes.values() for side in shape[1:]):
                self.largest_batch = 1
                model.reshape({name: [1, *shape[1:]] for name, shape in shapes.items()})
            compiled = _core().compile_model(model, "CPU", settings)
        except Exception as error:
            raise ModelError(f"{path}: OpenVINO cannot load this model: {first_line(error)}") from error
        self.inputs = shapes
        self.outputs = {value.get_any_name(): _shape(value) for value in model.outputs}
        self._request = compiled.create_infer_request()
        self._ports = list(compiled.outputs)
        self._turn = threading.Lock()

    def run(self, feed: Feed) -> Sequence[Array]:
        try:
            with self._turn:
                self._request.infer(dict(feed), share_inputs=True)
                return [np.array(self._request.get_tensor(port).data) for port in self._ports]
        except Exception as error:
            raise ModelError(f"{self._path.name}: {first_line(error)}") from error


def _shape(value: Any) -> tuple[object, ...]:
    return tuple(None if side.is_dynamic else side.get_length() for side in value.partial_shape)


@cache
def _core() -> Any:
    try:
        import openvino  # type: ignore[import-untyped]  # ships no types
    except ImportError as error:
        raise ModelError(f"OpenVINO cannot be imported ({error}): pip install 'streamd[openvino]'") from error
    return openvino.Core()
