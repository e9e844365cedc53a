from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from streamd.config import Config
from streamd.errors import ExitCode

UNIT = Path(__file__).parents[2] / "systemd" / "streamd.service"


def directives() -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's names are case-sensitive
    parser.read(UNIT)
    return dict(parser["Service"])


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "streamd.service"
    unit.write_text(UNIT.read_text().replace("/opt/streamd/bin/streamd", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60)
    # Unknown keys are only warned of, with exit code 0.
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_stops_no_sooner_than_a_drain_may_take() -> None:
    assert float(directives()["TimeoutStopSec"]) > Config().supervision.drain_s


def test_a_wrong_configuration_is_not_tried_again() -> None:
    expected = [str(ExitCode.USAGE), str(ExitCode.CONFIG)]
    assert directives()["RestartPreventExitStatus"].split() == expected


def test_directories_are_private() -> None:
    unit = directives()
    assert {unit["StateDirectoryMode"], unit["RuntimeDirectoryMode"]} == {"0700"}
