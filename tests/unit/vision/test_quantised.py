from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from streamd.errors import ModelError
from streamd.vision import quantised, runtimes
from streamd.vision.fetch import sha256_of
from streamd.vision.onnx import open_session
from streamd.vision.quantising import quantise

PICTURES = np.random.default_rng(3).uniform(0, 255, (8, 3, 16, 16)).astype(np.float32)


def write_network(path: Path, *, seed: int = 5) -> None:
    """A convolution with its batch normalisation, and a vector of 16."""
    random = np.random.default_rng(seed)
    weights = {
        "kernel": random.normal(0, 0.02, (8, 3, 3, 3)),
        "scale": random.uniform(0.5, 1.5, 8),
        "bias": random.normal(0, 1, 8),
        "mean": random.normal(0, 1, 8),
        "variance": random.uniform(0.5, 2, 8),
        "matrix": random.normal(0, 0.05, (8 * 14 * 14, 16)),
        "offset": random.normal(0, 1, 16),
    }
    nodes = [
        helper.make_node("Conv", ["data", "kernel"], ["maps"]),
        helper.make_node("BatchNormalization", ["maps", "scale", "bias", "mean", "variance"], ["normal"]),
        helper.make_node("Relu", ["normal"], ["positive"]),
        helper.make_node("Flatten", ["positive"], ["row"]),
        helper.make_node("Gemm", ["row", "matrix", "offset"], ["vector"]),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["n", 3, 16, 16])],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["n", 16])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    path.with_suffix(".json").write_text(json.dumps({"sha256": sha256_of(path)}))


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A prepared file with an 8-bit form that was not measured."""
    path = tmp_path / "net.onnx"
    write_network(path)
    quantise(path, quantised.file_of(path), fed="data", pictures=PICTURES)
    record(path, lossless=[])
    return path


def record(path: Path, *, lossless: list[quantised.Library]) -> None:
    made = quantised.Quantised(sha256_of(path), sha256_of(quantised.file_of(path)), "noise", lossless)
    quantised.write_record(path, made)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "ROUND_S", 0.01)


@pytest.mark.parametrize("library", quantised.LIBRARIES)
def test_eight_bits_say_nearly_the_same(network: Path, library: quantised.Library) -> None:
    exact = open_session(network, device="cpu").run_rows("data", PICTURES)["vector"]
    session = open_session(network, device="cpu", runtime=library)
    assert session.provider.endswith("-int8")
    rough = session.run_rows("data", PICTURES)["vector"]
    assert not np.allclose(rough, exact, rtol=1e-4)
    cosines = (rough * exact).sum(1) / np.linalg.norm(rough, axis=1) / np.linalg.norm(exact, axis=1)
    assert cosines.min() > 0.995


def test_the_weights_are_bytes(network: Path) -> None:
    weights = {w.name: w.data_type for w in onnx.load(quantised.file_of(network)).graph.initializer if len(w.dims) > 1}
    assert set(weights.values()) == {TensorProto.INT8}


def test_quantising_says_nothing(network: Path, capfd: pytest.CaptureFixture[str]) -> None:
    quantise(network, quantised.file_of(network), fed="data", pictures=PICTURES)
    assert capfd.readouterr() == ("", "")


def test_auto_does_not_consider_what_was_not_measured(network: Path) -> None:
    assert not set(runtimes.choose(network, sha256=sha256_of(network)).ms) & set(quantised.LIBRARIES)


def test_auto_considers_what_lost_nothing(network: Path) -> None:
    record(network, lossless=["onnxruntime-int8"])
    measured = runtimes.choose(network, sha256=sha256_of(network))
    assert set(measured.ms) & set(quantised.LIBRARIES) == {"onnxruntime-int8"}
    assert runtimes.read_record(network) == measured


def test_auto_forgets_its_choice_when_the_form_is_made_anew(network: Path) -> None:
    record(network, lossless=["onnxruntime-int8"])
    runtimes.choose(network, sha256=sha256_of(network))
    quantise(network, quantised.file_of(network), fed="data", pictures=PICTURES[:4] / 2)
    record(network, lossless=["onnxruntime-int8"])
    assert runtimes.read_record(network) is None


def test_a_form_of_another_model_is_refused_with_the_command(network: Path) -> None:
    write_network(network, seed=6)
    with pytest.raises(ModelError, match="run 'streamd models quantize net'"):
        open_session(network, device="cpu", runtime="onnxruntime-int8")


def test_a_damaged_form_is_refused(network: Path) -> None:
    quantised.file_of(network).write_bytes(b"x")
    with pytest.raises(ModelError, match="no 8-bit form"):
        open_session(network, device="cpu", runtime="openvino-int8")


def test_a_network_that_cannot_be_loaded_cannot_be_quantised(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"not a network")
    with pytest.raises(ModelError, match="cannot be made 8 bits"):
        quantise(tmp_path / "bad.onnx", tmp_path / "bad.int8.onnx", fed="data", pictures=PICTURES)
    assert not (tmp_path / "bad.int8.onnx").exists()
