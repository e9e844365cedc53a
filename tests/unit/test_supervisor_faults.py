"""What may come between while the supervisor runs: signals at any time, and a box on which nothing more can be
started."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from streamd.config import Config
from streamd.supervisor import supervise

ENOUGH = 8
"""Tries to start a child, after which the daemon is stopped."""


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config.model_validate(
        {
            "state_dir": tmp_path / "state",
            "runtime_dir": tmp_path / "run",
            "cameras": {"door": {"url": "rtsp://127.0.0.1:1/door"}},
            "gateway": {"enabled": False},
            "supervision": {"backoff_min_s": 0.01, "backoff_max_s": 0.05},
        }
    )


class FullBox:
    """No process can be started on it; the first try is the moment for ``hang_ups`` signals to reload."""

    def __init__(self) -> None:
        self.hang_ups = 0
        self.tried: list[str] = []

    def popen(self, command: list[str], **_: object) -> NoReturn:
        if not self.tried:
            hang_up(self.hang_ups)
        self.tried.append(command[-2])
        if len(self.tried) == ENOUGH:
            os.kill(os.getpid(), signal.SIGTERM)
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> FullBox:
    box = FullBox()
    monkeypatch.setattr(subprocess, "Popen", box.popen)
    return box


def hang_up(times: int) -> None:
    for _ in range(times):
        os.kill(os.getpid(), signal.SIGHUP)


def test_a_child_that_cannot_be_started_is_tried_again(config: Config, box: FullBox) -> None:
    assert supervise(config) == 0
    assert set(box.tried) == {"capture", "worker", "publisher"}
    assert len(box.tried) >= ENOUGH


def test_many_signals_to_reload_are_one(config: Config, box: FullBox) -> None:
    reloads = 0

    def reload() -> Config:
        nonlocal reloads
        reloads += 1
        hang_up(100 if reloads == 1 else 0)
        return config

    box.hang_ups = 100
    assert supervise(config, reload=reload) == 0
    assert reloads == 2, "and one for those that came meanwhile"


def test_a_reload_does_not_say_that_what_still_starts_is_ready(
    config: Config, box: FullBox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    box.hang_ups = 1
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(10)
        assert supervise(config, reload=lambda: config) == 0
        told = [systemd.recv(4096).decode()]
        while not told[-1].startswith("STOPPING=1"):
            told.append(systemd.recv(4096).decode())
    assert not any("READY=1" in message for message in told)
