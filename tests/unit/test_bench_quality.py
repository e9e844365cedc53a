"""The error-versus-reject curve on made-up faces, and the damages on a made-up photo."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from galleryparts import ColourEmbedder, SquareDetector, write_photo

from streamd.bench.accuracy import Pair
from streamd.bench.photographs import FaceReader
from streamd.bench.quality import DAMAGES, QualityReport, genuine_pairs, measure
from streamd.errors import UsageError
from streamd.gallery.examiner import PhotoExaminer


def report(quality: list[float], failed: list[bool]) -> QualityReport:
    count = len(quality)
    return QualityReport(["none"] * count, np.array(failed), {"quality": np.array(quality)}, [None] * count, 0, 0.4)


def reader() -> FaceReader:
    return FaceReader(PhotoExaminer(SquareDetector(), ColourEmbedder()))


def photos(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        write_photo(path)
    return paths


def test_a_quality_that_knows_the_failures_leaves_none() -> None:
    quality = [0.1, 0.2, *np.linspace(0.5, 0.9, 18)]
    knowing = report(quality, [True, True] + [False] * 18)
    assert knowing.curve("quality") == pytest.approx([0.1, 1 / 19, 0, 0, 0])
    assert knowing.area("quality") < 0.3


def test_a_quality_that_is_wrong_makes_it_worse() -> None:
    wrong = report(list(np.linspace(0.1, 0.9, 20)), [False] * 18 + [True, True])
    curve = wrong.curve("quality")
    assert curve == sorted(curve)
    assert wrong.area("quality") > 1


def test_refusals_are_counted_by_damage_and_reason() -> None:
    mixed = QualityReport(
        ["none", "fog", "fog", "fog", "fog"],
        np.array([False] * 5),
        {"quality": np.ones(5)},
        [None, "low_contrast", "low_contrast", "dark", None],
        0,
        0.4,
    )
    assert mixed.to_json()["refused"] == {"none": {}, "fog": {"low_contrast": 0.5, "dark": 0.25}}


def test_every_two_photos_of_one_person_are_a_pair(tmp_path: Path) -> None:
    anna = photos(tmp_path, "anna/1.png", "anna/2.png", "anna/3.png")
    photos(tmp_path, "ben/1.png")
    assert genuine_pairs(tmp_path) == [Pair(anna[a], anna[b], True) for a, b in ((0, 1), (0, 2), (1, 2))]


def test_people_with_one_photo_each_make_no_pair(tmp_path: Path) -> None:
    photos(tmp_path, "anna/1.png", "ben/1.png")
    with pytest.raises(UsageError, match="nobody has two photos"):
        genuine_pairs(tmp_path)


def test_an_undamaged_pair_of_one_person_does_not_fail(tmp_path: Path) -> None:
    a, b = photos(tmp_path, "1.png", "2.png")
    found = measure([Pair(a, b, True)], reader(), threshold=0.5)
    assert found.kinds == ["none"]
    assert not found.failed.any()
    assert found.undetected == 0


def test_pairs_of_different_people_are_not_compared(tmp_path: Path) -> None:
    a, b = photos(tmp_path, "1.png", "2.png")
    with pytest.raises(UsageError, match="no pair of one person"):
        measure([Pair(a, b, False)], reader(), threshold=0.5)


@pytest.mark.parametrize("kind", sorted(set(DAMAGES) - {"none"}))
def test_every_damage_changes_the_photo_and_leaves_it_one(kind: str) -> None:
    noise = np.random.default_rng(2).normal(128, 40, (90, 120, 3))
    photo = np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.5), np.float64).clip(0, 255).astype(np.uint8)
    damaged = DAMAGES[kind](photo)
    assert damaged.dtype == np.uint8
    assert damaged.ndim == 3
    assert damaged.shape != photo.shape or np.abs(damaged.astype(int) - photo).mean() > 2
