"""Worker boxes and camera boxes: daemons and captures, each in a network namespace of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from e2e.daemon import Daemon, eventually
from netspaces import Box

from streamd.errors import UnavailableError
from streamd.exposition import render
from streamd.scrape import Scrape

PORT = 5570


class WorkerBox(Daemon):
    """A daemon in a box's namespace; its ports are the box's own, so it is asked over its control socket."""

    def __init__(self, box: Box, folder: Path, *, extra: Mapping[str, Any], **more: Any) -> None:
        self.box = box
        super().__init__(folder, extra={"gateway": {"enabled": False}, **extra}, **more)

    def start(self, *, wait: bool = True) -> None:
        self.process = self.box.streamd("run", "-c", str(self.config), log=self.log, env=self._env)
        if wait:
            self.await_ready()

    def await_ready(self) -> None:
        eventually(self._ready, timeout_s=60, what=f"{self.box.name} ready")

    def _ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"{self.box.name} ended with {self.process.returncode}:\n{self.logged()[-6000:]}")
        try:
            return all(child.state == "running" for child in self.status().children)
        except UnavailableError:
            return False

    def metrics(self) -> Scrape:
        return Scrape.parse(render(self.status().snapshots).decode())

    def power_cut(self) -> None:
        """SIGKILL to every process of the box at once."""
        assert self.process is not None
        children = [child.pid for child in self.status().children if child.pid is not None]
        for pid in (self.process.pid, *children):
            with suppress(ProcessLookupError):  # it notices that its supervisor is gone
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        eventually(lambda: not any(_lives(pid) for pid in children), what="the box is dark")


class RemoteCapture:
    """``streamd capture`` on a camera box. Use as a context manager."""

    def __init__(self, box: Box, camera: str, *, url: str, connect: str, keys: Path, folder: Path) -> None:
        self.log = folder / f"{camera}.log"
        words = ["capture", "--camera", camera, "--connect", connect]
        words += ["--key", str(keys / f"{camera}.key_secret"), "--server-key", str(keys / "worker.key")]
        self._box, self._words, self._url = box, words, url
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RemoteCapture:
        self.start()
        return self

    def start(self) -> None:
        env = {"STREAMD_CONFIG": "", "STREAMD_URL": self._url}
        self.process = self._box.streamd(*self._words, log=self.log, env=env)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def __exit__(self, *exc: object) -> None:
        self.kill()
        if exc[0] is not None:
            print(self.log.read_text(errors="replace")[-2000:], file=sys.stderr)


def make_keys(folder: Path, cameras: list[str]) -> Path:
    """``worker`` and each camera, as an operator makes them; public ones of cameras in ``clients``."""
    (folder / "clients").mkdir(parents=True)
    for name in ("worker", *cameras):
        subprocess.run([sys.executable, "-m", "streamd", "keys", "new", name, "--dir", str(folder)], check=True)
    for name in cameras:
        shutil.copy(folder / f"{name}.key", folder / "clients")
    return folder


def frames_section(keys: Path) -> dict[str, str]:
    return {
        "listen": f"tcp://0.0.0.0:{PORT}",
        "server_key": str(keys / "worker.key_secret"),
        "clients": str(keys / "clients"),
    }


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
