from __future__ import annotations

import io

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from streamd.vision.photoheader import read_header
from streamd.vision.tifftags import orientation_of


def _whole(kind: str) -> bytes:
    exif = Image.Exif()
    exif[274] = 6
    channels = 3 if kind == "JPEG" else 4
    file = io.BytesIO()
    Image.fromarray(np.zeros((9, 12, channels), np.uint8)).save(file, kind, exif=exif)
    return file.getvalue()


FILES = {kind: _whole(kind) for kind in ("JPEG", "PNG", "WEBP", "TIFF", "BMP")}


@settings(deadline=None)
@given(st.sampled_from(sorted(FILES)), st.data())
def test_no_damage_to_a_header_stops_the_reader(kind: str, data: st.DataObject) -> None:
    file = bytearray(FILES[kind])
    for _ in range(data.draw(st.integers(0, 6))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    header = read_header(bytes(file[: data.draw(st.integers(0, len(file)))]))
    assert header.kind
    assert header.width >= 0
    assert header.height >= 0
    assert 1 <= header.orientation <= 8


@given(st.binary(max_size=200))
def test_every_block_gives_an_orientation(block: bytes) -> None:
    assert 1 <= orientation_of(b"Exif\0\0MM\0*" + block) <= 8
