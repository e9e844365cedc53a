from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import ProtocolError
from streamd.jpeg import packed, unpacked


def view(height: int, width: int) -> np.ndarray:
    """Smooth, as pictures of cameras are."""
    rng = np.random.default_rng(1)
    small = rng.integers(0, 255, (max(2, height // 40), max(2, width // 40), 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def flat(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8)


def test_a_picture_comes_out_as_it_went_in_but_for_a_little_noise() -> None:
    for pixels in (view(360, 640), cv2.cvtColor(view(360, 640), cv2.COLOR_BGR2YUV_I420)):
        out = unpacked(flat(packed(pixels, 90)), pixels.shape)
        assert out.shape == pixels.shape
        assert np.abs(out.astype(int) - pixels).mean() < 2.0


def test_it_has_a_tenth_of_the_bytes() -> None:
    pixels = view(720, 1280)
    assert len(packed(pixels, 90)) * 10 < pixels.nbytes


def test_one_of_another_size_is_refused_before_it_is_decoded() -> None:
    data = bytearray(packed(view(64, 64), 90))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = (60000).to_bytes(2) + (60000).to_bytes(2)
    for shape in ((60, 64, 3), (64, 60, 3)):
        with pytest.raises(ProtocolError, match="not a JPEG of"):
            unpacked(flat(bytes(data)), shape)


def test_one_that_ends_early_is_refused_or_has_the_right_shape() -> None:
    data = packed(view(64, 64), 90)
    for length in range(0, len(data), 7):
        try:
            assert unpacked(flat(data[:length]), (64, 64, 3)).shape == (64, 64, 3)
        except ProtocolError:
            continue


@given(st.binary(max_size=200))
def test_anything_else_is_refused(data: bytes) -> None:
    for head in (b"", b"\xff\xd8", b"\xff\xd8\xff\xc0"):
        with pytest.raises(ProtocolError):
            unpacked(flat(head + data), (64, 4000, 3))
