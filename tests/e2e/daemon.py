"""A real ``streamd run`` for tests: started, asked, hurt and stopped as an operator would."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from streamd.client import Subscription
from streamd.config import Config
from streamd.control import ChildStatus, SystemStatus, ask_status
from streamd.endpoints import control_endpoint
from streamd.errors import UnavailableError
from streamd.events import Event
from streamd.journal import Journal
from streamd.scrape import Scrape

T = TypeVar("T")


def eventually(look: Callable[[], T], *, timeout_s: float = 40.0, what: str = "") -> T:
    """The first true value of ``look``; fails after ``timeout_s``. What is not there, or does not answer, may yet."""
    tick, end_s = threading.Event(), time.monotonic() + timeout_s
    while True:
        seen: T | Exception
        try:
            if seen := look():
                return seen
        except (LookupError, UnavailableError) as error:
            seen = error
        if time.monotonic() > end_s:
            raise AssertionError(f"not within {timeout_s} s: {what or look}; last seen: {seen!r}")
        tick.wait(0.05)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Daemon:
    """One daemon in a folder of its own. Use as a context manager."""

    def __init__(
        self,
        folder: Path,
        *,
        models: Path,
        cameras: Mapping[str, Mapping[str, Any]],
        gallery: Path | None = None,
        extra: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.config = folder / "streamd.yaml"
        self.log = folder / "log.txt"
        publish, replay, http = free_ports(3)
        self.publish, self.replay = f"tcp://127.0.0.1:{publish}", f"tcp://127.0.0.1:{replay}"
        self.http = f"http://127.0.0.1:{http}"
        self.body: dict[str, Any] = {
            "state_dir": str(self.state),
            "models_dir": str(models),
            "cameras": {name: dict(camera) for name, camera in cameras.items()},
            "gallery": {"folder": str(gallery or folder / "gallery")},
            "events": {"publish": self.publish, "replay": self.replay},
            "gateway": {"listen": self.http.removeprefix("http://")},
            "log": {"format": "text"},
            **(extra or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None
        # Detectors of the tests' own are found by their module's name.
        tests = str(Path(__file__).parents[1])
        path = os.pathsep.join(filter(None, (tests, os.environ.get("PYTHONPATH"))))
        self._env = {**os.environ, "PYTHONPATH": path, **(env or {})}
        folder.mkdir(parents=True, exist_ok=True)
        self.write_config()

    def write_config(self) -> None:
        self.config.write_text(yaml.safe_dump(self.body))

    def __enter__(self) -> Daemon:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if exc[0] is not None:
            print(self.log.read_text(errors="replace")[-6000:], file=sys.stderr)

    def start(self, *, wait: bool = True) -> None:
        command = [sys.executable, "-m", "streamd", "run", "-c", str(self.config)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log, stdout=log, env=self._env)
        if wait:
            eventually(self._ready, timeout_s=60, what="daemon ready")

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def reload(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def _ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"daemon ended with {self.process.returncode}:\n{self.logged()[-6000:]}")
        return self.get("/readyz")[0] == 200

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self.http + path, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def metrics(self) -> Scrape:
        return Scrape.parse(eventually(self.exposed, what="/metrics"))

    def exposed(self) -> str:
        """The text of ``/metrics``. Raises UnavailableError: the supervisor did not answer the gateway in time."""
        code, text = self.get("/metrics")
        if code != 200:
            raise UnavailableError(f"/metrics: {code} {text[:200]}")
        return text

    def logged(self) -> str:
        return self.log.read_text(errors="replace")

    def status(self) -> SystemStatus:
        return ask_status(control_endpoint(Config(state_dir=self.state).sockets_dir), timeout_s=5)

    def child(self, name: str) -> ChildStatus:
        return next(c for c in self.status().children if c.name == name)

    def running(self, name: str, *, instead_of: int | None = None) -> bool:
        """Whether a child runs, as another process than ``instead_of``."""
        try:
            children = self.status().children
            return any(c.name == name and c.state == "running" and c.pid != instead_of for c in children)
        except UnavailableError:
            return False

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to a child; returns its process id."""
        pid = self.child(name).pid
        assert pid is not None
        os.kill(pid, number)
        return pid

    def subscribe(self, **wanted: Any) -> Subscription:
        return Subscription(publish=self.publish, replay=self.replay, **wanted)

    def journal(self) -> list[Event]:
        """Every event in the journal, in order; empty before there is one."""
        path = self.state / "journal.sqlite"
        if not path.exists():
            return []
        with Journal(path, read_only=True) as journal:
            found: list[Event] = []
            while rows := journal.since(found[-1].seq if found else 0, 1000):
                found += [row.event() for row in rows]
            return found

    def events(self, kind: str, *, camera: str | None = None, name: str | None = None) -> list[Event]:
        return [
            e
            for e in self.journal()
            if e.type.value == kind
            and (camera is None or e.camera == camera)
            and (name is None or (e.identity or {}).get("name") == name)
        ]

    def await_event(
        self, kind: str, *, camera: str | None = None, name: str | None = None, after: int = 0, timeout_s: float = 40.0
    ) -> Event:
        def look() -> list[Event]:
            return [e for e in self.events(kind, camera=camera, name=name) if e.seq > after]

        return eventually(look, timeout_s=timeout_s, what=f"{kind} {camera or ''} {name or ''} after {after}")[0]


def assert_contiguous(events: list[Event]) -> None:
    """The journal's numbers have no gap and no id is there twice."""
    assert [e.seq for e in events] == list(range(1, len(events) + 1))
    assert len({e.id for e in events}) == len(events)
