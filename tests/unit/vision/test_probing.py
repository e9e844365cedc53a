from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamd.vision.loading import load_detector, load_embedder
from streamd.vision.probing import PROBES, probe, probes

CHIP = {"data": ("n", 3, 112, 112)}
ANY = {"input": ("n", 3, "h", "w")}


@pytest.mark.parametrize("inputs", [CHIP, ANY])
def test_every_probe_is_another_picture_and_the_same_each_time(inputs: dict[str, tuple[object, ...]]) -> None:
    first, second = ([next(iter(feed.values())) for feed in probes(inputs)] for _ in range(2))
    assert len(first) == PROBES
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(not np.array_equal(first[i], first[j]) for i in range(PROBES) for j in range(i))
    assert {value.dtype for value in first} == {np.dtype(np.float32)}
    assert all(value.min() >= 0 and value.max() <= 255 for value in first)


def test_a_network_for_other_than_pictures_gets_the_one_fixed_probe() -> None:
    inputs = {"data": (1, 1, 32, 32)}
    assert [feed["data"].shape for feed in probes(inputs)] == [probe(inputs)["data"].shape]


def test_the_detector_takes_drawn_faces_for_faces(models_dir: Path) -> None:
    detector = load_detector("yunet", models=models_dir, device="cpu", runtime="onnxruntime")
    _, *drawn = probes(ANY)
    pictures = [np.ascontiguousarray(feed["input"][0, ::-1].transpose(1, 2, 0)).astype(np.uint8) for feed in drawn]
    found = [len(detector.detect([picture], min_score=0.5)[0]) for picture in pictures]
    assert all(found)
    assert sum(found) >= 20  # of 28


def test_the_embedder_is_as_sure_of_drawn_faces_as_of_real_ones(models_dir: Path) -> None:
    embedder = load_embedder("sface", models=models_dir, device="cpu", runtime="onnxruntime")
    _, *drawn = probes(CHIP)
    chips = np.stack([feed["data"][0, ::-1].transpose(1, 2, 0) for feed in drawn]).astype(np.uint8)
    _, confidences = embedder.embed_rated(chips)  # type: ignore[attr-defined]
    assert np.median(confidences) > 0.9
