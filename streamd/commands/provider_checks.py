"""The doctor on what could compute: one inference of each model on every provider that is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from streamd.commands.finding import Finding, Level
from streamd.commands.model_checks import timed_detector, timed_embedder
from streamd.config import Config
from streamd.errors import ModelError
from streamd.placement import Placement

SLOWER = 1.5
"""The provider in use may take this much longer than the fastest before it is worth a line."""

Timed = Callable[[Config, str, Placement], tuple[str, float]]
"""Provider really in use, and milliseconds."""


def providers(config: Config) -> Iterator[Finding]:
    """A finding for each model, with the provider that the configuration takes and the others."""
    chosen = config.workers.placement
    for name, timed in ((config.detection.model, timed_detector), (config.recognition.embedder, timed_embedder)):
        try:
            used, used_ms = timed(config, name, chosen(name))
        except ModelError:
            continue  # which the models' own check has said
        took_ms, failed = _tried(config, name, timed)
        yield compared(name, used, {used: used_ms} | took_ms, failed)


def installed_placements() -> dict[str, Placement]:
    """Every way to run a network that is installed here, by its provider's name."""
    from streamd.vision import openvino
    from streamd.vision.engines import onnxruntime

    found = {"cpu": Placement(device="cpu", runtime="onnxruntime")}
    if openvino.version() is not None:
        found["openvino"] = Placement(device="cpu", runtime="openvino")
    if "CUDAExecutionProvider" in onnxruntime().get_available_providers():
        found["cuda"] = Placement(device="cuda:0", runtime="onnxruntime")
    return found


def _tried(config: Config, name: str, timed: Timed) -> tuple[dict[str, float], dict[str, str]]:
    took_ms: dict[str, float] = {}
    failed: dict[str, str] = {}
    for provider, placement in installed_placements().items():
        try:
            really, took_ms[provider] = timed(config, name, placement)
            if really != provider:  # a class of one's own decides for itself
                del took_ms[provider]
        except ModelError as error:
            failed[provider] = str(error)
    return took_ms, failed


def compared(name: str, used: str, took_ms: Mapping[str, float], failed: Mapping[str, str]) -> Finding:
    topic = f"accelerator {name}"
    told = ", ".join(f"{provider} {ms:.1f} ms" for provider, ms in sorted(took_ms.items(), key=lambda row: row[1]))
    message = f"runs on {used}" + (f" ({told})" if told else "")
    if broken := failed.get("cuda"):
        advice = "mend the driver or the libraries, or install 'streamd[cpu]'"
        return Finding(Level.WARN, topic, f"{message}; cuda is installed and cannot be used: {broken}", advice)
    fastest = min(took_ms, key=lambda provider: took_ms[provider], default=used)
    if used in took_ms and took_ms[used] > SLOWER * took_ms[fastest]:
        advice = "workers.device: cuda:0" if fastest == "cuda" else "'streamd models pull' measures which one agrees"
        return Finding(Level.WARN, topic, f"{message}; {fastest} is faster", advice)
    return Finding(Level.OK, topic, message)
