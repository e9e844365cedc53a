"""An SSD of Caffe as an ONNX graph that gives decoded boxes.

Outputs: ``boxes`` (n, anchors, 4), corners x1 y1 x2 y2 as shares of the input picture, and ``scores``
(n, anchors), the probability of class 1. Prior boxes are constants; non-maximum suppression is left to
the caller. Formulas: Liu et al., "SSD: Single Shot MultiBox Detector", 2016, section 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

from streamd.errors import ModelError
from streamd.vision.caffe import read_weights
from streamd.vision.caffe_layers import Layer, Net, read_net
from streamd.vision.priors import prior_boxes

_OPSET = 17
_EPSILON = 1e-5

Blobs = Mapping[str, list[NDArray[np.float32]]]


def ssd_from_caffe(caffemodel: bytes, prototxt: str) -> onnx.ModelProto:
    """Convert the net.

    Raises:
        ModelError: a file is damaged, or the net has a layer that is not known here.
    """
    net = read_net(prototxt)
    graph = _Graph(net, read_weights(caffemodel))
    for layer in net.layers:
        graph.add(layer)
    return graph.finish()


class _Graph:
    """The ONNX graph while it grows, one Caffe layer at a time."""

    def __init__(self, net: Net, blobs: Blobs) -> None:
        self._blobs = blobs
        self._input = net.input_name
        self._input_shape = net.input_shape
        self._value_of = {net.input_name: net.input_name}
        """Caffe layers may write over their input; here each has a value of its own."""
        self._size_of = {net.input_name: net.input_shape[2:]}
        """Height and width by value: prior boxes depend on them."""
        self._priors: dict[str, NDArray[np.float32]] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._weights: dict[str, NDArray[np.float32] | NDArray[np.int64]] = {}
        self._add: dict[str, Callable[[Layer, list[str]], None]] = {
            "BatchNorm": self._batch_norm,
            "Scale": self._scale,
            "Convolution": self._convolution,
            "Pooling": self._pooling,
            "ReLU": lambda layer, inputs: self._node("Relu", inputs, layer.name),
            "Eltwise": lambda layer, inputs: self._node("Add", inputs, layer.name),
            "Normalize": self._normalise,
            "Permute": lambda layer, inputs: self._node("Transpose", inputs, layer.name, perm=[0, 2, 3, 1]),
            "Flatten": lambda layer, inputs: self._node("Flatten", inputs, layer.name, axis=1),
            "Concat": self._concat,
            "Reshape": self._reshape,
            "Softmax": lambda layer, inputs: self._node("Softmax", inputs, layer.name, axis=2),
            "PriorBox": self._prior_box,
            "DetectionOutput": self._detection_output,
        }

    def add(self, layer: Layer) -> None:
        if layer.kind not in self._add:
            raise ModelError(f"prototxt: layer '{layer.name}' is of unknown type '{layer.kind}'")
        inputs = [self._value_of[bottom] for bottom in layer.bottoms]
        if inputs[0] in self._size_of:
            self._size_of[layer.name] = self._size_of[inputs[0]]
        self._add[layer.kind](layer, inputs)
        self._value_of[layer.top] = layer.name

    def finish(self) -> onnx.ModelProto:
        n, (c, h, w) = "n", self._input_shape[1:]
        inputs = [helper.make_tensor_value_info(self._input, TensorProto.FLOAT, [n, c, h, w])]
        outputs = [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [n, None, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [n, None]),
        ]
        weights = [numpy_helper.from_array(v, k) for k, v in self._weights.items()]
        graph = helper.make_graph(self._nodes, "ssd", inputs, outputs, weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: int | float | list[int]) -> None:
        self._nodes.append(helper.make_node(kind, inputs, [output], None, None, None, None, **attributes))

    def _floats(self, name: str, value: ArrayLike) -> str:
        self._weights[name] = np.asarray(value, np.float32, order="C")
        return name

    def _integers(self, name: str, value: ArrayLike) -> str:
        self._weights[name] = np.asarray(value, np.int64, order="C")
        return name

    def _blobs_of(self, layer: Layer, at_least: int) -> list[NDArray[np.float32]]:
        blobs = self._blobs.get(layer.name, [])
        if len(blobs) < at_least:
            raise ModelError(f"caffemodel: layer '{layer.name}' has {len(blobs)} blobs, needs {at_least}")
        return blobs

    def _batch_norm(self, layer: Layer, inputs: list[str]) -> None:
        mean, variance, factor = self._blobs_of(layer, 3)[:3]
        # Caffe stores sums and the weight by which they must be divided.
        divisor = float(factor.ravel()[0]) or 1.0
        names = [self._floats(f"{layer.name}/gamma", np.ones(mean.size, np.float32))]
        names.append(self._floats(f"{layer.name}/beta", np.zeros(mean.size, np.float32)))
        names.append(self._floats(f"{layer.name}/mean", mean.ravel() / divisor))
        names.append(self._floats(f"{layer.name}/var", variance.ravel() / divisor))
        self._node("BatchNormalization", [inputs[0], *names], layer.name, epsilon=_EPSILON)

    def _scale(self, layer: Layer, inputs: list[str]) -> None:
        """Caffe splits batch normalisation in two; as one node, onnxruntime folds it into the convolution."""
        gamma, beta = self._blobs_of(layer, 2)[:2]
        if f"{inputs[0]}/gamma" not in self._weights:
            raise ModelError(f"prototxt: scale '{layer.name}' does not follow a batch normalisation")
        self._weights[f"{inputs[0]}/gamma"] = gamma.ravel()
        self._weights[f"{inputs[0]}/beta"] = beta.ravel()
        self._node("Identity", inputs, layer.name)

    def _convolution(self, layer: Layer, inputs: list[str]) -> None:
        settings = layer.settings.nested("convolution_param")
        kernel, stride = settings.integer("kernel_size"), settings.integer("stride", 1)
        pad, dilation = settings.integer("pad", 0), settings.integer("dilation", 1)
        names = ["weight", "bias"] if settings.flag("bias_term", default=True) else ["weight"]
        blobs = self._blobs_of(layer, len(names))
        values = [self._floats(f"{layer.name}/{name}", blob) for name, blob in zip(names, blobs, strict=False)]
        if len(names) == 2:
            self._weights[values[1]] = blobs[1].ravel()
        self._node(
            "Conv",
            [inputs[0], *values],
            layer.name,
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=[pad] * 4,
            dilations=[dilation] * 2,
            group=settings.integer("group", 1),
        )
        reach = dilation * (kernel - 1) + 1
        self._size_of[layer.name] = tuple((side + 2 * pad - reach) // stride + 1 for side in self._size_of[inputs[0]])

    def _pooling(self, layer: Layer, inputs: list[str]) -> None:
        settings = layer.settings.nested("pooling_param")
        kernel, stride = settings.integer("kernel_size"), settings.integer("stride", 1)
        self._node("MaxPool", inputs, layer.name, kernel_shape=[kernel] * 2, strides=[stride] * 2, ceil_mode=1)
        self._size_of[layer.name] = tuple(math.ceil((side - kernel) / stride) + 1 for side in self._size_of[inputs[0]])

    def _normalise(self, layer: Layer, inputs: list[str]) -> None:
        scale = self._floats(f"{layer.name}/scale", self._blobs_of(layer, 1)[0].reshape(1, -1, 1, 1))
        tiny = self._floats(f"{layer.name}/tiny", [1e-10])
        self._node("ReduceL2", inputs, f"{layer.name}/norm", axes=[1], keepdims=1)
        self._node("Add", [f"{layer.name}/norm", tiny], f"{layer.name}/divisor")
        self._node("Div", [inputs[0], f"{layer.name}/divisor"], f"{layer.name}/unit")
        self._node("Mul", [f"{layer.name}/unit", scale], layer.name)

    def _concat(self, layer: Layer, inputs: list[str]) -> None:
        if inputs[0] in self._priors:
            self._priors[layer.name] = np.concatenate([self._priors[name] for name in inputs])
        else:
            self._node("Concat", inputs, layer.name, axis=layer.settings.nested("concat_param").integer("axis"))

    def _reshape(self, layer: Layer, inputs: list[str]) -> None:
        dims = layer.settings.nested("reshape_param").nested("shape").numbers("dim")
        shape = self._integers(f"{layer.name}/shape", dims)
        self._node("Reshape", [inputs[0], shape], layer.name)

    def _prior_box(self, layer: Layer, inputs: list[str]) -> None:
        height, width = self._input_shape[2:]
        cells = self._size_of[inputs[0]]
        boxes = prior_boxes(layer.settings.nested("prior_box_param"), (cells[0], cells[1]))
        self._priors[layer.name] = np.asarray(boxes / [width, height, width, height], np.float32)

    def _detection_output(self, layer: Layer, inputs: list[str]) -> None:
        locations, confidences, priors = inputs
        centre, size = self._priors[priors][None, :, :2], self._priors[priors][None, :, 2:]
        anchors = [
            self._floats("priors/centre", centre),
            self._floats("priors/size", size),
            self._floats("priors/centre_step", size * 0.1),
            self._floats("variance/size", [0.2]),
            self._floats("half", [0.5]),
        ]
        self._node("Reshape", [locations, self._integers("loc/shape", [0, -1, 4])], "loc")
        self._integers("loc/halves", [2, 2])
        self._nodes.append(helper.make_node("Split", ["loc", "loc/halves"], ["loc/at", "loc/size"], axis=2))
        self._corners(anchors)
        self._node("Reshape", [confidences, self._integers("conf/shape", [0, -1, 2])], "conf")
        self._node("Gather", ["conf", self._integers("face", 1)], "scores", axis=2)

    def _corners(self, anchors: list[str]) -> None:
        centre, size, centre_step, size_variance, half = anchors
        self._node("Mul", ["loc/at", centre_step], "at/offset")
        self._node("Add", ["at/offset", centre], "at")
        self._node("Mul", ["loc/size", size_variance], "size/log")
        self._node("Exp", ["size/log"], "size/factor")
        self._node("Mul", ["size/factor", size], "size")
        self._node("Mul", ["size", half], "size/half")
        self._node("Sub", ["at", "size/half"], "corner/first")
        self._node("Add", ["at", "size/half"], "corner/last")
        self._node("Concat", ["corner/first", "corner/last"], "boxes", axis=2)
