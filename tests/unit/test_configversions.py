from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from streamd import configversions
from streamd.cli import main
from streamd.configfile import load_text
from streamd.errors import ConfigError, ExitCode

OLD = """\
# What we watch.
version: 0
streams:  # was the name of cameras once
  door:
    url: a.mp4  # the front door
"""


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 1 came of a version 0 that never was, in which cameras were streams."""

    def cameras_were_streams(document: MutableMapping[str, Any]) -> None:
        document["cameras"] = document.pop("streams")

    monkeypatch.setattr(configversions, "MIGRATIONS", {0: cameras_were_streams})


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        load_text(text, file="s.yaml", base=Path("/srv"))
    return str(refused.value).splitlines()


@pytest.mark.usefixtures("made_up")
def test_an_older_file_is_read_as_the_newer_one() -> None:
    assert load_text(OLD, file="s.yaml", base=Path("/srv")).cameras["door"].url == "/srv/a.mp4"


@pytest.mark.usefixtures("made_up")
def test_what_is_wrong_with_an_older_file_is_said_with_a_place() -> None:
    (problem,) = problems(OLD.replace("url", "uri"))
    assert problem.startswith("s.yaml:")
    assert "cameras.door" in problem


@pytest.mark.usefixtures("made_up")
def test_migrating_keeps_comments_and_the_file_of_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(OLD)
    path.chmod(0o640)
    assert main(["check", "--only-config", "-c", str(path)]) == ExitCode.OK
    assert "'streamd check --migrate' rewrites the file" in capsys.readouterr().err
    assert main(["check", "--migrate", "-c", str(path)]) == ExitCode.OK
    assert "# What we watch.\nversion: 1\n" in path.read_text()
    assert "url: a.mp4  # the front door" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "s.yaml.version0").read_text() == OLD
    capsys.readouterr()
    assert main(["check", "--only-config", "-c", str(path)]) == ExitCode.OK
    assert capsys.readouterr().err == ""
    assert main(["check", "--migrate", "-c", str(path)]) == ExitCode.OK
    assert "version 1 already" in capsys.readouterr().out


@pytest.mark.usefixtures("made_up")
def test_a_file_that_is_not_valid_is_not_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(OLD.replace("url", "uri"))
    assert main(["check", "--migrate", "-c", str(path)]) == ExitCode.CONFIG
    assert [p.name for p in tmp_path.iterdir()] == ["s.yaml"]


def test_a_newer_file_is_refused_for_that_alone() -> None:
    assert problems("version: 2\nsomething_new: 1\n") == [
        "s.yaml:1:1: version: version 2 is for a newer streamd, this one reads up to 1: update streamd, or put back the"
        " file that was used before"
    ]


@pytest.mark.parametrize("version", ["0", "-1", "one", "1.5", "[1]"])
def test_what_is_no_version_is_refused(version: str) -> None:
    (problem,) = problems(f"version: {version}\n")
    assert "version" in problem
