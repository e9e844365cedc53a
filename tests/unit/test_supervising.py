"""What the supervisor does about children while the configuration changes. Real processes: tests/e2e."""

from __future__ import annotations

import io
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from streamd.config import CameraConfig, Config, SupervisionConfig, WorkersConfig
from streamd.control import RELOAD, ControlLink
from streamd.endpoints import control_endpoint
from streamd.errors import ExitCode
from streamd.sockets import Sockets
from streamd.statedir import prepare_directories
from streamd.supervisor import Supervisor
from streamd.wire import Header


class Process:
    """A child that does nothing; it ends when it is told to, or when the test says so."""

    def __init__(self) -> None:
        self.stdin = io.BytesIO()
        self.pid = 1
        self.code: int | None = None
        self.signals: list[int] = []

    def poll(self) -> int | None:
        return self.code

    def send_signal(self, number: int) -> None:
        self.signals.append(number)


class Daemon:
    """A supervisor whose time is told, and whose children are in the test's hand."""

    def __init__(self, config: Config, sockets: Sockets, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        monkeypatch.setattr("streamd.supervisor.time", SimpleNamespace(monotonic=lambda: self.now_s))
        self.started: list[Process] = []
        monkeypatch.setattr("streamd.childprocess.subprocess.Popen", self._popen)
        self._sockets = sockets
        self._endpoint = control_endpoint(config.sockets_dir)
        self._links: dict[str, ControlLink] = {}
        self.supervisor = Supervisor(config, sockets)
        self.apply(config)

    def _popen(self, *_: object, **__: object) -> Process:
        self.started.append(Process())
        return self.started[-1]

    def apply(self, config: Config) -> None:
        self.supervisor._apply(config)

    def turn(self, *, later_s: float = 0.0) -> None:
        self.now_s += later_s
        self.supervisor._hear(self.now_s)
        self.supervisor._reap(self.now_s)
        self.supervisor._act(self.now_s)
        self.supervisor._report(self.now_s)

    def states(self) -> dict[str, str]:
        return {name: child.lifecycle.state.value for name, child in self.supervisor._children.items()}

    def process(self, name: str) -> Process:
        process = self.supervisor._children[name].process
        assert isinstance(process, Process)
        return process

    def say_ready(self, *names: str) -> None:
        for name in names:
            self.link(name).ready()
        self.until(lambda: all(self.states()[name] == "running" for name in names))

    def link(self, name: str) -> ControlLink:
        if name not in self._links:
            self._links[name] = ControlLink.connect(self._sockets, self._endpoint, name=name, heartbeat_s=1.0)
        return self._links[name]

    def told(self, name: str) -> list[Header]:
        """Waits for what the supervisor says next."""
        found: list[Header] = []
        self.until(lambda: bool(found.extend(self.link(name).commands()) or found))
        return found

    def until(self, done: Callable[[], bool]) -> None:
        tick, end_s = threading.Event(), time.monotonic() + 5
        while True:
            self.turn()
            if done():
                return
            assert time.monotonic() < end_s
            tick.wait(0.005)


def config(state: Path, *cameras: str, **changes: object) -> Config:
    named = {name: CameraConfig(url=f"rtsp://host/{name}") for name in cameras}
    return Config(state_dir=state, cameras=named).model_copy(update=changes)


Start = Callable[[Config], Daemon]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a daemon, and waits until each of its children has a process."""
    with Sockets() as sockets:

        def begin(config: Config) -> Daemon:
            prepare_directories(config)
            daemon = Daemon(config, sockets, monkeypatch)
            daemon.turn()
            assert set(daemon.states().values()) == {"starting"}
            return daemon

        yield begin


EVERYBODY = ("publisher", "worker@0", "gateway", "capture@door")


def restart(daemon: Daemon, name: str) -> None:
    """What a child does that was told to drain."""
    daemon.process(name).code = 0
    daemon.turn()
    assert daemon.states()[name] == "starting"


def test_a_child_that_a_reload_restarts_is_watched_by_the_new_times(tmp_path: Path, start: Start) -> None:
    before = config(tmp_path, "door")
    daemon = start(before)
    daemon.say_ready(*EVERYBODY)
    daemon.apply(before.model_copy(update={"supervision": SupervisionConfig(stall_after_s=300.0, heartbeat_s=60.0)}))
    for name in EVERYBODY:
        restart(daemon, name)
    daemon.say_ready(*EVERYBODY)
    daemon.turn(later_s=200.0)
    assert all(signal.SIGABRT not in process.signals for process in daemon.started)
    daemon.turn(later_s=200.0)
    assert signal.SIGABRT in daemon.process("worker@0").signals


def test_a_worker_that_is_to_build_engines_from_now_on_may_take_long(tmp_path: Path, start: Start) -> None:
    before = config(tmp_path, "door")
    daemon = start(before)
    daemon.say_ready(*EVERYBODY)
    daemon.apply(before.model_copy(update={"workers": WorkersConfig(tensorrt=True)}))
    restart(daemon, "worker@0")
    daemon.turn(later_s=600.0)
    assert daemon.process("worker@0").signals == []


def cameras_of(header: Header) -> set[str]:
    assert header.kind == RELOAD
    return set(Config.model_validate(header.fields["config"]).cameras)


def test_a_child_that_runs_is_told_of_a_new_camera_at_once(tmp_path: Path, start: Start) -> None:
    daemon = start(config(tmp_path, "door"))
    daemon.say_ready(*EVERYBODY)
    daemon.apply(config(tmp_path, "door", "yard"))
    assert [cameras_of(header) for header in daemon.told("worker@0")] == [{"door", "yard"}]


@pytest.mark.parametrize("name", ["worker@0", "gateway"])
def test_a_child_that_was_starting_is_told_of_a_new_camera_once_it_is_ready(
    name: str, tmp_path: Path, start: Start
) -> None:
    daemon = start(config(tmp_path, "door"))
    daemon.apply(config(tmp_path, "door", "yard"))
    daemon.say_ready(name)
    assert [cameras_of(header) for header in daemon.told(name)] == [{"door", "yard"}]


def test_a_child_that_starts_again_with_the_newest_configuration_is_told_nothing(tmp_path: Path, start: Start) -> None:
    daemon = start(config(tmp_path, "door"))
    daemon.process("worker@0").code = -signal.SIGKILL
    daemon.turn()
    daemon.apply(config(tmp_path, "door", "yard"))
    daemon.turn(later_s=1.0)
    daemon.say_ready("worker@0")
    daemon.apply(config(tmp_path, "yard"))
    assert [cameras_of(header) for header in daemon.told("worker@0")] == [{"yard"}]


def test_restarts_are_counted_from_nought(tmp_path: Path, start: Start) -> None:
    """Prometheus takes a series that begins with 1 for no increase."""
    daemon = start(config(tmp_path, "door"))

    def told() -> list[float]:
        families = json.loads(daemon.supervisor._status(daemon.now_s).snapshots["supervisor"])["families"]
        return [value for _, labels, value in families["streamd_restarts_total"] if labels == ["capture@door"]]

    assert told() == [0.0]
    daemon.process("capture@door").code = -signal.SIGKILL
    daemon.turn()
    assert told() == [1.0]


def test_a_camera_that_went_is_not_said_to_be_down_for_ever(tmp_path: Path, start: Start) -> None:
    daemon = start(config(tmp_path, "door", "yard"))
    daemon.supervisor._metrics.cameras_moved.labels(camera="yard").inc()
    daemon.process("capture@yard").code = ExitCode.UNAVAILABLE
    daemon.turn()
    assert b"yard" in daemon.supervisor._status(daemon.now_s).snapshots["supervisor"]
    daemon.apply(config(tmp_path, "door"))
    daemon.turn()
    told = daemon.supervisor._status(daemon.now_s).snapshots["supervisor"]
    assert (b"yard" in told, b"capture@door" in told) == (False, True)


def test_a_child_that_a_reload_adds_and_that_cannot_be_had_is_tried_again(tmp_path: Path, start: Start) -> None:
    daemon = start(config(tmp_path, "door"))
    daemon.say_ready(*EVERYBODY)
    daemon.apply(config(tmp_path, "door", "yard"))
    daemon.turn()
    daemon.process("capture@yard").code = ExitCode.UNAVAILABLE
    daemon.turn()
    assert daemon.states() == {**dict.fromkeys(EVERYBODY, "running"), "capture@yard": "backoff"}
    daemon.turn(later_s=1.0)
    assert daemon.states()["capture@yard"] == "starting"


def test_a_child_that_cannot_be_had_at_the_very_start_ends_the_daemon(tmp_path: Path, start: Start) -> None:
    daemon = start(config(tmp_path, "door"))
    daemon.process("gateway").code = ExitCode.UNAVAILABLE
    daemon.turn()
    assert daemon.states()["capture@door"] == "stopping"
