from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tinymodel import write_manifest, write_mean_model

from streamd.bench.accuracy import Pair
from streamd.bench.precision import Figures, Loss, measurable_far, measure, varied
from streamd.cli import main
from streamd.domain import Box, Detection
from streamd.errors import ExitCode, UsageError
from streamd.vision.geometry import TEMPLATE

GOOD = Figures(0.96, 0.34, 5.2)
SHOTS = 3


class OneFace:
    """Sees a face that fills every picture."""

    model_id = "one@0"
    provider = "cpu"
    has_landmarks = True

    def detect(self, images: list[NDArray[np.uint8]], *, min_score: float) -> list[list[Detection]]:
        found = []
        for image in images:
            height, width = image.shape[:2]
            scale = np.array([width / 112, height / 112], np.float32)
            found.append([Detection(Box(0, 0, width, height), 0.9, np.asarray(TEMPLATE * scale, np.float32))])
        return found


@dataclass
class Colours:
    """Vectors of coarse colours, off by some noise that is the same for the same picture."""

    noise: float = 0.0
    model_id = "colours@0"

    def embed(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        rows = np.stack([cv2.resize(chip, (4, 4), interpolation=cv2.INTER_AREA).ravel() for chip in chips]) / 255 - 0.5
        rows = rows - rows.mean(axis=1, keepdims=True)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        for row, chip in zip(rows, chips, strict=True):
            row += np.random.default_rng(int(chip.sum())).normal(0, self.noise, row.shape)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    """Sixty blotches in three shots each: a thousand pairs of two, and more."""
    folder, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(1)
    photos = []
    for person in range(30):
        blotch = cv2.resize(random.uniform(0, 255, (4, 4, 3)).astype(np.float32), (112, 112))
        for shot in range(SHOTS):
            path = folder / f"{person}-{shot}.png"
            cv2.imwrite(str(path), np.clip(blotch + random.normal(0, 20, blotch.shape), 0, 255).astype(np.uint8))
            photos.append((person, path))
    return [Pair(a, b, p == q) for i, (p, a) in enumerate(photos) for q, b in photos[i + 1 :]]


def test_the_same_network_loses_nothing(pairs: list[Pair]) -> None:
    loss = measure(pairs, OneFace(), Colours(), {"same": Colours()})["same"]
    assert loss.lossless
    assert loss.own == loss.mixed == loss.exact
    assert loss.least_cosine == pytest.approx(1)


def test_a_network_that_got_worse_is_found_out(pairs: list[Pair]) -> None:
    losses = measure(pairs, OneFace(), Colours(), {"little": Colours(0.002), "much": Colours(0.15)})
    assert losses["little"].lossless
    assert not losses["much"].lossless
    assert losses["much"].own.tar < losses["much"].exact.tar
    assert losses["much"].mean_cosine < losses["little"].mean_cosine


@pytest.mark.parametrize(
    "worse", [replace(GOOD, tar=0.957), replace(GOOD, threshold=0.36), replace(GOOD, d_prime=5.1)], ids=str
)
def test_each_figure_alone_can_refuse_with_either_gallery(worse: Figures) -> None:
    assert Loss(1e-3, GOOD, GOOD, GOOD, 0.9, 0.99).lossless
    assert not Loss(1e-3, GOOD, worse, GOOD, 0.9, 0.99).lossless
    assert not Loss(1e-3, GOOD, GOOD, worse, 0.9, 0.99).lossless


def test_no_rate_is_stated_that_the_pairs_cannot_tell() -> None:
    assert measurable_far(100_000) == 1e-4
    assert measurable_far(99_999) == 1e-3
    assert measurable_far(1000) == 1e-2
    with pytest.raises(UsageError, match="needs 1000"):
        measurable_far(999)


def test_few_faces_are_varied_to_as_many_pictures_as_are_wanted() -> None:
    faces = [np.full((4, 4, 3), value, np.uint8) for value in (50, 100, 150)]
    pictures = varied(faces, 8)
    assert len(pictures) == 8
    assert np.array_equal(pictures[:3], np.stack(faces))
    assert len(varied(faces, 84)) == 15


@pytest.fixture
def folder(tmp_path: Path, models_dir: Path) -> Path:
    """A folder of models with YuNet, and an embedder that takes no time."""
    target = tmp_path / "models"
    write_manifest(target, write_mean_model(tmp_path / "original.onnx"))
    for suffix in (".onnx", ".json"):
        shutil.copy(models_dir / f"yunet{suffix}", target)
    assert main(["models", "pull", "tiny", "--models-dir", str(target)]) == ExitCode.OK
    return target


def test_a_form_that_was_not_measured_is_made_and_not_taken(
    folder: Path, faces_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    asked = ["models", "quantize", "tiny", "--models-dir", str(folder), "--faces", str(faces_dir)]
    assert main([*asked, "--json"]) == ExitCode.OK
    said = json.loads(capsys.readouterr().out)
    assert said["losses"] == {}
    assert not said["runtime"].endswith("int8")
    assert (folder / "tiny.int8.onnx").exists()


def test_a_detector_has_no_such_form(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "quantize", "yunet", "--models-dir", str(folder)]) == ExitCode.USAGE
    assert "makes vectors of faces" in capsys.readouterr().err


def test_pairs_need_a_root(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["models", "quantize", "sface", "--models-dir", str(tmp_path), "--pairs", "pairs.csv"]
    assert main(asked) == ExitCode.USAGE
    assert "--root" in capsys.readouterr().err
