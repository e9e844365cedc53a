"""``streamd gallery calibrate`` on made-up people, and what a running gallery makes of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from galleryparts import GREEN, ColourEmbedder, write_photo

from streamd.cli import main
from streamd.config import GalleryConfig
from streamd.errors import ExitCode
from streamd.gallery.live import LiveGallery
from streamd.gallery.rows import NewFace
from streamd.gallery.store import GalleryStore

MODEL = ColourEmbedder().model_id
Output = pytest.CaptureFixture[str]


pytestmark = pytest.mark.usefixtures("state")


def fill(state: Path, people: int, faces: int = 2) -> None:
    random = np.random.default_rng(2)
    with GalleryStore(state / "gallery.sqlite") as store:
        for person in range(people):
            centre = random.normal(size=ColourEmbedder().dim)
            rows = []
            for number in range(faces):
                vector = centre + random.normal(size=len(centre)) * 0.1
                unit = (vector / np.linalg.norm(vector)).astype(np.float32)
                rows.append(NewFace(unit, MODEL, b"", 0.9, f"photo:{person}-{number}.jpg", ""))
            store.add_faces(f"Person {person}", rows)


def run(capsys: Output, *args: object) -> tuple[int, str]:
    capsys.readouterr()
    code = main(["gallery", "calibrate", *map(str, args)])
    return code, capsys.readouterr().out


def test_what_was_measured_is_in_use_from_then_on(state: Path, capsys: Output) -> None:
    fill(state, 30)
    own = ColourEmbedder().scores
    with LiveGallery(state / "gallery.sqlite", model_id=MODEL, config=GalleryConfig()) as live:
        assert live.scores(own) == own
        code, out = run(capsys, "--json")
        body = json.loads(out)
        assert (code, body["people"], body["faces"], body["saved"]) == (ExitCode.OK, 30, 60, True)
        live.refresh()
        assert live.scores(own).impostor.std == pytest.approx(body["impostor"]["std"], abs=1e-4)
        assert run(capsys, "--reset")[0] == ExitCode.OK
        live.refresh()
        assert live.scores(own) == own
    assert Path(body["plot"]).read_bytes().startswith(b"\x89PNG")


def test_a_dry_run_changes_nothing(state: Path, capsys: Output) -> None:
    fill(state, 30)
    with GalleryStore(state / "gallery.sqlite") as store:
        before = store.version()
        code, out = run(capsys, "--dry-run")
        assert (code, store.version()) == (ExitCode.OK, before)
    assert "nothing was changed" in out


def test_few_people_are_told_so_and_single_photos_are_named(state: Path, capsys: Output) -> None:
    fill(state, 2, faces=1)
    code, out = run(capsys)
    assert code == ExitCode.OK
    assert "too few people" in out
    assert "one photo 2 of 2 people (Person 0, Person 1)" in out


def test_an_empty_gallery_says_what_to_do(state: Path, capsys: Output) -> None:
    assert main(["gallery", "calibrate"]) == ExitCode.UNAVAILABLE
    assert "streamd enroll NAME PHOTO" in capsys.readouterr().err


def test_strangers_come_from_a_folder_at_any_depth(state: Path, capsys: Output, tmp_path: Path) -> None:
    fill(state, 6)
    for number in range(6):
        write_photo(tmp_path / "strangers" / str(number) / "s.png", GREEN, seed=number)
    (tmp_path / "strangers" / "broken.jpg").write_text("words")
    code, out = run(capsys, "--strangers", tmp_path / "strangers", "--json")
    assert code == ExitCode.OK
    assert json.loads(out)["people"] == 6
    assert main(["gallery", "calibrate", "--strangers", str(tmp_path / "none")]) == ExitCode.USAGE
