"""A real publisher process for tests, on ports of its own, and events to feed it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event as Flag

from streamd.endpoints import verdicts_endpoint
from streamd.errors import JournalError
from streamd.events import Event, EventType, timestamp
from streamd.journal import Journal, Stored


def eventually(condition: Callable[[], bool], *, timeout_s: float = 20.0) -> None:
    """Wait until a condition holds; fail the test where it does not."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, f"not within {timeout_s} s"
        Flag().wait(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def an_event(
    number: int,
    *,
    kind: EventType = EventType.FACE_IDENTIFIED,
    camera: str = "door",
    wall_s: float | None = None,
    message: str | None = None,
) -> Event:
    """An event whose id tells which one it was."""
    name = {
        "id": f"p{number % 7}",
        "name": f"Person {number % 7}",
        "similarity": 0.61,
        "threshold": 0.45,
        "margin": 0.3,
    }
    at = timestamp(time.time() if wall_s is None else wall_s)
    return Event(kind, camera, at, f"id-{number}", identity=name, latency_ms=412, message=message)


class PublisherProcess:
    """``streamd publisher`` with a folder and ports of its own; may be killed and started again."""

    def __init__(self, folder: Path, *, retention_days: float = 30.0) -> None:
        self.folder = folder
        self.publish = f"tcp://127.0.0.1:{free_port()}"
        self.replay = f"tcp://127.0.0.1:{free_port()}"
        self.verdicts = verdicts_endpoint(folder / "run")
        self.journal_file = folder / "state" / "journal.sqlite"
        self.config = folder / "streamd.yaml"
        self.process: subprocess.Popen[bytes] | None = None
        self.config.write_text(
            f"state_dir: {folder}/state\nruntime_dir: {folder}/run\n"
            f"events: {{publish: '{self.publish}', replay: '{self.replay}', retention_days: {retention_days}}}\n"
        )

    def __enter__(self) -> PublisherProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.kill()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            command = [sys.executable, "-m", "streamd", "publisher", "--config", str(self.config)]
            self.process = subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def stop(self) -> int:
        """Ask it to drain; its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(15)
        self.process = None
        return code

    def stored(self) -> list[Stored]:
        """Everything in the journal, in order."""
        with Journal(self.journal_file, read_only=True) as journal:
            return journal.since(0, 1_000_000)

    def last_seq(self) -> int:
        """The last number; 0 while there is no journal yet."""
        try:
            with Journal(self.journal_file, read_only=True) as journal:
                return journal.last_seq
        except JournalError:
            return 0

    def resident_bytes(self) -> int:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
