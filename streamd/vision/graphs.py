"""Rewriting ONNX graphs: what a published model needs before it runs well and in batches."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Weights = dict[str, NDArray[np.float32]]


def fold_constants(model: onnx.ModelProto) -> None:
    """Turn block-quantised weights into float32 ones, and drop inputs and weights that nothing uses.

    onnxruntime refuses quantisation blocks as long as the axis itself, and takes weights that are also
    listed as inputs for inputs that must be fed.
    """
    graph = model.graph
    values = weights_of(graph)
    kept = []
    for node in graph.node:
        folded = _folded(node, values)
        if folded is None:
            kept.append(node)
        else:
            values[node.output[0]] = folded
    replace_nodes(graph, kept)
    used = {name for node in kept for name in node.input}
    set_weights(graph, {name: value for name, value in values.items() if name in used})
    inputs = [value for value in graph.input if value.name in used and value.name not in values]
    del graph.input[:]
    graph.input.extend(inputs)
    # Shapes of intermediate values are those of batch 1.
    del graph.value_info[:]


def _folded(node: onnx.NodeProto, values: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32] | None:
    if not node.input or not all(name in values for name in node.input):
        return None
    inputs = [values[name] for name in node.input]
    if node.op_type == "DequantizeLinear":
        return _dequantised(inputs, _attributes(node))
    if node.op_type == "Reshape":
        return inputs[0].reshape(inputs[1])
    return None


def _attributes(node: onnx.NodeProto) -> dict[str, int]:
    return {a.name: a.i for a in node.attribute if a.type == onnx.AttributeProto.INT}


def _dequantised(inputs: list[NDArray[np.float32]], attributes: Mapping[str, int]) -> NDArray[np.float32]:
    """``(x - zero) * scale`` with one scale per tensor, per index of an axis, or per block of an axis."""
    quantised = inputs[0].astype(np.float32)
    axis, block = attributes.get("axis", 1), attributes.get("block_size", 0)

    def spread(value: NDArray[np.float32]) -> NDArray[np.float32]:
        value = value.astype(np.float32)
        if block:
            return np.take(np.repeat(value, block, axis=axis), range(quantised.shape[axis]), axis=axis)
        if value.size == 1:
            return value.reshape(())
        return value.reshape([-1 if i == axis else 1 for i in range(quantised.ndim)])

    zero = spread(inputs[2]) if len(inputs) > 2 else np.float32(0)
    return np.asarray((quantised - zero) * spread(inputs[1]), np.float32)


def make_batch_dynamic(model: onnx.ModelProto, *, size_too: bool = False) -> None:
    """Let every input and output have any batch, and with ``size_too`` any height and width.

    Reshapes to ``[1, -1, k]`` become ``[0, -1, k]``: the batch stays what it is.
    """
    graph = model.graph
    for value in graph.input:
        dims = value.type.tensor_type.shape.dim
        dims[0].dim_param = "n"
        if size_too:
            dims[2].dim_param, dims[3].dim_param = "h", "w"
    for value in graph.output:
        dims = value.type.tensor_type.shape.dim
        dims[0].dim_param = "n"
        if size_too:
            dims[1].dim_param = f"{value.name}_anchors"
    shapes = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
    weights = weights_of(graph)
    for name in shapes & weights.keys():
        if weights[name].size > 1 and weights[name][0] == 1:
            weights[name] = np.concatenate([[0], weights[name][1:]]).astype(np.int64)
    set_weights(graph, weights)


def make_size_free(model: onnx.ModelProto) -> None:
    """Let every input and output of four dimensions have any batch, height and width."""
    for value in (*model.graph.input, *model.graph.output):
        dims = value.type.tensor_type.shape.dim
        for place, name in ((0, "n"), (2, f"{value.name}_h"), (3, f"{value.name}_w")):
            dims[place].dim_param = name


def split_prelu(model: onnx.ModelProto) -> None:
    """Write each PRelu as ``a * x + (1 - a) * relu(x)``, with the factors as 1 x 1 depthwise convolutions.

    Exact for slopes of any sign (``max(x, a * x)`` is not). onnxruntime keeps its blocked memory layout
    through convolutions but leaves it for PRelu, which costs more than the arithmetic.
    """
    graph = model.graph
    weights = weights_of(graph)
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type == "PRelu" and node.input[1] in weights:
            nodes += _split_one(node, weights)
        else:
            nodes.append(node)
    replace_nodes(graph, nodes)
    used = {name for node in nodes for name in node.input}
    set_weights(graph, {name: value for name, value in weights.items() if name in used})


def _split_one(node: onnx.NodeProto, weights: Weights) -> list[onnx.NodeProto]:
    source, slope = node.input[0], weights[node.input[1]].reshape(-1, 1, 1, 1)
    out, channels = node.output[0], len(slope)
    weights[f"{out}/slope"] = slope
    weights[f"{out}/rest"] = np.asarray(1 - slope, np.float32)

    def depthwise(value: str, factor: str) -> onnx.NodeProto:
        return helper.make_node(
            "Conv", [value, f"{out}/{factor}"], [f"{out}/by_{factor}"], group=channels, kernel_shape=[1, 1]
        )

    return [
        helper.make_node("Relu", [source], [f"{out}/relu"]),
        depthwise(source, "slope"),
        depthwise(f"{out}/relu", "rest"),
        helper.make_node("Add", [f"{out}/by_slope", f"{out}/by_rest"], [out]),
    ]


def weights_of(graph: onnx.GraphProto) -> Weights:
    """The graph's constants by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def set_weights(graph: onnx.GraphProto, weights: Mapping[str, NDArray[np.float32]]) -> None:
    """Replace the graph's constants."""
    del graph.initializer[:]
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value, order="C"), name) for name, value in weights.items()
    )


def replace_nodes(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    """Replace the graph's nodes, which may be among ``nodes`` themselves."""
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
