"""The real daemon as a child of a bench: its configuration, its start and end, its metrics, and what it costs."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from streamd.errors import UnavailableError
from streamd.scrape import Scrape

READY_TIMEOUT_S = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Daemon:
    """A daemon that runs."""

    url: str
    """Of its gateway."""
    pid: int
    log: Path
    """What all its processes wrote."""

    def scrape(self) -> Scrape:
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as answer:
            return Scrape.parse(answer.read().decode())

    def cpu_s(self) -> float:
        """CPU seconds of all its processes, those that ended among them, as the kernel counts them."""
        return cpu_of_tree(self.pid)


def write_config(
    folder: Path, cameras: Mapping[str, Path], gallery: Path, *, models: Path, settings: Mapping[str, Any]
) -> Path:
    """A configuration with free ports in ``folder``; ``settings`` by dotted path: ``{"detection.model": "ssd"}``."""
    publish, replay, http = _free_ports(3)
    body: dict[str, Any] = {
        "state_dir": str(folder / "state"),
        "models_dir": str(models),
        "cameras": {name: {"url": str(clip)} for name, clip in cameras.items()},
        "gallery": {"folder": str(gallery)},
        "events": {"publish": f"tcp://127.0.0.1:{publish}", "replay": f"tcp://127.0.0.1:{replay}"},
        "gateway": {"listen": f"127.0.0.1:{http}"},
        "log": {"level": "warning"},
    }
    for dotted, value in settings.items():
        *sections, key = dotted.split(".")
        place = body
        for section in sections:
            place = place.setdefault(section, {})
        place[key] = value
    path = folder / "streamd.yaml"
    path.write_text(yaml.safe_dump(body))
    return path


@contextlib.contextmanager
def running(config: Path, folder: Path) -> Iterator[Daemon]:
    """Start it, wait until it is ready, and end it. Raises UnavailableError where it does not become ready."""
    url = f"http://{yaml.safe_load(config.read_text())['gateway']['listen']}"
    log = folder / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen([sys.executable, "-m", "streamd", "run", "-c", str(config)], stderr=stderr)
        try:
            _await_ready(url, process, log)
            yield Daemon(url, process.pid, log)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def cpu_of_tree(pid: int) -> float:
    """CPU seconds of a process and of all below it."""
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended meanwhile
                # After the name in brackets, which may hold spaces: state, parent, ..., utime, stime, cutime, cstime.
                row = (entry / "stat").read_text().rpartition(")")[2].split()
                number = int(entry.name)
                parents[number], used[number] = int(row[1]), sum(map(int, row[11:15])) / _TICKS
    return sum(seconds for number, seconds in used.items() if _descends(number, pid, parents))


def _descends(number: int, pid: int, parents: Mapping[int, int]) -> bool:
    while number not in (pid, 0):
        number = parents.get(number, 0)
    return number == pid


def _await_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline_s and process.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{url}/readyz", timeout=2).close()
            return
        time.sleep(0.2)
    said = log.read_text(errors="replace")[-2000:].strip() or "it said nothing"
    raise UnavailableError(f"the daemon did not become ready within {READY_TIMEOUT_S:g} s: {said}")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports
