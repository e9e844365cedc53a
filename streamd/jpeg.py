"""Pictures as JPEG, for the way between two hosts: a fraction of the bytes to encrypt and carry."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from streamd.errors import ProtocolError

_SIZES = frozenset({0xC0, 0xC1, 0xC2})
"""Markers of the segments in which baseline, extended and progressive JPEG say their size."""
_START, _SCAN = 0xD8, 0xDA


def packed(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """(h, w) or (h, w, 3) as JPEG. Planar 4:2:0 goes as one grey picture, which keeps its planes as they lie."""
    ok, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise ValueError(f"a picture of shape {pixels.shape} cannot be a JPEG")
    return data.tobytes()


def unpacked(data: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """What ``packed`` made, in the shape that it must have.

    Raises:
        ProtocolError: no JPEG, a broken one, or one of another size, which is not even decoded.
    """
    if _size(data[:4096].tobytes()) != (shape[1], shape[0]):
        raise ProtocolError(f"a picture that is not a JPEG of {shape[1]}x{shape[0]}")
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR if len(shape) == 3 else cv2.IMREAD_GRAYSCALE)
    if pixels is None or pixels.shape != shape:
        raise ProtocolError(f"a broken JPEG of {data.size} bytes")
    return np.asarray(pixels, np.uint8)


def _size(head: bytes) -> tuple[int, int] | None:
    """Width and height, from the segments before the first scan."""
    at = 2 if head[:2] == bytes((0xFF, _START)) else len(head)
    while at + 9 <= len(head) and head[at] == 0xFF and head[at + 1] != _SCAN:
        if head[at + 1] in _SIZES:
            return int.from_bytes(head[at + 7 : at + 9]), int.from_bytes(head[at + 5 : at + 7])
        at += 2 + int.from_bytes(head[at + 2 : at + 4])
    return None
