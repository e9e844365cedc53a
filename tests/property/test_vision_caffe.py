"""Whatever the bytes, a Caffe file is read or refused: nothing else comes out."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import ModelError
from streamd.vision.caffe import read_weights
from streamd.vision.caffe_layers import read_net

LAYER = b"\xa2\x06\x17\x0a\x04conv\x3a\x0f\x2a\x08\x00\x00\x80\x3f\x00\x00\x00\x40\x3a\x03\x0a\x01\x02"


def test_the_unchanged_layer_is_read() -> None:
    assert read_weights(LAYER)["conv"][0].tolist() == [1, 2]


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with suppress(ModelError):
        read_weights(content)


@given(st.integers(0, len(LAYER) - 1), st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused(at: int, value: int) -> None:
    with suppress(ModelError):
        read_weights(LAYER[:at] + bytes([value]) + LAYER[at + 1 :])


@given(st.text(alphabet='layer{}: "\n#0123x', max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(ModelError):
        read_net(text)
