"""Streams whose pixels are not square, as recorders of analogue cameras send them: nobody is stretched."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from mediafiles import PATCHES, bar_centres, patches, write_video, yuv_to_bgr
from oddcamera import OddCamera, units

from streamd.config import CaptureConfig
from streamd.domain import FrameId
from streamd.reading import converted
from streamd.sources.av import AvSource
from streamd.sources.avframe import AvFrame

SHOWN = (320, 240)
SQUEEZED = {
    "narrow": ((160, 240), Fraction(2)),
    "flat": ((320, 120), Fraction(1, 2)),
    "a little": ((292, 240), Fraction(12, 11)),
}
"""Sizes as they are sent, and the shape of a pixel."""
CAPTURE = CaptureConfig(loop=False)


def disc(size: tuple[int, int]) -> np.ndarray:  # type: ignore[type-arg]
    """A round disc, squeezed into ``size``."""
    picture = np.full((SHOWN[1], SHOWN[0], 3), 40, np.uint8)
    cv2.circle(picture, (SHOWN[0] // 2, SHOWN[1] // 2), 80, (220, 220, 220), -1)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def film(path: Path, name: str, *, count: int = 3, bars: bool = False) -> Path:
    size, pixel_shape = SQUEEZED[name]
    picture = patches(*size) if bars else disc(size)
    return write_video(path, [picture] * count, matrix=5, full_range=False, pixel_shape=pixel_shape)


def extent(picture: np.ndarray) -> tuple[float, float]:  # type: ignore[type-arg]
    """Width and height of the disc in shares of the picture's height."""
    bright = picture > 130
    return bright.any(0).sum() / picture.shape[0], bright.any(1).sum() / picture.shape[0]


def first_frame(path: Path, *, resting: bool = False) -> AvFrame:
    source = AvSource(str(path), config=CAPTURE)
    source.resting = resting
    info = source.open()
    frame = source.read(2.0)
    source.close()
    assert (info.width, info.height) == frame.size
    return frame


@pytest.mark.parametrize("name", SQUEEZED)
def test_what_is_round_is_round_in_every_form(tmp_path: Path, name: str) -> None:
    frame = first_frame(film(tmp_path / "a.mp4", name))
    assert frame.size == frame.image_size == frame.yuv420().size
    assert frame.size[0] / frame.size[1] == pytest.approx(4 / 3, abs=0.01)
    whole, small = frame.yuv420(), frame.small420(160, 120)
    forms = [frame.bgr(*SHOWN)[:, :, 1], frame.bgr(160, 120)[:, :, 1], frame.bgr(240, 180)[:, :, 1]]
    for picture in (*forms, whole.planes[: whole.size[1]], small.planes[:120]):
        assert extent(picture) == pytest.approx((160 / 240, 160 / 240), abs=0.03)


@pytest.mark.parametrize("name", SQUEEZED)
def test_colours_stay(tmp_path: Path, name: str) -> None:
    frame = first_frame(film(tmp_path / "a.mp4", name, bars=True))
    np.testing.assert_allclose(bar_centres(frame.bgr(160, 120)), PATCHES, atol=8)
    picture = frame.yuv420()
    whole = yuv_to_bgr(picture.planes, matrix=picture.matrix, full_range=picture.full_range)
    np.testing.assert_allclose(bar_centres(whole.astype(np.uint8)), PATCHES, atol=8)


@pytest.mark.parametrize("name", SQUEEZED)
def test_image_and_picture_have_one_shape(tmp_path: Path, name: str) -> None:
    taken = converted(first_frame(film(tmp_path / "a.mp4", name)), FrameId("a", "b", 1), 160, motion=0.0)
    assert taken.image.shape == (120, 160, 3)
    assert taken.size[0] / taken.size[1] == pytest.approx(4 / 3, abs=0.01)


def test_a_camera_says_so_in_its_parameter_sets(tmp_path: Path) -> None:
    frames = units(film(tmp_path / "a.mp4", "narrow"))
    for told in (frames[0], ()):
        with OddCamera(frames, told=told) as camera:
            source = AvSource(camera.url, config=CAPTURE)
            info = source.open()
            assert (info.width, info.height) == source.read(5.0).size == SHOWN
            source.close()


def test_it_is_so_while_nothing_moves(tmp_path: Path) -> None:
    source = AvSource(str(film(tmp_path / "a.mp4", "narrow", count=80)), config=CaptureConfig(pace="fast"))
    source.resting = True
    source.open()
    assert {source.read(2.0).size for _ in range(100)} == {SHOWN}
    source.close()


@pytest.mark.parametrize("told", [Fraction(1), Fraction(201, 200), Fraction(99)])
def test_pixels_that_are_nearly_square_or_cannot_be_so_long_are_square(tmp_path: Path, told: Fraction) -> None:
    path = write_video(tmp_path / "a.mp4", [disc(SHOWN)] * 2, pixel_shape=told)
    assert first_frame(path).size == SHOWN
