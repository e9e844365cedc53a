"""The example of a fleet is valid, and its files fit each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streamd.cli import main
from streamd.config import Config
from streamd.configfile import load_config
from streamd.errors import ExitCode

ROOT = Path(__file__).parents[2]
FLEET = ROOT / "config" / "fleet"
CREDENTIALS = ("west-key", "east-key", "postgres", "nats", "ramp")


@pytest.fixture(autouse=True)
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CREDENTIALS:
        (tmp_path / name).write_text("geheim")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/streamd")
    monkeypatch.delenv("STREAMD_URL", raising=False)


def config(name: str) -> Config:
    return load_config(FLEET / f"{name}.yaml")


def environment() -> dict[str, str]:
    lines = (FLEET / "gate.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.mark.parametrize("name", sorted(path.name for path in FLEET.glob("*.yaml")))
def test_every_file_is_valid(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "-c", str(FLEET / name)]) == ExitCode.OK
    assert capsys.readouterr().err == ""


def test_worker_boxes_share_gallery_and_bus_and_are_told_apart_on_it() -> None:
    west, east = config("west"), config("east")
    assert west.gallery == east.gallery
    assert west.sinks["bus"].model_copy(update={"box": "east"}) == east.sinks["bus"]
    assert not set(west.cameras) & set(east.cameras)


def test_the_camera_box_looks_for_faces_at_the_size_that_the_worker_expects() -> None:
    assert config("camera-box").cameras["gate"].detection == config("west").cameras["gate"].detection


def test_the_camera_connects_to_the_port_that_the_worker_box_listens_on(monkeypatch: pytest.MonkeyPatch) -> None:
    listen = config("west").frames.listen or ""
    assert environment()["CONNECT"].rpartition(":")[2] == listen.rpartition(":")[2]
    monkeypatch.setenv("STREAMD_URL", environment()["STREAMD_URL"])
    assert config("camera-box").cameras["gate"].url == environment()["STREAMD_URL"]


def test_every_credential_of_the_worker_box_is_handed_over() -> None:
    handed = set(re.findall(r"^LoadCredential=([^:]+):", (FLEET / "credentials.conf").read_text(), re.M))
    text = (FLEET / "west.yaml").read_text()
    assert handed == set(re.findall(r"\$\{cred:([^}]+)\}", text)) | set(re.findall(r"DIRECTORY\}/(\S+)", text))


def test_every_file_that_the_text_names_is_there() -> None:
    for name in ("config/fleet/README.md", "docs/scaling.md"):
        path = ROOT / name
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / target).exists(), f"{name}: {target}"
