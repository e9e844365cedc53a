"""Every block of shell commands in docs/ is run, in a home of its own beside a daemon, or at least read by the parser.

A block is ```sh. One marked ```sh not-run needs another host, root or minutes: its commands must still be commands,
with options that exist. A line whose comment says Ctrl-C goes on until then. A `streamd.yaml` that the page shows is
the one that its commands use; else they use the daemon's.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
import yaml
from e2e.conftest import SIZE
from e2e.daemon import Daemon, eventually, free_ports
from mediafiles import write_video
from numpy.typing import NDArray
from rtsp_fixtures import RtspServer

from streamd.access import hash_password
from streamd.cli import ROLES, VERBS
from streamd.config import Config
from streamd.configfile import load_text
from streamd.domain import Population
from streamd.standard import Standard
from streamd.vision.loading import load_embedder

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
ELSEWHERE = {"operations.md", "releasing.md"}
"""Pages on packages and units, whose commands are run where those are installed."""
PAGES = sorted(path for path in (ROOT / "docs").glob("*.md") if path.name not in ELSEWHERE)
ANN = "Ann Smith"
"""Whom the pages tell of."""
CAMERA = "192.168.1.20/stream1"
UNTIL_S = 10
"""For how long a command runs that goes on until Ctrl-C: it must have begun by then."""


def blocks(page: Path, info: str) -> list[str]:
    return re.findall(rf"^```{info}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def configuration(page: Path) -> str | None:
    """The file that a page shows as streamd.yaml."""
    found = re.search(r"^`streamd.yaml`:\n\n```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    return found[1] if found else None


RUN = [page.name for page in PAGES if blocks(page, "sh")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, obama: NDArray[Any]) -> Iterator[RtspServer]:
    with RtspServer(tmp_path_factory.mktemp("rtsp"), size=SIZE) as made:
        made.show("private", obama)
        yield made


@pytest.fixture(scope="module")
def daemon(
    tmp_path_factory: pytest.TempPathFactory,
    models_dir: Path,
    faces_dir: Path,
    obama: NDArray[Any],
    nobody: NDArray[Any],
) -> Iterator[Daemon]:
    """With a camera ``door``, before which somebody known comes and goes."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "visits").mkdir()
    for number in range(40):
        cv2.imwrite(str(folder / "visits" / f"{number:03}.png"), obama if number < 15 else nobody)
    gallery = folder / "gallery" / ANN
    gallery.mkdir(parents=True)
    (gallery / "obama.jpg").write_bytes((faces_dir / "obama.jpg").read_bytes())
    cameras = {"door": {"url": str(folder / "visits"), "capture": {"image_fps": 5}}}
    sinks = {"sinks": {"log": {"kind": "file", "path": str(folder / "events.jsonl")}}}
    with Daemon(folder / "d", models=models_dir, cameras=cameras, gallery=gallery.parent, extra=sinks) as made:
        eventually(lambda: made.events("face.left", camera="door"), timeout_s=40, what="a visit that is over")
        yield made


@pytest.fixture
def home(tmp_path: Path, daemon: Daemon, faces_dir: Path, models_dir: Path, obama: NDArray[Any]) -> dict[str, str]:
    """Where a page's commands run: a configuration, a photo, a film, and the repository's config folder."""
    state = tmp_path / "state" / "streamd"
    state.mkdir(parents=True, mode=0o700)
    (state / "models").symlink_to(models_dir)
    (tmp_path / "config").symlink_to(ROOT / "config")
    shutil.copy(faces_dir / "obama3.jpg", tmp_path / "ann.jpg")
    shutil.copy(faces_dir / "obama2.jpg", tmp_path / "ann2.jpg")
    write_video(tmp_path / "visit.mp4", [obama] * 15)
    shutil.copy(tmp_path / "visit.mp4", tmp_path / "clip.mp4")
    (tmp_path / "streamd.yaml").write_text(daemon.config.read_text())
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state"), "PATH": path}
    return env | {"STREAMD_CONFIG": str(tmp_path / "streamd.yaml"), "PYTHONPATH": str(ROOT)}


def until_ctrl_c(script: str) -> str:
    """Commands that go on are ended, which is no failure."""
    lines = []
    for line in script.splitlines():
        command, _, comment = line.partition(" #")
        ends = "Ctrl-C" in comment or "curl -sN" in line
        lines.append(f"{{ timeout -s INT {UNTIL_S} {command.strip()} || [ $? -eq 124 ]; }}" if ends else line)
    return "\n".join(lines)


def ports() -> str:
    """For a page's own configuration: the daemon beside it has the usual ones."""
    publish, replay, http = free_ports(3)
    return (
        f"events: {{publish: 'tcp://127.0.0.1:{publish}', replay: 'tcp://127.0.0.1:{replay}'}}\n"
        f"gateway: {{listen: '127.0.0.1:{http}'}}\n"
    )


@pytest.mark.parametrize("name", RUN)
def test_the_commands_of_a_page_work(
    name: str, home: dict[str, str], tmp_path: Path, daemon: Daemon, server: RtspServer
) -> None:
    page = ROOT / "docs" / name
    if (shown := configuration(page)) is not None:
        url = server.url("private", user="user:${DOOR_PASSWORD}").removeprefix("rtsp://user:${DOOR_PASSWORD}@")
        config = shown.replace(f"viewer:${{DOOR_PASSWORD}}@{CAMERA}", f"user:${{DOOR_PASSWORD}}@{url}")
        (tmp_path / "streamd.yaml").write_text(config + ports())
    script = "\n".join(blocks(page, "sh")).replace("http://127.0.0.1:8470", daemon.http)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", until_ctrl_c(script)],
        cwd=tmp_path,
        env=home,
        input="correct horse battery\n",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert "Traceback" not in done.stderr, done.stderr


def commands(script: str) -> list[list[str]]:
    """Each call of streamd in a script, as words."""
    joined = script.replace("\\\n", " ")
    found = [shlex.split(line, comments=True) for line in joined.splitlines()]
    parts = [part for words in found for part in _calls(words)]
    return [part[1:] for part in parts if part and Path(part[0]).name == "streamd"]


def _calls(words: list[str]) -> Iterator[list[str]]:
    call: list[str] = []
    for word in [*words, "|"]:
        if word in ("|", "&&", ";", "||", ">"):
            yield call
            call = []
        else:
            call.append(word)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_not_run_are_commands_that_exist(page: Path) -> None:
    for words in (call for script in blocks(page, "sh not-run") for call in commands(script)):
        assert words[0] in {*VERBS, *ROLES}, words
        parser = _parser(words[0])
        parser.parse_args([word.replace("...", "x") for word in words[1:]])


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"streamd {command}")
    importlib.import_module(f"streamd.commands.{command}").add_arguments(parser)
    return parser


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)", page.read_text()):
        path = (page.parent / target) if target else page
        assert path.exists(), target
        if anchor and path.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}, (target, anchor)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_is_there(page: Path) -> None:
    """Files of the repository, and sub-commands, that stand in back-ticks."""
    for path in re.findall(r"`((?:streamd|tests|config|docs|systemd)/[\w./-]+\.\w+)`", page.read_text()):
        assert (ROOT / path).exists(), path
    for command in re.findall(r"`streamd ([a-z]+)\b", page.read_text()):
        assert command in {*VERBS, *ROLES, "install", "uninstall", "state"}, command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_shows_of_the_configuration_is_valid(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/")
    for shown in blocks(page, "yaml"):
        body = yaml.safe_load(shown)
        if not body.keys() <= Config.model_fields.keys():
            continue  # a model's manifest
        if "gateway" in body:  # which needs somebody who may log in
            body["gateway"]["users"] = {"ana": {"role": "admin", "password": hash_password("correct horse")}}
            shown = yaml.safe_dump(body)
        text = re.sub(r"\$\{(?:cred:)?\w+\}", "x" * 8, shown)
        load_text(text, file=page.name, base=ROOT)


def test_the_pixels_of_a_face_are_what_the_formula_says() -> None:
    rows = re.findall(r"^\| ([\d.]+) mm \| (\d+)° \| (.+) \|$", (ROOT / "docs/placing.md").read_text(), re.MULTILINE)
    assert len(rows) == 4
    for focal, _, cells in rows:
        told = [int(cell) for cell in cells.split("|")]
        assert told == [round(1920 * 0.22 * float(focal) / (5.6 * distance)) for distance in (2, 3, 5, 8, 12)]


def test_the_thresholds_of_the_gallerys_page_are_those_in_use(models_dir: Path) -> None:
    embedder = load_embedder("sface", models=models_dir, device="cpu")
    rows = re.findall(
        r"^\| (0\.0+1)(?: \(default\))? \| (.+) \|$", (ROOT / "docs/gallery.md").read_text(), re.MULTILINE
    )
    assert len(rows) == 3
    for far, cells in rows:
        populations = [Population(people, people) for people in (1, 10, 100, 1000)]
        told = [Standard(embedder.scores, float(far), 0.08, people).threshold() for people in populations]
        assert cells.split(" | ") == [f"{threshold:.3f}" for threshold in told]
