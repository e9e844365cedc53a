"""Films that say how they are to be turned, as phones write them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from mediafiles import PATCHES, bar_centres, patches, write_video, yuv_to_bgr

from streamd.config import CaptureConfig
from streamd.errors import SourceEnded
from streamd.sources.av import AvSource
from streamd.sources.avframe import AvFrame

SHOWN = patches(320, 240)
SIXTEENTHS = 0x10000
MATRICES = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}
"""By how far players turn the film clockwise."""


def film(path: Path, clockwise: int, count: int = 3) -> Path:
    """Shows ``SHOWN``, and has it lying."""
    lying = np.ascontiguousarray(np.rot90(SHOWN, clockwise // 90))
    written = bytearray(write_video(path, [lying] * count, matrix=5, full_range=False).read_bytes())
    place = written.index(b"tkhd") + 4
    place += 40 if written[place] == 0 else 52  # ISO/IEC 14496-12, section 8.3.2
    a, b, c, d = (value * SIXTEENTHS for value in MATRICES[clockwise])
    written[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 0x40000000)
    path.write_bytes(written)
    return path


def frames(path: Path, *, resting: bool = False) -> list[AvFrame]:
    source = AvSource(str(path), config=CaptureConfig(pace="fast", loop=False))
    source.open()
    source.resting = resting
    found = []
    try:
        while True:
            found.append(source.read(2.0))
    except SourceEnded:
        return found
    finally:
        source.close()


def right(picture: np.ndarray) -> None:  # type: ignore[type-arg]
    np.testing.assert_allclose(bar_centres(picture), PATCHES, atol=6)


@pytest.mark.parametrize("clockwise", MATRICES)
def test_a_film_is_upright_in_every_form(tmp_path: Path, clockwise: int) -> None:
    frame = frames(film(tmp_path / "a.mp4", clockwise))[0]
    assert frame.size == frame.image_size == (320, 240)
    right(frame.bgr(320, 240))
    right(frame.bgr(160, 120))
    for picture in (frame.yuv420(), frame.small420(320, 240), frame.small420(160, 120)):
        right(yuv_to_bgr(picture.planes, matrix=picture.matrix, full_range=picture.full_range).astype(np.uint8))
    assert frame.yuv420().size == (320, 240)
    assert frame.small420(160, 120).size == (160, 120)
    assert frame.luma(4).shape == (60, 80)
    assert np.array_equal(frame.luma(1), frame.yuv420().planes[:240])


@pytest.mark.parametrize("clockwise", MATRICES)
def test_the_size_that_is_told_is_that_of_what_is_shown(tmp_path: Path, clockwise: int) -> None:
    source = AvSource(str(film(tmp_path / "a.mp4", clockwise)), config=CaptureConfig())
    info = source.open()
    source.close()
    assert (info.width, info.height) == (320, 240)


def test_it_stays_so_while_nothing_moves(tmp_path: Path) -> None:
    assert {frame.size for frame in frames(film(tmp_path / "a.mp4", 90, count=80), resting=True)} == {(320, 240)}
