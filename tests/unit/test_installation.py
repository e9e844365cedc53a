from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from streamd import installation
from streamd.cli import main
from streamd.commands import install
from streamd.errors import ExitCode
from streamd.installation import Done, Item, Places, items, marked, place, shipped

ROOT = Path(__file__).parents[2]
PROGRAM = "/opt/elsewhere/bin/streamd"


def installed(root: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, str]:
    """By path below ``root``, what became of it."""
    capsys.readouterr()
    assert main(["install", "--root", str(root), "--program", PROGRAM, "--json", *more]) == ExitCode.OK
    files = json.loads(capsys.readouterr().out)["files"]
    return {entry["path"].removeprefix(str(root)): entry["done"] for entry in files}


def placed(root: Path) -> set[str]:
    return {str(path).removeprefix(str(root)) for path in root.rglob("*") if path.is_file()}


SYSTEM = {
    "/etc/systemd/system/streamd.service",
    "/etc/systemd/system/streamd-capture@.service",
    "/etc/systemd/system/streamd.slice",
    "/etc/sysusers.d/streamd.conf",
    "/etc/tmpfiles.d/streamd.conf",
    "/etc/streamd/streamd.yaml",
}


def test_the_package_carries_every_file_of_the_folder() -> None:
    folder = ROOT / "systemd"
    for path in folder.rglob("*"):
        if path.is_file():
            assert shipped(str(path.relative_to(folder))) == path.read_text()


def test_everything_is_placed_and_called_where_it_lies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert installed(tmp_path, capsys) == dict.fromkeys(SYSTEM, "written")
    assert placed(tmp_path) == SYSTEM
    unit = (tmp_path / "etc/systemd/system/streamd.service").read_text()
    assert f"\nExecStart={PROGRAM} run --config /etc/streamd/streamd.yaml\n" in unit
    assert (tmp_path / "etc/streamd").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "etc/streamd/streamd.yaml").stat().st_mode & 0o777 == 0o640


def test_the_second_time_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    installed(tmp_path, capsys)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert set(installed(tmp_path, capsys).values()) == {"unchanged", "kept"}
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert installed(tmp_path, capsys, "--dry-run") == dict.fromkeys(SYSTEM, "written")
    assert placed(tmp_path) == set()


def test_an_existing_configuration_is_never_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "etc/streamd/streamd.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("cameras: {}\n")
    assert installed(tmp_path, capsys)["/etc/streamd/streamd.yaml"] == "kept"
    assert config.read_text() == "cameras: {}\n"


def test_the_first_configuration_is_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    installed(tmp_path, capsys)
    assert main(["check", "-c", str(tmp_path / "etc/streamd/streamd.yaml")]) == ExitCode.OK


def test_what_an_older_version_placed_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.service"
    place(Item(path, "old\n"))
    assert place(Item(path, "new\n")).done is Done.REPLACED
    assert path.read_text() == marked("new\n")
    assert placed(tmp_path) == {"/x.service"}


def test_what_somebody_changed_is_kept_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "x.service"
    place(Item(path, "old\n"))
    path.write_text(path.read_text() + "# mine\n")
    assert place(Item(path, "new\n")).done is Done.SAVED
    assert path.read_text() == marked("new\n")
    assert path.with_name("x.service.old").read_text().endswith("old\n# mine\n")


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.service"
    place(Item(path, "old\n"))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Exception, match=r"x\.service: cannot be written: No space left"):
        place(Item(path, "new\n"))
    assert path.read_text() == marked("old\n")
    assert placed(tmp_path) == {"/x.service"}


def test_uninstalling_leaves_state_and_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    installed(tmp_path, capsys)
    assert main(["uninstall", "--root", str(tmp_path)]) == ExitCode.OK
    assert placed(tmp_path) == {"/etc/streamd/streamd.yaml"}
    assert "kept: " in capsys.readouterr().out


def test_uninstalling_leaves_what_somebody_else_placed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    installed(tmp_path, capsys)
    unit = tmp_path / "etc/systemd/system/streamd.service"
    unit.write_text("[Service]\nExecStart=/usr/bin/streamd run\n")
    assert main(["uninstall", "--root", str(tmp_path)]) == ExitCode.OK
    assert placed(tmp_path) == {"/etc/streamd/streamd.yaml", "/etc/systemd/system/streamd.service"}
    assert f"rm {unit}" in capsys.readouterr().out


def test_uninstalling_twice_says_that_there_is_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["uninstall", "--root", str(tmp_path)]) == ExitCode.USAGE
    assert "nothing to remove" in capsys.readouterr().err


def test_a_users_service_goes_to_the_users_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(install, "MANAGER", Path("nowhere"))
    assert main(["install", "--user", "--program", PROGRAM]) == ExitCode.OK
    assert placed(tmp_path) == {"/config/systemd/user/streamd.service", "/config/streamd/streamd.yaml"}
    out = capsys.readouterr().out
    assert "systemctl --user daemon-reload" in out
    assert "systemctl --user enable --now streamd" in out
    assert main(["uninstall", "--user"]) == ExitCode.OK
    assert placed(tmp_path) == {"/config/streamd/streamd.yaml"}


def test_without_rights_nothing_is_written_and_the_way_is_told() -> None:
    with TemporaryDirectory() as folder:  # tmp_path is in a folder that nobody else may enter
        Path(folder).chmod(0o555)
        lesser = "os.setgid(65534); os.setuid(65534);" if os.getuid() == 0 else ""
        arguments = ["install", "--program", PROGRAM, "--root", folder]
        # The modules are loaded first: another user may not be able to read them.
        modules = "os, importlib.readers, streamd.cli, streamd.commands.install, streamd.installation, streamd.config"
        code = f"import {modules}; {lesser} raise SystemExit(streamd.cli.main({arguments!r}))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert done.returncode == ExitCode.UNAVAILABLE
        assert "may not be written by this user; call it as root" in done.stderr
        assert placed(Path(folder)) == set()


def test_a_program_that_the_sandbox_hides_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = "/home/ana/.local/bin/streamd"
    assert main(["install", "--root", str(tmp_path), "--program", program]) == ExitCode.USAGE
    assert "/opt/streamd" in capsys.readouterr().err
    assert placed(tmp_path) == set()


def test_the_program_that_runs_is_the_one_that_is_named() -> None:
    program = installation.this_program()
    assert program.split()[0].startswith(sys.prefix) or "-m streamd" in program


def test_every_unit_names_the_program(tmp_path: Path) -> None:
    for places in (Places.of_system(tmp_path), Places.of_user(tmp_path)):
        for item in items(places, PROGRAM):
            assert "/opt/streamd" not in item.text
            assert ("ExecStart=" in item.text) == item.path.name.endswith(".service")
