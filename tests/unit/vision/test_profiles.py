"""What arrives in a network of each profile: a small one that reveals its input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from streamd.vision.catalog import Manifest
from streamd.vision.embedding import OnnxEmbedder
from streamd.vision.onnx import open_session
from streamd.vision.profiles import profile_names, read_profile

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
