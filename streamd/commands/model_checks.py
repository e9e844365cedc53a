"""The doctor on models: there, intact, and one inference of each."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence

from streamd.commands.finding import Finding, Level
from streamd.config import CameraConfig, Config
from streamd.errors import ModelError
from streamd.interfaces import Detector, Embedder
from streamd.placement import Placement

REPETITIONS = 5


def models(config: Config) -> Iterator[Finding]:
    """Every model that some camera uses."""
    settings: list[Config | CameraConfig] = [config, *config.cameras.values()]
    for index in range(len(config.workers.devices)):
        yield from _on_one_device(config.model_copy(update={"workers": config.workers.of(index)}), settings)


def _on_one_device(config: Config, settings: Sequence[Config | CameraConfig]) -> Iterator[Finding]:
    for name in dict.fromkeys(each.detection.model for each in settings):
        yield _examined(name, lambda name: _detect(config, name))
    for name in dict.fromkeys(each.recognition.embedder for each in settings):
        yield _examined(name, lambda name: _embed(config, name))


def _examined(name: str, examine: Callable[[str], str]) -> Finding:
    try:
        return Finding(Level.OK, f"model {name}", examine(name))
    except ModelError as error:
        return Finding(Level.FAIL, f"model {name}", str(error))  # which says what to run


def _detect(config: Config, name: str) -> str:
    detector = _detector(config, name, config.workers.placement(name))
    return f"{detector.model_id}, {_detector_ms(detector, config):.1f} ms for 640x360 on {detector.provider}"


def _embed(config: Config, name: str) -> str:
    embedder = _embedder(config, name, config.workers.placement(name))
    return f"{embedder.model_id}, {_embedder_ms(embedder):.1f} ms a face on {embedder.provider}"


def timed_detector(config: Config, name: str, placement: Placement) -> tuple[str, float]:
    """Provider and milliseconds for a view of 640x360. Raises ModelError."""
    detector = _detector(config, name, placement)
    return detector.provider, _detector_ms(detector, config)


def timed_embedder(config: Config, name: str, placement: Placement) -> tuple[str, float]:
    """Provider and milliseconds for a face. Raises ModelError."""
    embedder = _embedder(config, name, placement)
    return embedder.provider, _embedder_ms(embedder)


def _detector(config: Config, name: str, placement: Placement) -> Detector:
    from streamd.vision.loading import load_detector

    return load_detector(name, models=config.models_path, **placement)


def _embedder(config: Config, name: str, placement: Placement) -> Embedder:
    from streamd.vision.loading import load_embedder

    return load_embedder(name, models=config.models_path, **placement)


def _detector_ms(detector: Detector, config: Config) -> float:
    import numpy as np

    picture = np.random.default_rng(1).integers(0, 256, (360, 640, 3), dtype=np.uint8)
    return _median_ms(lambda: detector.detect([picture], min_score=config.detection.min_score))


def _embedder_ms(embedder: Embedder) -> float:
    import numpy as np

    chips = np.random.default_rng(1).integers(0, 256, (1, 112, 112, 3), dtype=np.uint8)
    return _median_ms(lambda: embedder.embed(chips))


def _median_ms(work: Callable[[], object]) -> float:
    work()  # the first run allocates
    taken_s = []
    for _ in range(REPETITIONS):
        started_s = time.perf_counter()
        work()
        taken_s.append(time.perf_counter() - started_s)
    return statistics.median(taken_s) * 1000
