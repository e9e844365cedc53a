"""Tiny networks in every runtime that is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tinymodel import write_manifest, write_mean_model

from streamd.bench import embedders
from streamd.bench.embedders import compare, faces_of, libraries, loaded, ready_embedders
from streamd.commands.bench_embedders import line
from streamd.domain import Box, Detection
from streamd.errors import ModelError
from streamd.vision.loading import load_embedder
from streamd.vision.modelstore import pull


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    write_manifest(folder, write_mean_model(tmp_path / "tiny.onnx"))
    pull(["tiny"], folder)
    return folder


class OneFace:
    """Sees a face in the middle of every picture."""

    has_landmarks = True
    model_id = "one"
    provider = "cpu"

    def detect(self, images: Sequence[NDArray[np.uint8]], *, min_score: float) -> list[list[Detection]]:
        points = np.array([[40, 50], [70, 50], [55, 70], [42, 90], [68, 90]], np.float32)
        return [[Detection(Box(30, 30, 80, 100), 0.9, points)] for _ in images]


def test_only_embedders_that_are_there_are_measured(models: Path, tmp_path: Path) -> None:
    assert ready_embedders(models) == ["tiny"]
    with pytest.raises(ModelError, match="no embedder is ready"):
        ready_embedders(tmp_path / "empty")


def test_every_runtime_is_compared_with_onnxruntime(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedders, "ROUND_S", 0.005)
    monkeypatch.setattr(embedders, "THREADS", (1,))
    monkeypatch.setattr(embedders, "BATCHES", (1, 4))
    chips = np.random.default_rng(2).integers(0, 256, (3, 112, 112, 3), np.uint8)
    rows = list(compare("tiny", loaded("tiny", models), chips, models))
    assert [(row.runtime, row.batch) for row in rows] == [(name, batch) for batch in (1, 4) for name in libraries()]
    for row in rows:
        assert row.ms > 0
        assert row.cpu_ms > 0
        assert row.memory_mb > 0
        assert 0.999 <= row.least_cosine <= row.mean_cosine <= 1.001
        assert row.ratio == 1 or row.runtime != "onnxruntime"
    assert line(rows[0]).startswith("| tiny | onnxruntime | 1 | 1 |")


def test_each_face_is_taken_with_its_mirror_image(models: Path, tmp_path: Path) -> None:
    photo = np.random.default_rng(3).integers(0, 256, (130, 120, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "ada.png"), photo)
    (tmp_path / "notes.txt").write_text("no photograph")
    embedder = load_embedder("tiny", models=models)
    chips = faces_of([tmp_path / "ada.png", tmp_path / "notes.txt"], OneFace(), embedder)
    assert chips.shape == (2, 112, 112, 3)
    np.testing.assert_array_equal(chips[1], chips[0][:, ::-1])
    with pytest.raises(ModelError, match="no face"):
        faces_of([], OneFace(), embedder)
