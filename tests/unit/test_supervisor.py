"""What a configuration makes of children, and what a new one changes. The processes themselves: tests/e2e."""

import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamd.access import hash_token
from streamd.childprocess import ENGINES_TIMEOUT_S, GPU_TIMEOUT_S, policy
from streamd.config import CameraConfig, Config, DetectionConfig, LogConfig, WorkersConfig
from streamd.errors import DiskFull, ExitCode, UnavailableError, UsageError
from streamd.lifecycle import State
from streamd.sockets import Sockets
from streamd.specs import Spec, assignment, specs
from streamd.statedir import lock_state, prepare_directories
from streamd.supervisor import Supervisor, prepare_when_there_is_room, supervise


def config(state: Path = Path("/nonexistent"), **changes: object) -> Config:
    cameras = {
        "door": CameraConfig(url="rtsp://user:secret@host/door"),
        "yard": CameraConfig(url="rtsp://user:secret@host/yard"),
        "far": CameraConfig(remote=True),
    }
    return Config(state_dir=state, cameras=cameras).model_copy(update=changes)


def by_name(wanted: Config) -> dict[str, Spec]:
    return {spec.name: spec for spec in specs(wanted)}


def changed(before: Config, after: Config) -> set[str]:
    """Children that a reload restarts, starts or stops."""
    old, new = by_name(before), by_name(after)
    common = old.keys() & new.keys()
    return {n for n in common if not new[n].same_process(old[n])} | (old.keys() ^ new.keys())


def test_every_local_camera_has_a_process_and_a_remote_one_has_none() -> None:
    assert set(by_name(config())) == {"publisher", "worker@0", "gateway", "capture@door", "capture@yard"}


def test_only_the_capture_knows_a_cameras_streams() -> None:
    camera = CameraConfig(url="rtsp://user:secret@host/1", substream="rtsp://user:secret@host/2")
    children = by_name(config(cameras={"door": camera}))
    assert children["capture@door"].config.cameras["door"].substream == camera.substream
    assert children["worker@0"].config.cameras["door"].substream is None


def test_cameras_are_spread_over_workers_and_meet_the_same_one() -> None:
    spread = by_name(config(workers=WorkersConfig(count=2)))
    assert set(spread["worker@0"].config.cameras) == {"door", "far"}
    assert set(spread["worker@1"].config.cameras) == {"yard"}
    assert spread["capture@door"].index == 0
    assert spread["capture@yard"].index == 1


def test_each_worker_has_the_next_device_of_the_list() -> None:
    several = by_name(config(workers=WorkersConfig(device=("cuda:0", "cuda:1"), count=3)))
    devices = [several[f"worker@{i}"].config.workers.device for i in range(3)]
    assert devices == ["cuda:0", "cuda:1", "cuda:0"]
    assert several["worker@1"].config.workers.placement("sface")["device"] == "cuda:1"
    assert "worker@3" not in several


def test_there_is_a_worker_for_each_device_where_no_number_is_given() -> None:
    assert WorkersConfig(device=("cuda:0", "cuda:1")).processes == 2
    assert WorkersConfig().processes == 1


def test_one_more_worker_leaves_the_others_running() -> None:
    before = config(workers=WorkersConfig(count=2))
    kept = assignment(before, kept={})
    after = before.model_copy(update={"workers": WorkersConfig(count=3)})
    old = {spec.name: spec for spec in specs(before, workers=kept)}
    new = {spec.name: spec for spec in specs(after, workers=assignment(after, kept=kept))}
    assert all(new[name].same_process(old[name]) for name in old)


def test_a_reload_leaves_every_camera_with_its_worker() -> None:
    before = config(workers=WorkersConfig(count=2))
    moved = {**assignment(before, kept={}), "door": 1}
    cameras = {"first": CameraConfig(url="rtsp://host/first"), **before.cameras}
    after = assignment(before.model_copy(update={"cameras": cameras}), kept=moved)
    assert after == {"first": 0, **moved}


def test_a_camera_that_moves_restarts_its_capture_and_no_worker() -> None:
    wanted = config(workers=WorkersConfig(count=2))
    home = assignment(wanted, kept={})
    old = {spec.name: spec for spec in specs(wanted, workers=home)}
    new = {spec.name: spec for spec in specs(wanted, workers={**home, "door": 1})}
    assert {name for name in old if not new[name].same_process(old[name])} == {"capture@door"}
    assert set(new["worker@1"].config.cameras) == {"door", "yard"}
    assert set(new["worker@0"].config.cameras) == {"far"}


@pytest.mark.parametrize("slow", ["tensorrt", "fp16"])
def test_a_worker_may_take_long_to_build_its_engines(slow: str) -> None:
    patient = Config(workers=WorkersConfig.model_validate({slow: True}))
    assert policy(patient, "worker").start_timeout_s == ENGINES_TIMEOUT_S
    assert policy(Config(workers=WorkersConfig(device="cuda:0")), "worker").start_timeout_s == GPU_TIMEOUT_S
    assert policy(patient, "capture").start_timeout_s == policy(Config(), "worker").start_timeout_s == 60.0


def test_the_gateway_knows_which_cameras_there_are_and_no_address() -> None:
    cameras = {
        "door": CameraConfig(url="rtsp://ana:secret@h/x"),
        "phone": CameraConfig(url="whip://"),
        "far": CameraConfig(remote=True),
    }
    gateway = by_name(config().model_copy(update={"cameras": cameras}))["gateway"]
    known = gateway.config.cameras
    assert {name: (camera.remote, camera.is_whip) for name, camera in known.items()} == {
        "door": (False, False),
        "phone": (False, True),
        "far": (True, False),
    }
    assert "secret" not in gateway.config.model_dump_json()
    fewer = by_name(config().model_copy(update={"cameras": {"phone": cameras["phone"]}}))["gateway"]
    assert gateway.same_process(fewer)


def test_the_gateway_is_told_of_another_token_of_a_phone() -> None:
    def gateway(token: str) -> Spec:
        phone = CameraConfig(url="whip://", whip_token=hash_token(token))
        return by_name(config().model_copy(update={"cameras": {"phone": phone}}))["gateway"]

    assert gateway("one") != gateway("another")
    assert gateway("one").same_process(gateway("another"))


@pytest.mark.parametrize("name", ["worker@0", "publisher", "gateway"])
def test_passwords_go_to_the_capture_that_needs_them_alone(name: str) -> None:
    assert "secret" not in by_name(config())[name].config.model_dump_json()
    door = by_name(config())["capture@door"].config.model_dump_json()
    assert "secret@host/door" in door
    assert "yard" not in door


def test_a_new_url_restarts_that_camera_alone() -> None:
    before = config()
    cameras = {**before.cameras, "door": CameraConfig(url="rtsp://host/other")}
    assert changed(before, before.model_copy(update={"cameras": cameras})) == {"capture@door"}


def test_a_new_camera_starts_and_nobody_restarts() -> None:
    before = config()
    cameras = {**before.cameras, "new": CameraConfig(url="rtsp://host/new")}
    assert changed(before, before.model_copy(update={"cameras": cameras})) == {"capture@new"}


def test_a_camera_that_went_is_stopped_and_nobody_restarts() -> None:
    before = config()
    cameras = {n: c for n, c in before.cameras.items() if n != "yard"}
    assert changed(before, before.model_copy(update={"cameras": cameras})) == {"capture@yard"}


def test_how_a_face_is_decided_reaches_the_worker_without_any_restart() -> None:
    before = config()
    detection = DetectionConfig(min_face_px=80)
    cameras = {**before.cameras, "door": CameraConfig(url="rtsp://user:secret@host/door", detection=detection)}
    after = before.model_copy(update={"cameras": cameras})
    assert changed(before, after) == set()
    assert by_name(after)["worker@0"] != by_name(before)["worker@0"]


def test_a_new_log_level_reaches_everyone_and_nobody_restarts() -> None:
    before = config()
    after = before.model_copy(update={"log": LogConfig(level="debug")})
    assert changed(before, after) == set()
    assert all(spec != by_name(before)[name] for name, spec in by_name(after).items())


def test_a_second_daemon_with_the_same_state_is_refused(tmp_path: Path) -> None:
    lock_state(tmp_path)
    with pytest.raises(UnavailableError, match="another streamd runs"):
        lock_state(tmp_path)


def test_directories_are_private(tmp_path: Path) -> None:
    made = config(tmp_path / "state")
    prepare_directories(made)
    assert made.state_dir.stat().st_mode & 0o777 == 0o700
    # Elsewhere than in state_dir where that path is too long for a socket.
    assert made.sockets_dir.stat().st_mode & 0o777 == 0o700


def test_a_folder_for_sockets_that_somebody_else_made_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everybodys = tmp_path / "tmp"
    everybodys.mkdir()
    everybodys.chmod(0o1777)
    made = config(tmp_path / "state", runtime_dir=everybodys / "streamd-0-1234")
    prepare_directories(made)
    prepare_directories(made)
    monkeypatch.setattr("streamd.statedir.os.geteuid", lambda: os.getuid() + 1)
    with pytest.raises(UnavailableError, match="is another user's: set runtime_dir to"):
        prepare_directories(made)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="file/state: cannot be written: Not a directory"):
        prepare_directories(config(tmp_path / "file" / "state"))


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """A disk that is full until this list is empty."""
    write, left = Path.write_bytes, [b"", b""]

    def write_bytes(path: Path, data: bytes) -> int:
        if left:
            write(path, left.pop())
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    return left


def test_a_full_disk_is_told_and_nothing_is_left_on_it(tmp_path: Path, full: list[bytes]) -> None:
    made = config(tmp_path / "state")
    with pytest.raises(DiskFull, match="state: the disk is full: free some space"):
        prepare_directories(made)
    assert list(made.state_dir.glob(".probe*")) == []


def test_a_daemon_whose_disk_is_full_waits_for_room(
    tmp_path: Path, full: list[bytes], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pauses: list[float] = []
    told: list[str] = []
    monkeypatch.setattr("streamd.supervisor.time.sleep", pauses.append)
    monkeypatch.setattr("streamd.supervisor.notify", lambda *lines: told.extend(lines))
    made = config(tmp_path / "state")
    prepare_when_there_is_room(made)
    assert not full
    assert made.sockets_dir.is_dir()
    assert len(pauses) == 2
    assert sum(line.startswith("EXTEND_TIMEOUT_USEC=") for line in told) == 2, "systemd waits, too"
    assert caplog.text.count("waits until there is room") == 1


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    wanted = config(tmp_path / "state", runtime_dir=tmp_path / "run")
    prepare_directories(wanted)
    with Sockets() as sockets:
        made = Supervisor(wanted, sockets)
        made._apply(wanted)  # starts nobody yet
        yield made


def test_a_disk_that_fills_while_children_start_ends_nothing(supervisor: Supervisor, full: list[bytes]) -> None:
    supervisor._ended(supervisor._children["publisher"], ExitCode.UNAVAILABLE, 0.0)
    assert not supervisor._stopping
    full.clear()
    supervisor._ended(supervisor._children["worker@0"], ExitCode.UNAVAILABLE, 0.0)
    assert supervisor._stopping
    assert supervisor._exit_code == ExitCode.UNAVAILABLE


def test_a_second_child_that_cannot_run_is_no_second_signal(
    supervisor: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are still given the time to end in good order."""
    for name, code in (("publisher", ExitCode.UNAVAILABLE), ("gateway", ExitCode.CONFIG)):
        supervisor._ended(supervisor._children[name], code, 0.0)
    assert "children are killed" not in caplog.text
    assert supervisor._exit_code == ExitCode.UNAVAILABLE


def test_only_a_child_that_fails_is_warned_of(supervisor: Supervisor, caplog: pytest.LogCaptureFixture) -> None:
    """A worker ends by itself to be started again with another embedder."""
    caplog.set_level(logging.INFO)
    for name, code in (("worker@0", ExitCode.OK), ("publisher", ExitCode.INTERNAL)):
        supervisor._ended(supervisor._children[name], code, 0.0)
        assert supervisor._children[name].lifecycle.state is State.BACKOFF, "it is started again"
    levels = {r.getMessage().partition(" ")[0]: r.levelname for r in caplog.records if " ended: " in r.getMessage()}
    assert levels == {"worker@0": "INFO", "publisher": "WARNING"}


def test_a_configuration_without_cameras_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no cameras"):
        supervise(Config(state_dir=tmp_path))
