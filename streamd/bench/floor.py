"""What the work costs that nobody can avoid: decoding the packets, and the inferences that were made; nothing else.

Both are measured in this process, alone and warmed up, on the very packets and with networks of the very shapes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import av
import numpy as np

from streamd.config import Config
from streamd.errors import ModelError
from streamd.vision.modelstore import ModelStore
from streamd.vision.onnx import Session, open_session
from streamd.vision.probing import probe
from streamd.vision.runtimes import cpu_seconds

AT_LEAST_S = 0.6
Shape = tuple[str, tuple[int, ...]]
"""A model and its input's shape."""


@dataclass(frozen=True, slots=True)
class Floor:
    """CPU seconds of the unavoidable."""

    decode_s: float
    inference_s: float

    @property
    def total_s(self) -> float:
        return self.decode_s + self.inference_s


class FloorMeter:
    """Measures unit costs, as often as is wanted; the floor is made of their means."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._sessions: dict[str, Session] = {}
        self._decoding: dict[Path, list[float]] = {}
        self._running: dict[Shape, list[float]] = {}

    def measure_decoding(self, clips: Sequence[Path]) -> None:
        """CPU seconds a packet of each clip."""
        for clip in dict.fromkeys(clips):
            self._decoding.setdefault(clip, []).append(decoding_s(clip))

    def measure_inferences(self, shapes: Sequence[Shape]) -> None:
        """CPU seconds a run of each shape; models that are not files of the catalogue have no floor of their own."""
        for model, shape in shapes:
            session = self._session(model)
            feed = {name: np.resize(value, shape) for name, value in probe(session.inputs).items()}
            cost_s = cpu_seconds(partial(session.run, feed), at_least_s=AT_LEAST_S)
            self._running.setdefault((model, shape), []).append(cost_s)

    def floor(self, packets: Mapping[Path, float], runs: Mapping[Shape, float]) -> Floor:
        """For so many packets of each clip, and so many runs of each shape."""
        decode_s = sum(count * float(np.mean(self._decoding[clip])) for clip, count in packets.items())
        inference_s = sum(count * float(np.mean(self._running[shape])) for shape, count in runs.items())
        return Floor(decode_s, inference_s)

    def _session(self, model: str) -> Session:
        if model not in self._sessions:
            workers, store = self._config.workers, ModelStore(self._config.models_path)
            path = store.ready(store.manifest(model))
            self._sessions[model] = open_session(path, **workers.placement(model))
        return self._sessions[model]


def decoding_s(clip: Path) -> float:
    """CPU seconds a packet, on one thread, of the whole clip. Raises ModelError for a file without video."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        packets = [packet for packet in container.demux(stream) if packet.size]
        if not packets:
            raise ModelError(f"{clip}: has no packets")
        began_s = time.process_time()
        for packet in packets:
            packet.decode()
        return (time.process_time() - began_s) / len(packets)
