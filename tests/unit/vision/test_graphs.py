from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from streamd.vision.graphs import fold_constants, make_batch_dynamic, split_prelu, weights_of


def tensor(name: str, shape: list[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def model_of(graph: onnx.GraphProto, opset: int = 21) -> onnx.ModelProto:
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def run(model: onnx.ModelProto, x: NDArray[np.float32]) -> NDArray[np.float32]:
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0], np.float32)


def quantised_model(zero: int) -> onnx.ModelProto:
    """y = x * W with W (4, 6) in blocks of two along axis 1, and the weights listed as inputs too."""
    weights = [
        numpy_helper.from_array(np.arange(24, dtype=np.int8).reshape(4, 6), "q"),
        numpy_helper.from_array(np.arange(1, 13, dtype=np.float32).reshape(4, 3) / 10, "scale"),
        numpy_helper.from_array(np.full((4, 3), zero, np.int8), "zero"),
        numpy_helper.from_array(np.array([6, 4]), "shape"),
    ]
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["w"], axis=1, block_size=2),
        helper.make_node("Reshape", ["w", "shape"], ["w2"]),
        helper.make_node("MatMul", ["x", "w2"], ["y"]),
    ]
    inputs = [tensor("x", [1, 6]), tensor("scale", [4, 3])]
    return model_of(helper.make_graph(nodes, "q", inputs, [tensor("y", [1, 4])], weights))


@pytest.mark.parametrize("zero", [0, 5])
def test_folded_blocks_are_the_quantised_weights_times_their_scales(zero: int) -> None:
    model = quantised_model(zero)
    fold_constants(model)
    scale = np.repeat(np.arange(1, 13, dtype=np.float32).reshape(4, 3) / 10, 2, axis=1)
    expected = ((np.arange(24).reshape(4, 6) - zero) * scale).reshape(6, 4)
    np.testing.assert_allclose(weights_of(model.graph)["w2"], expected, rtol=1e-6)


def test_folding_leaves_only_what_must_be_fed() -> None:
    model = quantised_model(0)
    fold_constants(model)
    assert [value.name for value in model.graph.input] == ["x"]
    assert [node.op_type for node in model.graph.node] == ["MatMul"]
    assert set(weights_of(model.graph)) == {"w2"}


def test_a_fixed_batch_becomes_free_through_reshapes() -> None:
    weights = [numpy_helper.from_array(np.array([1, -1, 2]), "shape")]
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    graph = helper.make_graph(nodes, "r", [tensor("x", [1, 4, 6])], [tensor("y", [1, 12, 2])], weights)
    model = model_of(graph)
    make_batch_dynamic(model)
    x = np.arange(72, dtype=np.float32).reshape(3, 4, 6)
    np.testing.assert_array_equal(run(model, x), x.reshape(3, 12, 2))


def test_split_prelu_is_exact_for_slopes_of_any_sign() -> None:
    slopes = np.array([-0.8, 0.0, 0.25, 1.0, 1.3], np.float32).reshape(5, 1, 1)
    nodes = [helper.make_node("PRelu", ["x", "a"], ["y"])]
    graph = helper.make_graph(
        nodes, "p", [tensor("x", ["n", 5, 4, 4])], [tensor("y", ["n", 5, 4, 4])],
        [numpy_helper.from_array(slopes, "a")],
    )  # fmt: skip
    model = model_of(graph)
    x = np.random.default_rng(2).normal(size=(2, 5, 4, 4)).astype(np.float32)
    expected = np.where(x > 0, x, slopes * x)
    split_prelu(model)
    assert "PRelu" not in {node.op_type for node in model.graph.node}
    np.testing.assert_allclose(run(model, x), expected, atol=1e-6)
