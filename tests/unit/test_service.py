from __future__ import annotations

import argparse
import configparser
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from streamd.commands import capture
from streamd.config import Config
from streamd.errors import ExitCode

FOLDER = Path(__file__).parents[2] / "systemd"
UNIT, CAPTURE = FOLDER / "streamd.service", FOLDER / "streamd-capture@.service"


def directives(path: Path = UNIT) -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's names are case-sensitive
    parser.read(path)
    return dict(parser["Service"])


@pytest.mark.parametrize(("path", "name"), [(UNIT, "streamd.service"), (CAPTURE, "streamd-capture@gate.service")])
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path, path: Path, name: str) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / name
    unit.write_text(path.read_text().replace("/opt/streamd/bin/streamd", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60)
    # Unknown keys are only warned of, with exit code 0.
    assert (done.returncode, done.stderr) == (0, "")


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
