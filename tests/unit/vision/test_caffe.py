from __future__ import annotations

import numpy as np
import pytest

from streamd.errors import ModelError
from streamd.vision.caffe import read_description, read_weights
from streamd.vision.caffe_layers import Settings, read_net
from streamd.vision.priors import prior_boxes


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> bytes:
    dims = field(1, b"".join(varint(dim) for dim in values.shape))
    return field(5, values.astype("<f4").tobytes()) + field(7, dims)


def caffemodel(**layers: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> bytes:
    parts = [field(1, name.encode()) + field(7, blob(values)) for name, values in layers.items()]
    return field(1, b"net") + b"".join(field(100, part) for part in parts)


def test_blobs_keep_their_shape_and_values() -> None:
    weights = np.arange(600, dtype=np.float32).reshape(2, 3, 10, 10)
    read = read_weights(caffemodel(conv=weights))
    np.testing.assert_array_equal(read["conv"][0], weights)


def test_shape_in_four_numbers_is_understood() -> None:
    old = b"".join(varint(n << 3) + varint(dim) for n, dim in ((1, 1), (2, 2), (3, 1), (4, 3)))
    layer = field(1, b"fc") + field(7, old + field(5, np.arange(6, dtype="<f4").tobytes()))
    assert read_weights(field(100, layer))["fc"][0].shape == (1, 2, 1, 3)


@pytest.mark.parametrize("content", [b"", b"\xff" * 20, b"a text", caffemodel(x=np.ones(9, "f4"))[:-5]])
def test_other_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match="not a caffe model"):
        read_weights(content)


TEXT = """
input: "data"  # the picture
input_shape { dim: 1 dim: 3 dim: 30 dim: 20 }
layer {
  name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 8 kernel_size: 3 bias_term: false weight_filler { type: "xavier" } }
}
"""


def test_description_gives_layers_with_their_settings() -> None:
    net = read_net(TEXT)
    assert (net.input_name, net.input_shape) == ("data", (1, 3, 30, 20))
    settings = net.layers[0].settings.nested("convolution_param")
    assert settings.integer("kernel_size") == 3
    assert settings.integer("stride", 1) == 1
    assert settings.flag("bias_term", default=True) is False


@pytest.mark.parametrize(
    "text", ["", "input:", TEXT + "}", TEXT.rstrip()[:-1], "layer { name: 'x' }", TEXT.replace("input_shape", "shape")]
)
def test_text_that_is_no_net_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match="prototxt"):
        read_net(text)


def test_prior_boxes_stand_in_every_cell_in_caffes_order() -> None:
    layer = "min_size: 30 max_size: 60 aspect_ratio: 4 flip: true step: 10 offset: 0.5"
    boxes = prior_boxes(Settings(read_description(layer)), (2, 3))
    assert boxes.shape == (2 * 3 * 4, 4)
    np.testing.assert_allclose(
        boxes[:4], [[5, 5, 30, 30], [5, 5, 1800**0.5, 1800**0.5], [5, 5, 60, 15], [5, 5, 15, 60]], rtol=1e-6
    )
    np.testing.assert_allclose(boxes[-1, :2], [25, 15])
