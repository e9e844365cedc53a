"""What systemd hears of the daemon, and when: the socket is served here."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

import pytest
from e2e.conftest import MakeDaemon
from e2e.daemon import Daemon, eventually

from streamd.errors import ExitCode

WATCHDOG_S = 1.0


@dataclass
class Listener:
    """Notes every datagram with its time."""

    channel: socket.socket
    heard: list[tuple[float, str]] = field(default_factory=list)

    def listen(self) -> None:
        while text := self.channel.recv(4096).decode():
            self.heard.append((time.monotonic(), text))

    def having(self, assignment: str, *, after_s: float = 0.0) -> list[str]:
        return [text for at_s, text in list(self.heard) if at_s > after_s and assignment in text.splitlines()]


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(address)
        made = Listener(channel)
        thread = Thread(target=made.listen)
        thread.start()
        yield made
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ender:
            ender.sendto(b"", address)
        thread.join(5)


@pytest.fixture
def daemon(make_daemon: MakeDaemon, listener: Listener, visits: Path) -> Daemon:
    env = {"NOTIFY_SOCKET": listener.channel.getsockname(), "WATCHDOG_USEC": str(round(WATCHDOG_S * 1e6))}
    return make_daemon({"door": {"url": str(visits)}}, env=env)


def test_systemd_hears_when_it_is_ready_healthy_reloading_and_stopping(daemon: Daemon, listener: Listener) -> None:
    daemon.start()
    # Every process runs, or it would not have answered; and nothing was said before.
    eventually(lambda: listener.having("READY=1"), what="READY=1")
    assert "STATUS=watching 1 cameras" in listener.having("READY=1")[0]
    logged = daemon.logged()
    assert logged.index("gateway is ready") < logged.index("ready: 1 cameras")

    now_s = time.monotonic()
    eventually(lambda: len(listener.having("WATCHDOG=1", after_s=now_s)) >= 2, what="a fed watchdog")

    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGSTOP)
    stopped_s = time.monotonic()
    quiet_since_s = stopped_s + 0.2  # what was on its way
    eventually(lambda: time.monotonic() > quiet_since_s + 2 * WATCHDOG_S, what="time to pass")
    assert not [text for at_s, text in listener.heard if at_s > quiet_since_s]
    daemon.process.send_signal(signal.SIGCONT)
    eventually(lambda: listener.having("WATCHDOG=1", after_s=quiet_since_s), what="a fed watchdog again")

    asked_s = time.monotonic()
    daemon.reload()
    eventually(lambda: listener.having("READY=1", after_s=asked_s), what="READY=1 after a reload")
    told = [text.split("\n")[0] for at_s, text in listener.heard if at_s > asked_s and "WATCHDOG" not in text]
    assert told == ["RELOADING=1", "READY=1"]

    daemon.body["cameras"] = {"door": {"uri": "wrong"}}
    daemon.write_config()
    asked_s = time.monotonic()
    daemon.reload()
    eventually(lambda: listener.having("READY=1", after_s=asked_s), what="READY=1 after a reload that was refused")

    assert not listener.having("STOPPING=1")
    assert daemon.stop() == ExitCode.OK
    assert len(listener.having("STOPPING=1")) == 1
    # A stop that was asked for is nothing to warn of.
    assert not [line for line in daemon.logged().splitlines() if "WARNING" in line and "ended" in line]


def test_what_cannot_start_is_never_ready(daemon: Daemon, listener: Listener) -> None:
    daemon.body["models_dir"] = str(daemon.folder / "nowhere")
    daemon.write_config()
    daemon.start(wait=False)
    assert daemon.process is not None
    assert daemon.process.wait(60) == ExitCode.UNAVAILABLE
    assert listener.having("STOPPING=1")
    assert not listener.having("READY=1")


def test_a_wrong_file_ends_with_its_own_exit_code(daemon: Daemon, listener: Listener) -> None:
    daemon.body["nonsense"] = 1
    daemon.write_config()
    daemon.start(wait=False)
    assert daemon.process is not None
    assert daemon.process.wait(60) == ExitCode.CONFIG
    assert not listener.heard
