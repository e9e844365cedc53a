"""Reading Caffe models: the weights (binary protobuf) and the description of the net (text protobuf).

Only what a trained net needs: layers with their blobs, and nested parameters as plain dictionaries.
Field numbers are those of Caffe's ``caffe.proto``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from streamd.errors import ModelError

_NET_LAYER, _LAYER_NAME, _LAYER_BLOBS = 100, 1, 7
_BLOB_DATA, _BLOB_SHAPE, _SHAPE_DIM = 5, 7, 1
_BLOB_LEGACY_SHAPE = (1, 2, 3, 4)

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

Value = str | float | bool
Message = dict[str, list["Value | Message"]]
"""A text message: each key with all its values, in order."""

_TOKEN = re.compile(r'#[^\n]*|"([^"]*)"|([{}:])|([^\s{}:#"]+)')


def read_weights(content: bytes) -> dict[str, list[NDArray[np.float32]]]:
    """Each layer's blobs by the layer's name, from a ``.caffemodel``.

    Raises:
        ModelError: the bytes are not such a file.
    """
    try:
        layers = [value for field, value in _fields(memoryview(content)) if field == _NET_LAYER]
        weights = dict(_read_layer(_message(layer)) for layer in layers)
    except (IndexError, ValueError) as error:
        raise ModelError(f"not a caffe model: {error}") from error
    if not any(weights.values()):
        raise ModelError("not a caffe model: it has no layer with weights")
    return weights


def _read_layer(layer: memoryview) -> tuple[str, list[NDArray[np.float32]]]:
    name, blobs = "", []
    for field, value in _fields(layer):
        if field == _LAYER_NAME:
            name = bytes(_message(value)).decode()
        elif field == _LAYER_BLOBS:
            blobs.append(_read_blob(_message(value)))
    return name, blobs


def _read_blob(blob: memoryview) -> NDArray[np.float32]:
    data = [np.empty(0, np.float32)]
    shape: list[int] = []
    legacy: dict[int, int] = {}
    for field, value in _fields(blob):
        if field == _BLOB_DATA:
            data.append(np.frombuffer(_message(value), "<f4"))
        elif field == _BLOB_SHAPE:
            shape = _read_shape(_message(value))
        elif field in _BLOB_LEGACY_SHAPE and isinstance(value, int):
            legacy[field] = value
    return np.concatenate(data).reshape(shape or [legacy[field] for field in sorted(legacy)] or [-1])


def _read_shape(shape: memoryview) -> list[int]:
    dims: list[int] = []
    for field, value in _fields(shape):
        if field != _SHAPE_DIM:
            continue
        if isinstance(value, int):
            dims.append(value)
        else:
            at = 0
            while at < len(value):
                dim, at = _varint(value, at)
                dims.append(dim)
    return dims


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number stands where a message was expected")
    return value


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Field numbers and values of one binary message: integers, or the bytes of anything longer."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        wire = key & 7
        if wire == _VARINT:
            number, at = _varint(message, at)
            yield key >> 3, number
            continue
        if wire == _BYTES:
            length, at = _varint(message, at)
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire} at byte {at}")
        if at + length > len(message):
            raise ValueError(f"ends at byte {len(message)}, in the middle of a field")
        yield key >> 3, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """An integer in base 128, and the position after it (Protocol Buffers, "Encoding")."""
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError(f"integer of more than 64 bits at byte {at}")


def read_description(text: str) -> Message:
    """The net of a ``.prototxt``.

    Raises:
        ModelError: the text is not of this form.
    """
    tokens = [match for match in _TOKEN.finditer(text) if not match[0].startswith("#")]
    message, at = _parse(tokens, 0, nested=False)
    if at != len(tokens):
        raise ModelError(f"prototxt: '}}' without '{{' at character {tokens[at].start()}")
    return message


def _parse(tokens: Sequence[re.Match[str]], at: int, *, nested: bool) -> tuple[Message, int]:
    message: Message = {}
    while at < len(tokens) and tokens[at][0] != "}":
        value: Value | Message
        key, at = tokens[at][0], at + 1
        if at < len(tokens) and tokens[at][0] == ":":
            at += 1
        if at >= len(tokens):
            raise ModelError(f"prototxt: '{key}' has no value at the end of the text")
        if tokens[at][0] == "{":
            value, at = _parse(tokens, at + 1, nested=True)
        else:
            value, at = _scalar(tokens[at]), at + 1
        message.setdefault(key, []).append(value)
    if nested and at >= len(tokens):
        raise ModelError("prototxt: '{' is never closed")
    return message, at + nested


def _scalar(token: re.Match[str]) -> Value:
    if token[1] is not None:
        return token[1]
    if token[0] in ("true", "false"):
        return token[0] == "true"
    try:
        return float(token[0])
    except ValueError:
        return token[0]
