"""``streamd bench pipeline``: the whole daemon on N real-time H.264 streams of real faces, read from its metrics.

Nothing is timed that the daemon does not time itself in production: the figures are differences of two scrapes of
``/metrics``, after a warm-up, so anyone can take them from their own installation.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import yaml

from streamd.bench.scrape import Scrape
from streamd.errors import UnavailableError

READY_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """What is measured."""

    cameras: int
    seconds: float
    warm_up_s: float = 5.0
    detector: str = "yunet"


@dataclass(frozen=True, slots=True)
class Report:
    """What came out. Seconds, but where the name says otherwise; None where nothing was observed."""

    cameras: int
    seconds: float
    decoded_per_camera_second: float
    looked_at_per_camera_second: float
    skipped_on_purpose: int
    dropped: dict[str, int]
    frame_age_p50_s: float | None
    frame_age_p95_s: float | None
    time_to_identity_p50_s: float | None
    time_to_identity_p95_s: float | None
    identified: int
    embeddings_per_second: float
    cpu_seconds_per_camera_second: float
    cpu_cores_by_process: dict[str, float] = field(default_factory=dict)
    memory_mb_by_process: dict[str, float] = field(default_factory=dict)
    memory_growth_mb: float = 0.0
    """Of all processes together, from the end of the warm-up."""
    restarts: int = 0

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def measure(load: Load, clips: list[Path], gallery: Path, *, models: Path) -> Report:
    """Run the daemon on the clips and read its figures.

    Raises:
        UnavailableError: the daemon did not start.
    """
    with tempfile.TemporaryDirectory(prefix="streamd-bench-") as folder:
        config = _config(load, clips, gallery, models=models, folder=Path(folder))
        with _daemon(config, Path(folder)) as url:
            time.sleep(load.warm_up_s)
            before = _scrape(url)
            started_s = time.monotonic()
            time.sleep(load.seconds)
            after = _scrape(url)
            return _report(load, before, after, time.monotonic() - started_s)


def _config(load: Load, clips: list[Path], gallery: Path, *, models: Path, folder: Path) -> Path:
    cameras = {f"cam{i:02}": {"url": str(clips[i % len(clips)])} for i in range(load.cameras)}
    publish, replay, http = _free_ports(3)
    body = {
        "state_dir": str(folder / "state"),
        "models_dir": str(models),
        "cameras": cameras,
        "detection": {"model": load.detector},
        "gallery": {"folder": str(gallery)},
        "events": {"publish": f"tcp://127.0.0.1:{publish}", "replay": f"tcp://127.0.0.1:{replay}"},
        "gateway": {"listen": f"127.0.0.1:{http}"},
        "log": {"level": "warning"},
    }
    path = folder / "streamd.yaml"
    path.write_text(yaml.safe_dump(body))
    return path


@contextlib.contextmanager
def _daemon(config: Path, folder: Path) -> Iterator[str]:
    """The daemon as a child; yields the address of its metrics."""
    url = f"http://{yaml.safe_load(config.read_text())['gateway']['listen']}"
    log = folder / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen([sys.executable, "-m", "streamd", "run", "-c", str(config)], stderr=stderr)
        try:
            _await_ready(url, process, log)
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _await_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline_s and process.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{url}/readyz", timeout=2).close()
            return
        time.sleep(0.2)
    raise UnavailableError(f"the daemon did not become ready: {log.read_text(errors='replace')[-2000:]}")


def _scrape(url: str) -> Scrape:
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        return Scrape.parse(answer.read().decode())


def _report(load: Load, before: Scrape, after: Scrape, seconds: float) -> Report:
    added = after.since(before)
    camera_seconds = load.cameras * seconds
    age = added.quantiles("streamd_frame_age_seconds", (0.5, 0.95))
    named = added.quantiles("streamd_time_to_identity_seconds", (0.5, 0.95))
    cpu = added.by("streamd_process_cpu_seconds_total", "process")
    outcomes = added.by("streamd_frames_total", "outcome")
    return Report(
        cameras=load.cameras,
        seconds=round(seconds, 2),
        decoded_per_camera_second=round(added.total("streamd_decoded_frames_total") / camera_seconds, 2),
        looked_at_per_camera_second=round(outcomes.get("looked_at", 0) / camera_seconds, 2),
        skipped_on_purpose=round(added.total("streamd_frames_skipped_total")),
        dropped={k: round(v) for k, v in outcomes.items() if k != "looked_at" and v},
        frame_age_p50_s=_rounded(age[0]),
        frame_age_p95_s=_rounded(age[1]),
        time_to_identity_p50_s=_rounded(named[0]),
        time_to_identity_p95_s=_rounded(named[1]),
        identified=round(added.total("streamd_time_to_identity_seconds_count")),
        embeddings_per_second=round(added.total("streamd_faces_total", outcome="embedded") / seconds, 2),
        cpu_seconds_per_camera_second=round(sum(cpu.values()) / camera_seconds, 4),
        cpu_cores_by_process={k: round(v / seconds, 4) for k, v in sorted(cpu.items())},
        memory_mb_by_process={
            k: round(v / 1e6, 1) for k, v in sorted(after.by("streamd_process_resident_bytes", "process").items())
        },
        memory_growth_mb=round(
            (after.total("streamd_process_resident_bytes") - before.total("streamd_process_resident_bytes")) / 1e6, 1
        ),
        restarts=round(added.total("streamd_restarts_total")),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports
