"""What arrives in a network of each profile: a small one that reveals its input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from streamd.vision.catalog import Manifest, ModelInput
from streamd.vision.embedding import OnnxEmbedder
from streamd.vision.geometry import ARCFACE, TEMPLATE, Alignment
from streamd.vision.onnx import open_session
from streamd.vision.profiles import alternatives, profile_names, read_profile

EMBEDDERS = [name for name in profile_names() if read_profile(name)["kind"] == "embedder"]
BGR = (30, 60, 200)


def revealing(path: Path, fed: dict[str, object]) -> Path:
    """A network whose vector is the mean of each channel, in the order in which they arrive."""
    width, height = fed["size"]  # type: ignore[misc]
    nhwc = fed.get("layout") == "NHWC"
    shape = ["n", height, width, 3] if nhwc else ["n", 3, height, width]
    node = helper.make_node("ReduceMean", [str(fed["name"])], ["vector"], axes=[1, 2] if nhwc else [2, 3], keepdims=0)
    graph = helper.make_graph(
        [node],
        "revealing",
        [helper.make_tensor_value_info(str(fed["name"]), TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["n", 3])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def expected(fed: dict[str, object]) -> np.ndarray:
    """By the formula of each profile, written out again."""
    pixel = np.array(BGR if fed["colour"] == "bgr" else BGR[::-1], np.float64)
    if fed.get("standardise"):
        return (pixel - pixel.mean()) / pixel.std()
    mean, scale = np.array(fed.get("mean", [0, 0, 0])), float(fed.get("scale", 1))  # type: ignore[arg-type]
    return np.asarray((pixel - mean) * scale)


@pytest.mark.parametrize("name", EMBEDDERS)
def test_colours_and_normalisation_arrive_as_the_profile_says(name: str, tmp_path: Path) -> None:
    body = read_profile(name)
    file = {"name": "f.onnx", "sha256": "0" * 64, "sources": [{"file": "f.onnx"}]}
    manifest = Manifest.model_validate(body | {"files": [file], "dim": 3})
    session = open_session(revealing(tmp_path / "f.onnx", body["input"]), device="cpu")
    embedder = OnnxEmbedder(manifest, session)
    width, height = body["input"]["size"]
    assert (embedder.alignment.width, embedder.alignment.height) == (width, height)
    chips = np.empty((2, height, width, 3), np.uint8)
    chips[:] = BGR
    wanted = expected(body["input"])
    np.testing.assert_allclose(embedder.embed(chips), [wanted / np.linalg.norm(wanted)] * 2, atol=1e-4)
    raw = session.run_rows(body["input"]["name"], _blob(chips, manifest))["vector"]
    np.testing.assert_allclose(raw, [wanted] * 2, rtol=1e-3)


def _blob(chips: np.ndarray, manifest: Manifest) -> np.ndarray:
    from streamd.vision.blobs import to_blob

    return to_blob(chips, manifest.input)


DISTANCES = {
    "arcface": 0.68,
    "facenet128": 0.40,
    "facenet512": 0.30,
    "vggface": 0.68,
    "openface": 0.10,
    "deepface": 0.23,
    "deepid": 0.015,
}
"""Cosine distances as DeepFace publishes them."""


@pytest.mark.parametrize("name", DISTANCES)
def test_pair_thresholds_are_the_published_ones(name: str) -> None:
    body = read_profile(name)
    assert body["pair_threshold"] == pytest.approx(1 - DISTANCES[name])
    assert body["pair_threshold"] < body["threshold"] < 1


@pytest.mark.parametrize("name", EMBEDDERS)
def test_eyes_and_mouth_lie_inside_every_profiles_chip(name: str) -> None:
    body = read_profile(name)
    width, height = body["input"]["size"]
    placed = Alignment(width, height, body.get("zoom", 1), body.get("rise", 0)).from_arcface()
    points = (np.column_stack([TEMPLATE, np.ones(5)]) @ placed.T)[:, :2]
    assert (points > 0).all()
    assert (points < (width, height)).all()
    assert placed[0, 0] == placed[1, 1]


def test_a_rise_of_a_tenth_moves_the_face_up_by_a_tenth_of_the_shorter_side() -> None:
    risen = Alignment(100, 200, 1.0, 0.1).from_arcface() - Alignment(100, 200).from_arcface()
    np.testing.assert_allclose(risen, [[0, 0, 0], [0, 0, -10], [0, 0, 0]])
    np.testing.assert_allclose(ARCFACE.from_arcface(), np.eye(3))


def test_alternatives_are_everything_but_the_input_itself() -> None:
    fed = ModelInput(name="x", size=(112, 112), colour="rgb")
    others = alternatives(fed)
    assert len(others) == 9
    assert others["--colour bgr"] == fed.model_copy(update={"colour": "bgr"})
    assert others["--colour bgr --normalisation signed"].mean == (127.5, 127.5, 127.5)
