"""What is built holds everything that runs, and runs from where it is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

import pytest

import streamd

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
SOURCES = ("streamd", "systemd", "config", "pyproject.toml", "README.md", "LICENSE")
NOT_SHIPPED = re.compile(r"__pycache__|\.pyc$|egg-info")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the sdist, which is built from the tree."""
    tree = tmp_path_factory.mktemp("tree")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tree)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tree / "dist"), str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = (tree / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*command, str(wheel)], check=True, capture_output=True, timeout=110)
    return target


def run(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    program = [sys.executable, str(installed / "bin" / "streamd"), *arguments]
    return subprocess.run(program, capture_output=True, text=True, timeout=60, env=environment, cwd=installed.parent)


def files_below(folder: Path) -> Iterator[str]:
    """By name from ``folder``; links are followed."""
    for top, _, names in os.walk(folder, followlinks=True):
        for name in names:
            path = (Path(top) / name).relative_to(folder.parent).as_posix()
            if NOT_SHIPPED.search(path) is None:
                yield path


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    left_out = {path for path in files_below(ROOT / "streamd") if not path.startswith("streamd/examples/")} - held
    assert left_out == set()
    assert {"streamd/examples/streamd.yaml", "streamd/examples/fleet/west.yaml"} <= held


def test_the_wheel_says_what_it_needs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    assert (metadata["Name"], metadata["Version"]) == ("streamd", streamd.__version__)
    assert metadata["License-Expression"] == "Apache-2.0"
    assert {"cpu", "gpu", "mqtt", "nats", "openvino"} <= set(metadata.get_all("Provides-Extra", []))
    needs = metadata.get_all("Requires-Dist", [])
    assert all(re.search(r"[<>=]=?", need.split(";")[0]) for need in needs if "dev" not in need)
    # A wheel of the one and a wheel of the other have the same files.
    assert not any("onnxruntime" in need and "extra" not in need for need in needs)


def test_it_runs_from_where_it_is_installed(installed: Path, tmp_path: Path) -> None:
    assert run(installed, "--version").stdout == f"streamd {streamd.__version__}\n"
    assert run(installed, "check", "--print-defaults").stdout == (ROOT / "config" / "streamd.yaml").read_text()
    done = run(installed, "install", "--root", str(tmp_path), "--program", "/opt/streamd/bin/streamd")
    assert done.returncode == 0, done.stderr
    unit = (tmp_path / "etc/systemd/system/streamd.service").read_text()
    assert unit.partition("\n")[2] == (ROOT / "systemd" / "streamd.service").read_text()
