"""A hundred kills of everything that carries events, under load: everybody ends with the journal's own sequence."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from brokers import Mosquitto, MqttListener, NatsServer, Receiver, nats_messages
from e2e.daemon import Daemon, assert_contiguous, eventually
from publisherprocess import an_event

from streamd.config import Config
from streamd.deliveries import Deliveries
from streamd.endpoints import verdicts_endpoint
from streamd.errors import UnavailableError
from streamd.sockets import Sockets
from streamd.verdicts import VerdictSender

pytestmark = pytest.mark.e2e

KILLS = 100
SENDERS = 3
SINKS = ("bus", "file", "home", "hook")


class Load(threading.Thread):
    """Another process's end, sending some twenty events a second until it is told that it is enough."""

    def __init__(self, endpoint: str, number: int, enough: threading.Event) -> None:
        super().__init__(name=f"load-{number}")
        self.camera = f"cam{number}"
        self.sent: list[str] = []
        self.delivered = False
        self._endpoint, self._enough = endpoint, enough

    def run(self) -> None:
        with Sockets() as sockets:
            link = VerdictSender(sockets, self._endpoint, worker=self.name)
            while not self._enough.is_set():
                number = len(self.sent)
                event = replace(an_event(number, camera=self.camera), id=f"{self.camera}-{number}")
                link.send(event)
                self.sent.append(event.id)
                link.pump(time.monotonic())
                link.socket.poll(50)
            self.delivered = link.flush(60.0) and link.dropped == 0


class Follower:
    """``streamd events --follow`` into a file, going on after the last whole line."""

    def __init__(self, daemon: Daemon, out: Path) -> None:
        self._daemon, self._out = daemon, out
        self._process: subprocess.Popen[bytes] | None = None
        out.touch()

    def seqs(self) -> list[int]:
        return [json.loads(line)["seq"] for line in self._out.read_bytes().splitlines(keepends=True)]

    def start(self) -> None:
        lines = self._out.read_bytes()
        whole = lines[: lines.rfind(b"\n") + 1]
        self._out.write_bytes(whole)
        since = json.loads(whole.splitlines()[-1])["seq"] if whole else 0
        command = [sys.executable, "-m", "streamd", "events", "-c", str(self._daemon.config), "--follow", "--json"]
        with self._out.open("ab") as out:
            self._process = subprocess.Popen([*command, "--since", str(since)], stdout=out)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()


def killed_running(daemon: Daemon, victim: str) -> bool:
    """Kill a child if it runs; False where it does not, or was killed a moment ago and nobody has noticed yet."""
    try:
        child = daemon.child(victim)
        if child.state != "running" or child.pid is None:
            return False
        os.kill(child.pid, signal.SIGKILL)
    except (ProcessLookupError, UnavailableError):
        return False
    return True


@pytest.mark.timeout(600)
def test_a_hundred_kills_under_load_leave_everybody_with_the_journals_sequence(
    tmp_path: Path, models_dir: Path, gallery: Path, visits: Path, request: pytest.FixtureRequest
) -> None:
    moments = random.Random(5)
    receiver = Receiver()
    with Mosquitto(tmp_path / "mqtt") as broker, NatsServer(tmp_path / "nats") as nats:
        sinks = {
            "bus": {"kind": "nats", "url": f"nats://127.0.0.1:{nats.port}", "retry_max_s": 0.3},
            "file": {"kind": "file", "path": str(tmp_path / "events.jsonl"), "max_mb": 1000},
            "home": {"kind": "mqtt", "url": f"mqtt://127.0.0.1:{broker.port}", "retry_max_s": 0.3},
            "hook": {"kind": "webhook", "url": receiver.url, "retry_max_s": 0.3, "attempts": 1000},
        }
        extra = {"sinks": sinks, "supervision": {"backoff_min_s": 0.05, "backoff_max_s": 0.1}}
        cameras = {"kitchen": {"url": str(visits), "capture": {"image_fps": 5}}}
        daemon = Daemon(tmp_path / "d", models=models_dir, cameras=cameras, gallery=gallery, extra=extra)
        listener = MqttListener(broker.port, "streamd/events/#")
        with daemon, Deliveries(daemon.state / "deliveries.sqlite") as deliveries:
            eventually(lambda: set(deliveries.places()) == set(SINKS), what="every sink has its place")
            begin = deliveries.places()
            enough = threading.Event()
            endpoint = verdicts_endpoint(Config(state_dir=daemon.state).sockets_dir)
            loads = [Load(endpoint, n, enough) for n in range(SENDERS)]
            follower = Follower(daemon, tmp_path / "followed")
            follower.start()
            request.addfinalizer(follower.kill)
            for load in loads:
                load.start()
            killed: dict[str, int] = {}
            for _ in range(KILLS):
                threading.Event().wait(moments.uniform(0.0, 0.5))  # the moment is the point, not a condition
                victim = moments.choices(
                    ["publisher", "worker@0", "courier", "broker", "nats", "receiver", "follower"],
                    [25, 12, 20, 12, 12, 9, 10],
                )[0]
                killed[victim] = killed.get(victim, 0) + 1
                if victim == "broker":
                    broker.kill()
                    broker.start()
                elif victim == "nats":
                    nats.kill()
                    nats.start()
                elif victim == "receiver":
                    receiver.status = 500
                    receiver.stop()
                    receiver.start()
                    receiver.status = 200
                elif victim == "follower":
                    follower.kill()
                    follower.start()
                else:
                    eventually(lambda v=victim: killed_running(daemon, v), timeout_s=60)  # type: ignore[misc]  # a default binds
            enough.set()
            for load in loads:
                load.join()
            assert all(load.delivered for load in loads)
            daemon.stop()
            daemon.start()
            told = daemon.journal()[-1].seq  # more comes meanwhile: somebody walks past the camera
            eventually(lambda: min(deliveries.places().values()) >= told, timeout_s=60)
            daemon.stop()
            daemon.start()  # the last events are of the end itself
            journal = daemon.journal()
            last = journal[-1].seq
            eventually(lambda: min(deliveries.places().values()) >= last, timeout_s=60)
            eventually(lambda: follower.seqs()[-1] >= last, timeout_s=60)
        follower.kill()
        assert sum(killed.values()) == KILLS
        assert_contiguous(daemon.journal())
        ids = {event.seq: event.id for event in daemon.journal()}
        for load in loads:
            assert [e.id for e in journal if e.camera == load.camera] == load.sent
        assert follower.seqs()[:last] == list(range(1, last + 1))
        bus = nats_messages(nats.port, "STREAMD")
        assert all(ids[seq] == message_id for _, seq, message_id in bus)
        lines = [json.loads(line)["seq"] for line in (tmp_path / "events.jsonl").read_bytes().splitlines()]
        assert_exact([seq for _, seq, _ in bus], begin["bus"], last)
        assert_exact(receiver.seqs(), begin["hook"], last)
        eventually(lambda: last in listener.seqs(), timeout_s=60)
        assert_exact(listener.seqs(), begin["home"], last)
        assert_exact(lines, begin["file"], last)
        listener.close()
        receiver.stop()


def assert_exact(seqs: list[int], begin: int, last: int) -> None:
    """Every number up to ``last`` once and in order, from the one with which the sink began."""
    assert seqs[0] <= begin + 1
    assert [seq for seq in seqs if seq <= last] == list(range(seqs[0], last + 1))
