from __future__ import annotations

import argparse
import configparser
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from conftest import unavailable

from streamd.commands import capture
from streamd.config import Config
from streamd.errors import ExitCode

FOLDER = Path(__file__).parents[2] / "systemd"
UNIT, CAPTURE = FOLDER / "streamd.service", FOLDER / "streamd-capture@.service"
SLICE, USERS = FOLDER / "streamd.slice", FOLDER / "user" / "streamd.service"
MOST_EXPOSED = 2.0
"""Of ten, as 'systemd-analyze security' counts."""


def directives(path: Path = UNIT) -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's names are case-sensitive
    parser.read(path)
    return dict(parser["Service"])


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        unavailable("no systemd-analyze: apt-get install systemd")
    with TemporaryDirectory() as runtime:  # a user's manager wants one
        environment = {**os.environ, "XDG_RUNTIME_DIR": runtime}
        return subprocess.run(
            ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, env=environment
        )


def copied(folder: Path, path: Path, name: str) -> str:
    """With a program that is there, beside its slice."""
    unit = folder / name
    unit.write_text(path.read_text().replace("/opt/streamd/bin/streamd", "/bin/true"))
    shutil.copy(SLICE, folder)
    return str(unit)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (UNIT, "streamd.service"),
        (CAPTURE, "streamd-capture@gate.service"),
        (SLICE, "streamd.slice"),
        (USERS, "streamd.service"),
    ],
)
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path, path: Path, name: str) -> None:
    unit = str(shutil.copy(SLICE, tmp_path)) if path == SLICE else copied(tmp_path, path, name)
    done = analyze("verify", *(["--user"] if path == USERS else []), unit)
    # Unknown keys are only warned of, with exit code 0.
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("path", "name"), [(UNIT, "streamd.service"), (CAPTURE, "streamd-capture@gate.service")])
def test_the_sandbox_leaves_little_open(tmp_path: Path, path: Path, name: str) -> None:
    done = analyze("security", "--offline=true", copied(tmp_path, path, name))
    found = re.search(r"Overall exposure level for \S+: (\d+\.\d+)", done.stdout)
    assert found is not None, done.stderr
    assert float(found[1]) <= MOST_EXPOSED


def test_every_protection_that_the_daemon_lacks_is_explained(tmp_path: Path) -> None:
    done = analyze("security", "--offline=true", copied(tmp_path, UNIT, "streamd.service"))
    lacking = re.findall(r"^✗ (\w+)=", done.stdout, re.M)
    assert lacking
    text = UNIT.read_text()
    for key in lacking:
        assert f"{key}=" in text, f"{key}= is neither set nor explained"


def test_systemd_makes_the_user_and_the_folders(tmp_path: Path) -> None:
    if shutil.which("systemd-sysusers") is None or os.getuid() != 0:
        unavailable("no systemd-sysusers, or not root: apt-get install systemd")
    for tool, kind in (("systemd-sysusers", "sysusers"), ("systemd-tmpfiles", "tmpfiles")):
        target = tmp_path / "etc" / f"{kind}.d" / "streamd.conf"
        target.parent.mkdir(parents=True)
        shutil.copy(FOLDER / f"streamd.{kind}.conf", target)
        make = ["--create"] if kind == "tmpfiles" else []
        done = subprocess.run([tool, f"--root={tmp_path}", *make, "streamd.conf"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert "streamd:" in (tmp_path / "etc/passwd").read_text()
    assert {"video", "render"} <= {line.split(":")[0] for line in (tmp_path / "etc/group").read_text().splitlines()}
    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in ("etc/streamd", "var/lib/streamd")}
    assert modes == {"etc/streamd": 0o750, "var/lib/streamd": 0o700}


def test_the_unit_stops_no_sooner_than_a_drain_may_take() -> None:
    assert float(directives()["TimeoutStopSec"]) > Config().supervision.drain_s


def test_a_wrong_configuration_is_not_tried_again() -> None:
    expected = [str(ExitCode.USAGE), str(ExitCode.CONFIG)]
    for path in (UNIT, CAPTURE):
        assert directives(path)["RestartPreventExitStatus"].split() == expected


def test_directories_are_private() -> None:
    unit = directives()
    assert {unit["StateDirectoryMode"], unit["RuntimeDirectoryMode"]} == {"0700"}


def test_a_capture_is_started_with_options_that_it_has() -> None:
    words = shlex.split(directives(CAPTURE)["ExecStart"])[1:]
    parser = argparse.ArgumentParser()
    capture.add_arguments(parser)
    assert words.pop(0) == "capture"
    given = parser.parse_args(words)
    assert (given.camera, given.connect, given.config) == ("%i", "${CONNECT}", None)
    assert given.key.parent == given.server_key.parent == Path("${CREDENTIALS_DIRECTORY}")


def test_no_unit_gives_a_camera_more_rights_than_the_daemon() -> None:
    mine, daemons = directives(CAPTURE), directives(UNIT)
    hardening = [key for key, value in daemons.items() if key.startswith(("Protect", "Restrict", "Private", "NoNew"))]
    for key in {*hardening, "LockPersonality", "SystemCallFilter", "CapabilityBoundingSet", "DevicePolicy"}:
        if key not in ("RestartPreventExitStatus", "RestrictAddressFamilies"):
            assert mine[key] == daemons[key], key
    assert set(mine["RestrictAddressFamilies"].split()) < set(daemons["RestrictAddressFamilies"].split())
