"""``streamd bench pipeline``: the whole daemon on N real-time H.264 streams of real faces, read from its metrics.

Nothing is timed that the daemon does not time itself in production: the figures are differences of two scrapes of
``/metrics``, after a warm-up, so anyone can take them from their own installation.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from streamd.bench.daemon import running, write_config
from streamd.bench.floor import Floor, FloorMeter, Shape
from streamd.bench.streams import Scene, phases
from streamd.configfile import load_config
from streamd.scrape import Scrape


@dataclass(frozen=True, slots=True)
class Load:
    """What is measured."""

    cameras: int
    seconds: float
    scene: Scene
    warm_up_s: float = 8.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the daemon, by dotted path: ``{"detection.model": "ssd"}``."""


@dataclass(frozen=True, slots=True)
class Report:
    """What came out. Seconds, but where the name says otherwise; None where nothing was observed."""

    cameras: int
    resolution: str
    fps: int
    people: int
    seconds: float
    cost_over_floor: float
    """CPU of all processes over that of decoding the packets and making the inferences, and nothing else."""
    cpu_seconds_per_camera_second: float
    floor_per_camera_second: float
    floor_decode_per_camera_second: float
    floor_inference_per_camera_second: float
    cpu_cores_by_process: dict[str, float]
    seconds_by_stage_per_camera_second: dict[str, float]
    """CPU time in decoding and in networks (``inference``), and elapsed time in the other stages."""
    worker_share_inference: float | None
    capture_share_decode: float | None
    packets_per_camera_second: float
    decoded_per_camera_second: float
    looked_at_per_camera_second: float
    skipped_on_purpose: dict[str, int]
    dropped: dict[str, int]
    shedding_step: int
    """At the end."""
    longest_wait_under_s: float | None
    """No camera that was due waited for longer; an edge of the histogram's."""
    frame_age_p50_s: float | None
    frame_age_p95_s: float | None
    frame_age_p99_s: float | None
    time_to_identity_p50_s: float | None
    time_to_identity_p95_s: float | None
    identified: int
    verdicts: dict[str, int]
    """``none`` counts faces that left without one."""
    detections_per_second: float
    embeddings_per_second: float
    memory_mb_by_process: dict[str, float]
    memory_growth_mb: float
    """Of all processes together, from the end of the warm-up."""
    restarts: int

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def measure(load: Load, clips: list[Path], gallery: Path, *, models: Path) -> Report:
    """Run the daemon on the clips and read its figures, with the floor before and after.

    Raises:
        UnavailableError: the daemon did not start.
    """
    playing = phases(clips, load.cameras)
    with tempfile.TemporaryDirectory(prefix="streamd-bench-") as folder:
        cameras = {f"cam{i:02}": clip for i, clip in enumerate(playing)}
        config = write_config(Path(folder), cameras, gallery, models=models, settings=load.settings)
        meter = FloorMeter(load_config(config))
        meter.measure_decoding(playing)
        with running(config, Path(folder)) as daemon:
            time.sleep(load.warm_up_s)
            before = daemon.scrape()
            started_s = time.monotonic()
            time.sleep(load.seconds)
            after = daemon.scrape()
            seconds = time.monotonic() - started_s
        added = after.since(before)
        runs = _runs(added)
        meter.measure_inferences(list(runs))
        meter.measure_decoding(playing)
        packets = _packets(added, cameras)
        floor = meter.floor(packets, runs)
        return _report(load, added, after, _growth_mb(before, after), seconds=seconds, floor=floor)


def _runs(added: Scrape) -> dict[Shape, float]:
    """Inferences by model and shape."""
    found: dict[Shape, float] = {}
    for labels, count in added.samples.get("streamd_inferences_total", {}).items():
        row = dict(labels)
        shape = tuple(int(side) for side in row["shape"].split("x"))
        if count:
            found[row["model"], shape] = found.get((row["model"], shape), 0.0) + count
    return found


def _packets(added: Scrape, clips: Mapping[str, Path]) -> dict[Path, float]:
    found: dict[Path, float] = {}
    for camera, count in added.by("streamd_packets_total", "camera").items():
        found[clips[camera]] = found.get(clips[camera], 0.0) + count
    return found


def _memory_mb(scrape: Scrape) -> dict[str, float]:
    by_process = scrape.by("streamd_process_resident_bytes", "process")
    return {key: round(value / 1e6, 1) for key, value in sorted(by_process.items())}


def _growth_mb(before: Scrape, after: Scrape) -> float:
    name = "streamd_process_resident_bytes"
    return round((after.total(name) - before.total(name)) / 1e6, 1)


def _report(load: Load, added: Scrape, after: Scrape, growth_mb: float, *, seconds: float, floor: Floor) -> Report:
    camera_seconds = load.cameras * seconds
    age = added.quantiles("streamd_frame_age_seconds", (0.5, 0.95, 0.99))
    named = added.quantiles("streamd_time_to_identity_seconds", (0.5, 0.95))
    cpu = added.by("streamd_process_cpu_seconds_total", "process")
    outcomes = added.by("streamd_frames_total", "outcome")
    decode_s = added.total("streamd_decode_cpu_seconds_total")
    inference_s = added.total("streamd_inference_cpu_seconds_total")
    stages = added.by("streamd_stage_seconds_sum", "stage") | {"decode": decode_s, "inference": inference_s}
    worker_s = sum(value for name, value in cpu.items() if name.startswith("worker@"))
    capture_s = sum(value for name, value in cpu.items() if name.startswith("capture@"))
    skipped = added.by("streamd_frames_skipped_total", "reason") | {
        "not_decoded": added.total("streamd_packets_total", outcome="skipped")
    }
    return Report(
        cameras=load.cameras,
        resolution=f"{load.scene.width}x{load.scene.height}",
        fps=load.scene.fps,
        people=load.scene.people,
        seconds=round(seconds, 2),
        cost_over_floor=round(sum(cpu.values()) / floor.total_s, 3),
        cpu_seconds_per_camera_second=round(sum(cpu.values()) / camera_seconds, 5),
        floor_per_camera_second=round(floor.total_s / camera_seconds, 5),
        floor_decode_per_camera_second=round(floor.decode_s / camera_seconds, 5),
        floor_inference_per_camera_second=round(floor.inference_s / camera_seconds, 5),
        cpu_cores_by_process={k: round(v / seconds, 4) for k, v in sorted(cpu.items())},
        seconds_by_stage_per_camera_second={k: round(v / camera_seconds, 5) for k, v in sorted(stages.items())},
        worker_share_inference=_rounded(inference_s / worker_s if worker_s else None),
        capture_share_decode=_rounded(decode_s / capture_s if capture_s else None),
        packets_per_camera_second=round(added.total("streamd_packets_total") / camera_seconds, 2),
        decoded_per_camera_second=round(added.total("streamd_decoded_frames_total") / camera_seconds, 2),
        looked_at_per_camera_second=round(outcomes.get("looked_at", 0) / camera_seconds, 2),
        skipped_on_purpose={k: round(v) for k, v in skipped.items()},
        dropped={k: round(v) for k, v in outcomes.items() if k != "looked_at" and v},
        shedding_step=round(after.total("streamd_shedding_step")),
        longest_wait_under_s=added.highest_edge("streamd_wait_seconds"),
        frame_age_p50_s=_rounded(age[0]),
        frame_age_p95_s=_rounded(age[1]),
        frame_age_p99_s=_rounded(age[2]),
        time_to_identity_p50_s=_rounded(named[0]),
        time_to_identity_p95_s=_rounded(named[1]),
        verdicts={k: round(v) for k, v in added.by("streamd_verdicts_total", "result").items() if v},
        identified=round(added.total("streamd_time_to_identity_seconds_count")),
        detections_per_second=round(added.total("streamd_batch_size_sum", stage="detect") / seconds, 2),
        embeddings_per_second=round(added.total("streamd_batch_size_sum", stage="embed") / seconds, 2),
        memory_mb_by_process=_memory_mb(after),
        memory_growth_mb=growth_mb,
        restarts=round(added.total("streamd_restarts_total")),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
