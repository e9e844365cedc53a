"""The accuracy benches on made-up faces: files in, figures out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from galleryparts import GREEN, RED, ColourEmbedder, SquareDetector, write_photo

from streamd.bench import accuracy, detectors, identify, plots
from streamd.bench.photographs import FaceReader, people_in, subject
from streamd.domain import Box, Detection, Face, Quality
from streamd.errors import UsageError
from streamd.gallery.examiner import PhotoExaminer
from streamd.scores import ScoreModel, Spread

GOOD = Quality(0.9, 100, 0.9, 0.9, 0.9, 0.9)
SCORES = ScoreModel(Spread(0.1, 0.09), Spread(0.7, 0.12))


BOX = Box(0, 0, 10, 10)


def face(vector: list[float], box: Box = BOX) -> Face:
    unit = np.array(vector, np.float32)
    return Face(Detection(box, 0.9), np.zeros((112, 112, 3), np.uint8), GOOD, unit / np.linalg.norm(unit))


def reader() -> FaceReader:
    return FaceReader(PhotoExaminer(SquareDetector(), ColourEmbedder()))


def pairs_file(tmp_path: Path, rows: list[str], head: str = "a,b,same") -> Path:
    for name in ("x.jpg", "y.jpg"):
        (tmp_path / name).touch()
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


GOOD_ROWS = ["x.jpg,y.jpg,1"] * 10 + ["x.jpg,y.jpg,0"] * 10


def test_pairs_are_read_with_every_word_for_yes_and_no(tmp_path: Path) -> None:
    rows = [f"x.jpg,y.jpg,{word}" for word in ("1", "true", "YES", "same", "0", "False", "no", "different")] * 5
    pairs = accuracy.read_pairs(pairs_file(tmp_path, rows), tmp_path)
    assert [pair.same for pair in pairs[:8]] == [True] * 4 + [False] * 4
    assert pairs[0].a == tmp_path / "x.jpg"


@pytest.mark.parametrize(
    ("rows", "head", "message"),
    [
        (GOOD_ROWS, "a,c,same", "no column b; the first line must be a,b,same"),
        ([*GOOD_ROWS, "x.jpg,z.jpg,1"], "a,b,same", "pairs.csv:22: no file .*z.jpg"),
        ([*GOOD_ROWS, "x.jpg,y.jpg,maybe"], "a,b,same", "pairs.csv:22: same: 'maybe' is neither 1 nor 0"),
        (GOOD_ROWS[:10], "a,b,same", "fewer than 10 pairs of different people"),
    ],
)
def test_a_wrong_file_is_told_with_its_line(tmp_path: Path, rows: list[str], head: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        accuracy.read_pairs(pairs_file(tmp_path, rows, head), tmp_path)


def test_a_missing_or_binary_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        accuracy.read_pairs(tmp_path / "none.csv", tmp_path)
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not a CSV file"):
        accuracy.read_pairs(tmp_path / "b.csv", tmp_path)


def test_the_figures_have_the_agreed_names_and_a_photo_without_a_face_is_an_error_of_same_pairs() -> None:
    read = reader()
    read.faces = {Path("a"): face([1, 0]), Path("b"): face([0.9, 0.1]), Path("c"): face([0, 1]), Path("none"): None}
    read.undetected = [Path("none")]
    same = [accuracy.Pair(Path("a"), Path("b"), True)] * 19 + [accuracy.Pair(Path("a"), Path("none"), True)]
    different = [accuracy.Pair(Path("a"), Path("c"), False)] * 20
    body = accuracy.measure(same + different, read).to_json(SCORES)
    agreed = "accuracy std tar_at_far_1e-2 tar_at_far_1e-3 tar_at_far_1e-4 eer threshold undetected pairs ms_per_image"
    assert list(body)[:10] == agreed.split()
    assert body["undetected"] == 1
    assert body["tar_at_far_1e-3"] == 0.95
    assert body["accuracy"] == pytest.approx(0.975)
    assert body["accuracy_found"] == 1.0
    json.dumps(body, allow_nan=False)


def test_of_several_faces_the_one_in_the_middle_counts_unless_it_is_tiny() -> None:
    photo = np.zeros((250, 250, 3), np.uint8)
    middle, corner = face([1, 0], Box(80, 80, 170, 170)), face([0, 1], Box(0, 0, 100, 100))
    tiny = face([1, 1], Box(120, 120, 128, 128))
    assert subject([corner, middle], photo) is middle
    assert subject([face([0, 1], Box(30, 30, 150, 150)), tiny], photo) is not tiny
    assert subject([], photo) is None


def test_strangers_and_known_people_are_counted_apart(tmp_path: Path) -> None:
    for folder, person, colour, seed in (
        ("gallery", "anna", RED, 1),
        ("probes", "anna", RED, 2),
        ("probes", "bert", GREEN, 3),
    ):
        write_photo(tmp_path / folder / person / f"{seed}.png", colour, seed=seed)
    write_photo(tmp_path / "strangers" / "deep" / "s.png", GREEN, seed=4)
    (tmp_path / "strangers" / "empty.png").write_bytes((tmp_path / "strangers" / "deep" / "s.png").read_bytes())
    folders = identify.Folders(tmp_path / "gallery", tmp_path / "probes", tmp_path / "strangers")
    body = identify.measure(folders, reader(), ColourEmbedder(), margin=0.08).to_json()
    assert (body["people"], body["probes"], body["strangers"]) == (1, 1, 3)
    assert body["dir_at_fpir_1e-2"] == body["dir_at_fpir_1e-3"] == body["rank1"] == 1.0
    stated = body["stated"][0]
    assert (stated["false_names"], stated["identified"]) == (0, 1.0)
    json.dumps(body, allow_nan=False)


def test_a_folder_without_people_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a folder"):
        people_in(tmp_path / "none")
    with pytest.raises(UsageError, match="expected <person>/"):
        people_in(tmp_path)


def test_labelled_boxes_are_matched_once_each_and_ignored_ones_are_neither(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.png", RED)
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({"a.png": [[30, 60, 120, 120], {"box": [200, 0, 9, 9], "ignore": 1}, [0, 0, 5, 5]]}))
    report = detectors.measure(
        SquareDetector(), detectors.read_boxes(boxes, tmp_path), longer_side_px=640, min_score=0.5
    )
    assert (report.faces, report.found, report.false) == (2, 1, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "must be an object"),
        ("{", "not JSON"),
        ('{"b.png": []}', "no picture"),
        ('{"a.png": [[1, 2, 3]]}', r"a.png: \[1, 2, 3\] is not \[x, y, width, height\]"),
    ],
)
def test_a_wrong_file_of_boxes_is_told(tmp_path: Path, text: str, message: str) -> None:
    write_photo(tmp_path / "a.png", RED)
    (tmp_path / "boxes.json").write_text(text)
    with pytest.raises(UsageError, match=message):
        detectors.read_boxes(tmp_path / "boxes.json", tmp_path)


def test_plots_are_pictures_and_a_path_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    path = tmp_path / "scores.png"
    plots.draw_scores(path, genuine=np.array([0.7, 0.8]), impostor=np.array([0.1, 0.2]), threshold=0.4)
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match="cannot write the picture"):
        plots.draw_roc(tmp_path / "none" / "roc.png", np.array([0.1, 1]), np.array([0.5, 1]), title="")
