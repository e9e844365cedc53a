"""The demonstration's folder: made once, made again where its plan changed, and fit to run."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamd.configfile import load_config
from streamd.demo import __main__ as demo
from streamd.demo import clips, setup
from streamd.demo.clips import COLLINS, Visit
from streamd.demo.faces import face_files, pull_faces
from streamd.demo.setup import ENROLLED, prepare_demo
from streamd.errors import ExitCode, ModelError
from streamd.vision import fetch as fetching


@pytest.fixture(autouse=True)
def small_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One short clip of made-up photographs."""
    photos = tmp_path / "photos"
    photos.mkdir()
    names = {COLLINS[0], *ENROLLED.values()}
    for name in names:
        cv2.imwrite(str(photos / name), np.full((512, 512, 3), 200, np.uint8))
    visit = Visit(*COLLINS, 0.0, 0.5, (100, 120), ((0.3, 0.5), (0.7, 0.5)))
    monkeypatch.setattr(clips, "SECONDS", 1)
    monkeypatch.setattr(clips, "CLIPS", {"hall": (visit,)})
    monkeypatch.setattr(setup, "CLIPS", {"hall": (visit,)})
    monkeypatch.setattr(setup, "pull_faces", lambda *_, **__: {name: photos / name for name in names})


def test_the_written_configuration_loads_and_names_files_that_are_there(tmp_path: Path) -> None:
    config = load_config(prepare_demo(tmp_path / "demo"))
    assert list(config.cameras) == ["hall"]
    assert Path(config.cameras["hall"].url or "").is_file()
    people = {path.parent.name: path.name for path in config.gallery_folder.glob("*/*")}
    assert people == ENROLLED


def test_a_clip_that_is_there_is_not_rendered_again(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    prepare_demo(folder)
    told: list[str] = []
    prepare_demo(folder, rendered=lambda name, done, total: told.append(name))
    assert told == []


def test_a_changed_plan_renders_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_config(prepare_demo(tmp_path / "demo")).cameras["hall"].url
    monkeypatch.setattr(clips, "SECONDS", 2)
    assert load_config(prepare_demo(tmp_path / "demo")).cameras["hall"].url != first


def test_a_photograph_that_the_user_changed_stays(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    prepare_demo(folder)
    photo = folder / "gallery" / "Barack Obama" / "obama.jpg"
    photo.write_bytes(b"mine")
    prepare_demo(folder)
    assert photo.read_bytes() == b"mine"


def test_every_face_names_its_licence_its_hash_and_a_source() -> None:
    files = {face.name: face for face in face_files()}
    assert {*ENROLLED.values(), COLLINS[0]} <= set(files)
    for face in files.values():
        assert face.licence
        assert face.shows
        assert re.fullmatch(r"[0-9a-f]{64}", face.sha256)
        assert all(isinstance(source, fetching.PackageSource) for source in face.sources)
        assert face.sources


def test_a_face_that_cannot_be_had_is_an_error_with_its_name(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    with pytest.raises(ModelError, match=r"cannot write to .*file"):
        pull_faces(in_the_way)


def test_a_place_that_cannot_be_written_is_said_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(demo, "pull", lambda *_, **__: [])
    assert demo.main(tmp_path / "file" / "demo") == ExitCode.UNAVAILABLE
    assert capsys.readouterr().err.endswith("not a directory\n")
