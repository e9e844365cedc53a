"""A network on an NVIDIA GPU: opened as it was asked for, and believed only after it said what the CPU says."""

from __future__ import annotations

import fcntl
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamd.errors import ModelError
from streamd.placement import LARGEST_ENGINE_SIDE_PX
from streamd.vision import engines, half, nvidia
from streamd.vision.engines import (
    BUCKETS,
    CPU,
    CUDA,
    LARGEST_OF_PICTURES,
    TENSORRT,
    Array,
    Engine,
    Feed,
    OnnxruntimeEngine,
)
from streamd.vision.probing import probe
from streamd.vision.runtimes import outputs_agree

logger = logging.getLogger(__name__)

TOLERANCE = 0.02
"""Of an output's largest value: half precision and NVIDIA's TF32 both keep ten bits of each product. Converted YuNet
and CenterFace are off by up to 0.005 and 0.0095 of it."""
LEAST_SHARE = 0.5
"""Of a network's nodes that must run where they were meant to; what reckons with shapes may stay on the CPU."""
_SESSIONS = 24
"""Shapes with a session of their own, per network."""
_SMALLEST_SIDE_PX, _USUAL_SIZE_PX = 32, (384, 640)

Shapes = Mapping[str, tuple[int, ...]]
"""Of the inputs by name."""


@dataclass(frozen=True, slots=True)
class Wish:
    """How a network is to run on a GPU."""

    number: int
    """Of the GPU."""
    threads: int
    tensorrt: bool = False
    fp16: bool = False
    records: bool = False
    """Runs are recorded as CUDA graphs."""

    @property
    def provider(self) -> str:
        return ("tensorrt" if self.tensorrt else "cuda") + ("-fp16" if self.fp16 else "")


def open_on_gpu(path: Path, wish: Wish) -> Engine:
    """Load a model on a GPU.

    Raises:
        ModelError: it cannot be had there, or gives other outputs than on the CPU.
    """
    runtime = engines.onnxruntime()
    available = runtime.get_available_providers()
    if CUDA not in available:
        raise ModelError("this onnxruntime is built without CUDA (pip install 'streamd[gpu]' in place of streamd[cpu])")
    if wish.tensorrt and TENSORRT not in available:
        raise ModelError("this onnxruntime is built without TensorRT")
    nvidia.preload(runtime)
    source = half.converted(path) if wish.fp16 and not wish.tensorrt else path
    if not wish.tensorrt:
        return ShapedEngine(lambda shapes: _believed(source, path, wish, shapes), probe_shapes(path, wish))
    with _building(path, wish):
        return _believed(source, path, wish, None)


class ShapedEngine:
    """Implements ``Engine`` with a session for each shape.

    onnxruntime's CUDA provider keeps one plan a convolution, for the last shape, and makes it anew when another comes:
    0.1 s for YuNet each time, and seconds where cuDNN has to compile. Threads wait for each other only within a shape.
    """

    def __init__(self, make: Callable[[Shapes], OnnxruntimeEngine], first: Shapes) -> None:
        self._make = make
        engine = make(first)
        self.name, self.provider, self.largest_batch = engine.name, engine.provider, engine.largest_batch
        self.inputs, self.outputs = engine.inputs, engine.outputs
        self._engines: OrderedDict[tuple[tuple[int, ...], ...], OnnxruntimeEngine] = OrderedDict()
        self._engines[tuple(first.values())] = engine
        self._making, self._access = threading.Lock(), threading.Lock()

    @property
    def of_shapes(self) -> list[OnnxruntimeEngine]:
        """The sessions that are open, the one used last at the end."""
        with self._access:
            return list(self._engines.values())

    def run(self, feed: Feed) -> Sequence[Array]:
        key = tuple(value.shape for value in feed.values())
        engine = self._known(key)
        if engine is None:
            with self._making:
                engine = self._known(key) or self._added(key, {name: value.shape for name, value in feed.items()})
        return engine.run(feed)

    def _known(self, key: tuple[tuple[int, ...], ...]) -> OnnxruntimeEngine | None:
        with self._access:
            engine = self._engines.get(key)
            if engine is not None:
                self._engines.move_to_end(key)
            return engine

    def _added(self, key: tuple[tuple[int, ...], ...], shapes: Shapes) -> OnnxruntimeEngine:
        engine = self._make(shapes)
        with self._access:
            self._engines[key] = engine
            if len(self._engines) > _SESSIONS:
                self._engines.popitem(last=False)
        logger.debug("%s: opened for %s", self.name, " ".join(map(str, key)))
        return engine


def probe_shapes(path: Path, wish: Wish) -> Shapes:
    """Of one face, or one view of the usual size."""
    inputs = engines.open_engine(path, [CPU], wish.threads).inputs
    return {name: value.shape for name, value in probe(inputs).items()}


def _believed(source: Path, path: Path, wish: Wish, shapes: Shapes | None) -> OnnxruntimeEngine:
    """A session that is known to run where it should, and to say what the CPU says, of these shapes."""
    reference = engines.open_engine(path, [CPU], wish.threads)
    engine = _opened(source, _providers(path, reference, wish), wish)
    _require_provider(engine, wish)
    _require_agreement(engine, reference, shapes)
    engine.provider = wish.provider
    return engine


def _opened(source: Path, providers: list[Any], wish: Wish) -> OnnxruntimeEngine:
    records = wish.records and not wish.tensorrt
    try:
        return engines.open_engine(source, providers, wish.threads, bind_to=("cuda", wish.number), records=records)
    except ModelError as error:
        why = nvidia.trouble(engines.onnxruntime(), wish.number, tensorrt=wish.tensorrt)
        raise ModelError(f"{why} ({error})") from error


def _cuda_options(wish: Wish) -> dict[str, str]:
    records = {"enable_cuda_graph": "1"} if wish.records and not wish.tensorrt else {}
    return records | {
        "device_id": str(wish.number),
        # Doubling, the default, keeps up to twice of what is needed.
        "arena_extend_strategy": "kSameAsRequested",
        # The exhaustive search times every algorithm at the first run of each shape; the default's choice is 20 times
        # slower for convolutions by depth.
        "cudnn_conv_algo_search": "HEURISTIC",
    }


def _providers(path: Path, reference: OnnxruntimeEngine, wish: Wish) -> list[Any]:
    providers: list[Any] = [(CUDA, _cuda_options(wish)), CPU]
    if wish.tensorrt:
        providers.insert(0, (TENSORRT, tensorrt_options(path, reference.inputs, wish)))
    return providers


def tensorrt_options(path: Path, inputs: Mapping[str, tuple[object, ...]], wish: Wish) -> dict[str, str]:
    """One engine for all sizes of batches and pictures, kept beside the model: each takes minutes to build.

    Without these ranges TensorRT would build another engine at each new shape, in the middle of the work.
    """
    options = {
        "device_id": str(wish.number),
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(_cache(path)),
        # Of the networks of one cache folder TensorRT itself tells apart only the graphs.
        "trt_engine_cache_prefix": f"{path.stem}-{'fp16' if wish.fp16 else 'fp32'}",
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(_cache(path)),
        "trt_fp16_enable": str(wish.fp16),
    }
    largest = BUCKETS[-1] if _sized(inputs) else LARGEST_OF_PICTURES
    shapes = {
        "min": (1, (_SMALLEST_SIDE_PX,) * 2),
        "opt": (min(8, largest), _USUAL_SIZE_PX),
        "max": (largest, (LARGEST_ENGINE_SIDE_PX,) * 2),
    }
    for end, (batch, size) in shapes.items():
        if any(not isinstance(side, int) for shape in inputs.values() for side in shape):
            options[f"trt_profile_{end}_shapes"] = ",".join(
                f"{name}:{'x'.join(map(str, _filled(shape, batch, size)))}" for name, shape in inputs.items()
            )
    return options


def _sized(inputs: Mapping[str, tuple[object, ...]]) -> bool:
    return all(isinstance(side, int) for shape in inputs.values() for side in shape[1:])


def _filled(shape: tuple[object, ...], batch: int, size: tuple[int, int]) -> Iterator[object]:
    """A shape with its free dimensions given: batch, channels, height, width."""
    given = (batch, 3, *size)
    for index, side in enumerate(shape):
        yield side if isinstance(side, int) or index >= len(given) else given[index]


def _cache(path: Path) -> Path:
    return path.parent / "tensorrt"


@contextmanager
def _building(path: Path, wish: Wish) -> Iterator[None]:
    """One process at a time builds engines: a second would read what the first has half written."""
    if not wish.tensorrt:
        yield
        return
    try:
        _cache(path).mkdir(exist_ok=True)
        lock = (_cache(path) / f"{path.stem}.lock").open("w")
    except OSError as error:
        raise ModelError(f"TensorRT's engines cannot be kept: {error}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        logger.info("%s: TensorRT opens its engine; the first time it is built, for minutes", path.stem)
        yield


def _require_provider(engine: OnnxruntimeEngine, wish: Wish) -> None:
    wanted = "tensorrt" if wish.tensorrt else "cuda"
    if engine.provider != wanted:
        why = nvidia.trouble(engines.onnxruntime(), wish.number, tensorrt=wish.tensorrt)
        raise ModelError(f"onnxruntime fell back to the {engine.provider.upper()} ({why})")
    nodes = engine.nodes_by_provider()
    if nodes is not None:
        share = nodes.get(wanted, 0) / sum(nodes.values())
        if wanted == "tensorrt" and nodes.get("tensorrt") and not nodes.get("cpu"):
            share = 1.0  # a whole part of the graph is one node there
        if share < LEAST_SHARE:
            where = ", ".join(f"{count} on {name}" for name, count in nodes.items())
            raise ModelError(f"onnxruntime runs too little of it on {wanted} ({where} of its nodes)")


def _require_agreement(engine: OnnxruntimeEngine, reference: OnnxruntimeEngine, shapes: Shapes | None = None) -> None:
    """Compare both on fixed inputs, with the engine's own buffers and, if they are to blame, without.

    Raises:
        ModelError: they disagree.
    """
    try:
        worst = _disagreement(engine, reference, shapes)
        if worst is None:
            return
        found = f"its outputs are off by up to {worst:.2g}"
    except ModelError as error:
        found = str(error)
    engine.unbind()
    worst = _disagreement(engine, reference, shapes)
    if worst is not None:
        raise ModelError(
            f"its outputs are not the CPU's (off by up to {worst:.2g}): see workers.fp16, workers.tensorrt"
        )
    logger.warning("%s runs without buffers on the GPU, which is slower: with them %s", reference.name, found)


def _disagreement(engine: OnnxruntimeEngine, reference: OnnxruntimeEngine, shapes: Shapes | None) -> float | None:
    """None where they agree; else the largest difference. Of many rows the first and the last are compared: a CPU takes
    half a second for 32 faces."""
    for feed in _probes(reference.inputs, shapes):  # several, because the first run with buffers is unlike the next
        got = engine.run(feed)
        count = len(next(iter(feed.values())))
        ends = [0, count - 1] if count > 2 and all(len(value) == count for value in got) else slice(None)
        got, wanted = [value[ends] for value in got], reference.run({name: value[ends] for name, value in feed.items()})
        if not outputs_agree(got, wanted, tolerance=TOLERANCE):
            same = [value.shape for value in got] == [value.shape for value in wanted]
            return max(float(np.abs(a - b).max()) for a, b in zip(got, wanted, strict=True)) if same else float("inf")
    return None


def _probes(inputs: Mapping[str, tuple[object, ...]], shapes: Shapes | None) -> list[Feed]:
    feed = probe(shapes or inputs)
    rows = {name: shape[0] for name, shape in shapes.items()} if shapes else {}
    # No two rows alike: one that is read in another's place must not go unnoticed.
    feed = {
        name: np.concatenate([np.roll(value, i, -1) for i in range(rows.get(name, 1))]) for name, value in feed.items()
    }
    mirrored = {name: np.ascontiguousarray(value[..., ::-1]) for name, value in feed.items()}
    return [feed, mirrored, feed]
