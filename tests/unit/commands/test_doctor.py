from __future__ import annotations

import errno
import json
import os
import re
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streamd.cli import main
from streamd.commands import (
    camera_checks,
    decoder_checks,
    host_checks,
    library_checks,
    provider_checks,
    security_checks,
)
from streamd.commands.finding import Finding, Level
from streamd.config import CaptureConfig, Config
from streamd.errors import ExitCode, SourceLost, SourceRejected
from streamd.interfaces import DecodedFrame, Source, SourceInfo


@pytest.fixture(autouse=True)
def own_directories(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("STREAMD_CONFIG", raising=False)
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setattr(camera_checks, "WATCH_S", 0.05)
    monkeypatch.setattr(library_checks, "_pip_check", lambda: None)  # which takes seconds


def only(findings: Iterable[Finding]) -> Finding:
    (finding,) = findings
    return finding


def versions(**known: str) -> Callable[[str], str | None]:
    return lambda package: known.get(package.replace("-", "_"))


# Libraries


@pytest.mark.parametrize(
    ("known", "has_gpu", "level", "message"),
    [
        ({"onnxruntime": "1"}, False, Level.OK, "onnxruntime 1, CPU"),
        ({"onnxruntime_gpu": "1"}, True, Level.OK, "onnxruntime-gpu 1"),
        ({"onnxruntime": "1", "onnxruntime_gpu": "1"}, True, Level.FAIL, "overwrite each other"),
        ({}, False, Level.FAIL, "not installed"),
        ({"onnxruntime": "1"}, True, Level.WARN, "although there is an NVIDIA GPU"),
        ({"onnxruntime_gpu": "1"}, False, Level.WARN, "no NVIDIA driver"),
    ],
)
def test_exactly_one_onnxruntime_that_fits_the_machine(
    known: dict[str, str], has_gpu: bool, level: Level, message: str
) -> None:
    finding = only(library_checks.runtimes(versions(**known), has_gpu=has_gpu))
    assert finding.level == level
    assert message in finding.message
    assert bool(finding.advice) == (level != Level.OK)


def test_two_opencv_wheels_fail() -> None:
    found = library_checks.opencvs(versions(opencv_python="4", opencv_python_headless="4"))
    assert only(found).level == Level.FAIL
    assert not list(library_checks.opencvs(versions(opencv_python_headless="4")))


def test_a_library_that_does_not_load_is_named_with_the_reason() -> None:
    failure = library_checks.loading_failure(["nowhere_to_be_found"])
    assert failure == "ModuleNotFoundError: No module named 'nowhere_to_be_found'"


def test_a_library_that_kills_the_process_is_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deadly.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert "killed by signal 4" in (library_checks.loading_failure(["deadly"]) or "")


def test_versions_that_do_not_fit_together_are_named_with_what_to_install() -> None:
    said = (
        "aiortc 1.9.0 has requirement av<13,>=9, but you have av 18.1.0.\n"
        "pytest 8.0 requires pluggy, which is not installed.\n"
    )
    ours, other = library_checks.conflicts(said)
    assert (ours.level, ours.advice) == (Level.FAIL, "pip install 'av<13,>=9'")
    assert (other.level, other.advice) == (Level.WARN, "pip install 'pluggy'")
    assert list(library_checks.conflicts("No broken requirements found.\n")) == []
    assert list(library_checks.conflicts(None)) == []


# What computes


def test_the_provider_in_use_is_compared_with_the_others() -> None:
    fine = provider_checks.compared("sface", "openvino", {"cpu": 24.0, "openvino": 12.0}, {})
    assert (fine.level, fine.message) == (Level.OK, "runs on openvino (openvino 12.0 ms, cpu 24.0 ms)")
    slow = provider_checks.compared("sface", "cpu", {"cpu": 24.0, "cuda": 1.0}, {})
    assert (slow.level, slow.advice) == (Level.WARN, "workers.device: cuda:0")


def test_an_accelerator_that_is_installed_and_cannot_be_used_is_warned_of() -> None:
    finding = provider_checks.compared("sface", "cpu", {"cpu": 24.0}, {"cuda": "libcudnn.so.9 is missing"})
    assert finding.level == Level.WARN
    assert "libcudnn.so.9 is missing" in finding.message


def test_every_provider_that_is_installed_is_tried_with_one_inference(models_dir: Path) -> None:
    findings = list(provider_checks.providers(Config(models_dir=models_dir)))
    assert [f.topic for f in findings] == ["accelerator yunet", "accelerator sface"]
    assert all(re.search(r"runs on \S+ \(.*cpu \d+\.\d ms", f.message) for f in findings)


# Security


def weakened(file: Path | None = None, **settings: Any) -> dict[str, Finding]:
    """By topic, without what is said of this machine."""
    found = security_checks.security(Config.model_validate(settings), file)
    return {f.topic: f for f in found if f.topic not in ("user", "gateway.users", "events.publish", "events.replay")}


def test_settings_that_weaken_security_are_warned_of() -> None:
    user = {"password": "scrypt:14:" + "a" * 22 + ":" + "b" * 43, "role": "admin"}
    gateway = {"listen": "0.0.0.0:8470", "plain": True, "public_metrics": True, "users": {"ana": user}}
    sinks = {"bus": {"kind": "mqtt", "url": "mqtt://192.0.2.1", "plain": True}}
    found = weakened(gateway=gateway, sinks=sinks, snapshots={"frames": "full"}, events={"retention_days": 1000})
    expected = {"gateway.plain", "gateway.public_metrics", "sinks.bus.plain", "snapshots.frames", "retention_days"}
    assert found.keys() == expected | {"gallery.key_file"}
    assert all(f.level == Level.WARN and f.advice for f in found.values())


def test_events_that_every_account_on_the_machine_may_read_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security_checks, "_logins", lambda: 2)
    config = Config.model_validate({"runtime_dir": "/run/streamd"})
    found = {f.topic: f for f in security_checks.security(config)}
    assert found["events.replay"].message.endswith("everybody with an account on this machine (2) reads whom it saw")
    advised = {key: found[f"events.{key}"].advice for key in ("publish", "replay")}
    assert advised == {key: f"ipc:///run/streamd/{key}.sock" for key in advised}
    config = Config.model_validate({"runtime_dir": "/run/streamd", "events": advised})
    assert not {"events.publish", "events.replay"} & {f.topic for f in security_checks.security(config)}
    assert "events.publish" not in {f.topic for f in host_checks.ports(config)}


def test_settings_that_weaken_nothing_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security_checks.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(security_checks, "_logins", lambda: 1)
    key = tmp_path / "key"
    key.touch(mode=0o600)
    config = Config.model_validate({"gallery": {"key_file": key}})
    assert only(security_checks.security(config)).level == Level.OK
    key.chmod(0o644)
    assert only(security_checks.security(config)).advice == f"chmod 600 {key}"


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("cameras: {door: {url: 'rtsp://ana:geheim@192.0.2.1/x'}}", True),
        ("cameras: {door: {url: 'rtsp://ana:${PASSWORD}@192.0.2.1/x'}}", False),
        ("# rtsp://ana:geheim@192.0.2.1/x", False),
        ("sinks:\n  a:\n    secret: geheim", True),
        ("sinks:\n  a:\n    secret: ${cred:hook}", False),
    ],
)
def test_a_file_with_a_password_that_others_can_read_is_warned_of(tmp_path: Path, text: str, warned: bool) -> None:
    file = tmp_path / "streamd.yaml"
    file.write_text(text)
    file.chmod(0o644)
    assert ("configuration" in weakened(file)) == warned
    file.chmod(0o600)
    assert "configuration" not in weakened(file)
    file.chmod(0o666)
    assert "others can change it" in weakened(file)["configuration"].message or warned


# Host


def test_a_missing_directory_that_can_be_made_is_ok(tmp_path: Path) -> None:
    finding = only(host_checks.private_directory("state_dir", tmp_path / "a" / "b"))
    assert (finding.level, "will be made" in finding.message) == (Level.OK, True)


def test_a_directory_that_others_can_read_is_warned_of(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    finding = only(host_checks.private_directory("state_dir", tmp_path))
    assert (finding.level, finding.advice) == (Level.WARN, f"chmod 700 {tmp_path}")


def test_a_file_in_the_directorys_place_fails(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    assert only(host_checks.private_directory("state_dir", tmp_path / "f")).level == Level.FAIL


def test_a_directory_that_cannot_be_written_fails() -> None:
    assert only(host_checks.private_directory("state_dir", Path("/proc/streamd"))).level == Level.FAIL


def test_a_full_disk_is_not_taken_for_another_users_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(host_checks.tempfile, "TemporaryFile", full)
    finding = only(host_checks.private_directory("state_dir", tmp_path))
    assert (finding.level, finding.advice) == (Level.FAIL, "free some space, or set state_dir")


def test_a_clock_before_the_installation_fails() -> None:
    assert host_checks.clock_finding(0.0, 1.7e9).level == Level.FAIL
    assert host_checks.clock_finding(1.7e9 + 1, 1.7e9).level == Level.OK


def test_a_port_that_another_program_has_fails_with_its_key() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        finding = host_checks.port_finding("events.publish", "127.0.0.1", port, ours=False)
        assert (finding.level, finding.topic) == (Level.FAIL, "events.publish")
        assert "address already in use" in finding.message
        assert host_checks.port_finding("events.publish", "127.0.0.1", port, ours=True).level == Level.OK
    assert host_checks.port_finding("events.publish", "127.0.0.1", port, ours=False).level == Level.OK


def test_a_listening_control_socket_is_the_daemon(tmp_path: Path) -> None:
    config = Config(state_dir=tmp_path, runtime_dir=tmp_path)
    assert not host_checks.daemon_answers(config)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "control.sock"))
        server.listen()
        assert host_checks.daemon_answers(config)


def test_a_secret_key_that_others_can_read_is_warned_of(tmp_path: Path) -> None:
    key = tmp_path / "k"
    key.touch(mode=0o644)
    frames = {"listen": "tcp://127.0.0.1:5570", "server_key": key, "clients": tmp_path}
    config = Config.model_validate({"frames": frames})
    assert only(host_checks.keys(config)).level == Level.WARN
    key.unlink()
    assert only(host_checks.keys(config)).level == Level.FAIL


# Cameras


class FakeSource(Source):
    def __init__(self, failure: Exception | None = None, wait: threading.Event | None = None) -> None:
        self._failure = failure
        self._wait = wait
        self._pause = threading.Event()
        self.stated_fps = 15.0
        self.closed = False

    def open(self) -> SourceInfo:
        if self._wait is not None:
            self._wait.wait(30)
        if self._failure is not None:
            raise self._failure
        return SourceInfo(1280, 720, self.stated_fps, "h264")

    def read(self, timeout_s: float) -> DecodedFrame:
        self._pause.wait(0.001)
        return SimpleNamespace()  # nobody looks at the picture

    def close(self) -> None:
        self.closed = True


def camera_findings(**sources: FakeSource) -> list[Finding]:
    cameras = {name: {"url": f"rtsp://bob:geheim@{name}/s"} for name in sources}
    config = Config.model_validate({"cameras": cameras})

    def opener(url: str, capture: CaptureConfig) -> Source:
        return sources[url.split("@")[1].split("/")[0]]

    return list(camera_checks.camera_findings(config, opener))


def test_a_good_camera_is_described_and_closed() -> None:
    source = FakeSource()
    finding = only(camera_findings(door=source))
    assert finding.level == Level.OK
    assert re.fullmatch(
        r"h264 1280x720, 15 fps \(\d+\.\d measured\), first picture after \d+ ms, password accepted", finding.message
    )
    assert source.closed


def test_a_camera_that_gives_fewer_pictures_than_it_states_is_warned_of() -> None:
    source = FakeSource()
    source.stated_fps = 100_000.0
    finding = only(camera_findings(door=source))
    assert finding.level == Level.WARN
    assert finding.message.endswith("fewer pictures than it states")
    assert "transport: tcp" in finding.advice


@pytest.mark.parametrize(("url", "advice"), [("rtsp://a:b@h/x", "the password is wrong"), ("rtsp://h/x", "is missing")])
def test_a_refusal_says_whether_a_password_is_wrong_or_missing(url: str, advice: str) -> None:
    config = Config.model_validate({"cameras": {"door": {"url": url}}})
    refused = FakeSource(SourceRejected("401: the password is wrong, or missing"))
    finding = only(camera_checks.camera_findings(config, lambda url, capture: refused))
    assert advice in finding.advice


@pytest.mark.parametrize(
    ("failure", "advice"), [(SourceLost("no answer"), "power, network"), (SourceRejected("401"), "the password in it")]
)
def test_a_bad_camera_fails_with_advice_and_is_closed(failure: Exception, advice: str) -> None:
    source = FakeSource(failure)
    finding = only(camera_findings(door=source))
    assert finding.level == Level.FAIL
    assert advice in finding.advice
    assert "geheim" not in finding.message
    assert source.closed


def test_a_camera_that_hangs_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("OPEN_S", 0.1), ("PICTURE_S", 0.1), ("WATCH_S", 0.1), ("GRACE_S", 3.0)):
        monkeypatch.setattr(camera_checks, name, seconds)
    forever = threading.Event()
    findings = camera_findings(stuck=FakeSource(wait=forever), door=FakeSource())
    forever.set()
    assert [(f.topic, f.level) for f in findings] == [("camera stuck", Level.FAIL), ("camera door", Level.OK)]


def test_both_streams_of_a_camera_are_tried() -> None:
    camera = {"url": "rtsp://bob:geheim@door/main", "substream": "rtsp://bob:geheim@door/sub"}
    config = Config.model_validate({"cameras": {"door": camera}})
    sources = {"main": FakeSource(), "sub": FakeSource(SourceRejected("sub: 404"))}
    finding = only(camera_checks.camera_findings(config, lambda url, capture: sources[url.rpartition("/")[2]]))
    assert finding.level == Level.FAIL
    assert finding.message == "sub: 404"
    assert all(source.closed for source in sources.values())
    sources["sub"] = FakeSource()
    finding = only(camera_checks.camera_findings(config, lambda url, capture: sources[url.rpartition("/")[2]]))
    assert finding.message.count("h264 1280x720") == 2
    assert "; sub-stream h264" in finding.message


@pytest.mark.parametrize(("hwaccel", "levels"), [("none", [0]), ("auto", [0]), ("vaapi", [0, 2]), ("cuda", [0])])
def test_a_decoder_that_a_camera_asks_for_must_be_there(hwaccel: str, levels: list[int]) -> None:
    config = Config.model_validate({"cameras": {"door": {"url": "a.mp4", "capture": {"hwaccel": hwaccel}}}})
    absent = {"vaapi": "not built in"}
    findings = list(decoder_checks.decoder_findings(config, ["cuda"], absent.get))
    assert [int(finding.level) for finding in findings] == levels
    assert findings[0].message == "cuda (PyAV is built for cuda)"


def test_a_remote_camera_is_not_tried() -> None:
    config = Config.model_validate({"cameras": {"gate": {"remote": True}}})
    assert only(camera_checks.camera_findings(config, lambda url, capture: FakeSource())).level == Level.OK


# The command


def test_a_broken_configuration_fails_and_the_rest_is_examined(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("stat_dir: x")
    assert main(["doctor", "--json", "--no-cameras", "-c", str(path)]) == ExitCode.UNAVAILABLE
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False
    assert report["findings"][0]["message"] == f"{path}:1:1: stat_dir: unknown key; did you mean 'state_dir'?"
    assert {"python", "disk", "clock"} <= {finding["topic"] for finding in report["findings"]}


def test_missing_models_fail_with_the_command_that_fetches_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--no-cameras"]) == ExitCode.UNAVAILABLE
    out = capsys.readouterr().out
    assert "fail  model yunet: " in out
    assert "run 'streamd models pull yunet'" in out


def test_present_models_are_timed_on_the_provider_in_use(models_dir: Path) -> None:
    from streamd.commands.model_checks import models

    findings = list(models(Config(models_dir=models_dir)))
    assert [f.topic for f in findings] == ["model yunet", "model sface"]
    assert all(f.level == Level.OK for f in findings)
    assert all(re.search(r", [0-9.]+ ms .* on (cpu|cuda|openvino|openvino-bf16)$", f.message) for f in findings)


def test_a_camera_that_browsers_send_to_is_not_tried() -> None:
    config = Config.model_validate({"cameras": {"phone": {"url": "whip://"}}})

    def opener(url: str, capture: CaptureConfig) -> Source:
        raise AssertionError("tried")

    finding = only(camera_checks.camera_findings(config, opener))
    assert finding.level == Level.OK
    assert finding.message == "waits for a browser or phone; not tried"
