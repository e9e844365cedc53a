"""The same answers on the GPU as on the CPU. Skipped where onnxruntime has no GPU to run on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from streamd.errors import ModelError
from streamd.interfaces import Embedder
from streamd.placement import Placement
from streamd.vision.loading import load_detector, load_embedder
from streamd.vision.onnx import open_session

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module", params=[False, True], ids=["fp32", "fp16"])
def on_gpu(request: pytest.FixtureRequest, models_dir: Path) -> Placement:
    placement = Placement(device="cuda:0", fp16=request.param)
    try:
        open_session(models_dir / "sface.onnx", device="cuda:0")
    except ModelError as error:
        pytest.skip(str(error))
    return placement


@pytest.fixture(scope="module")
def embedder(models_dir: Path, on_gpu: Placement) -> Embedder:
    return load_embedder("sface", models=models_dir, **on_gpu)


def test_faces_of_a_photograph_are_the_same(models_dir: Path, faces_dir: Path, on_gpu: Placement) -> None:
    pictures = [cv2.resize(cv2.imread(str(faces_dir / f"{name}.jpg")), (640, 640)) for name in ("obama2", "biden")]
    wanted = load_detector("yunet", models=models_dir, device="cpu").detect(pictures, min_score=0.7)
    got = load_detector("yunet", models=models_dir, **on_gpu).detect(pictures, min_score=0.7)
    for a, b in zip(got, wanted, strict=True):
        assert len(a) == len(b) >= 1
        assert abs(a[0].score - b[0].score) < 0.02
        np.testing.assert_allclose(
            [a[0].box.x1, a[0].box.y1, a[0].box.x2, a[0].box.y2],
            [b[0].box.x1, b[0].box.y1, b[0].box.x2, b[0].box.y2],
            atol=2.0,
        )


@pytest.mark.parametrize("count", [1, 3, 8, 33])
def test_any_number_of_faces_gives_the_same_vectors_in_order(models_dir: Path, embedder: Embedder, count: int) -> None:
    chips = np.random.default_rng(count).integers(0, 256, (count, 112, 112, 3), dtype=np.uint8)
    wanted = load_embedder("sface", models=models_dir, device="cpu").embed(chips)
    for _ in range(3):  # the first run of a shape makes its buffers, the second is recorded
        assert np.einsum("ij,ij->i", embedder.embed(chips), wanted).min() > 0.999


def test_what_is_in_use_is_told(embedder: Embedder, on_gpu: Placement) -> None:
    assert embedder.provider == ("cuda-fp16" if on_gpu["fp16"] else "cuda")
