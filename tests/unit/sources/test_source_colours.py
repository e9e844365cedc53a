"""Colours survive both paths out of a decoded frame, whatever the stream's matrix, range and pixel format."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from mediafiles import PATCHES, bar_centres, patches, write_video, yuv_to_bgr

from streamd.config import CaptureConfig
from streamd.sources.av import AvSource
from streamd.sources.avframe import AvFrame, owned

FAST = CaptureConfig(pace="fast", loop=False)
FORMS = {
    "bt601 limited": {"matrix": 5, "full_range": False},
    "bt601 full": {"matrix": 5, "full_range": True},
    "bt709 limited": {"matrix": 1, "full_range": False},
    "bt709 full": {"matrix": 1, "full_range": True},
}
PIXELS = {
    "yuv422p": "libx264",
    "yuv444p": "libx264",
    "yuv420p10le": "libx264",
    "yuvj422p": "mjpeg",
    "yuvj420p": "mjpeg",
    "rgb24": "png",
    "bgr0": "ffv1",
}


def first_frame(path: Path) -> AvFrame:
    source = AvSource(str(path), config=FAST)
    try:
        source.open()
        return source.read(2.0)
    finally:
        source.close()


def assert_right_colours(frame: AvFrame, *, tolerance: float = 6) -> None:
    width, height = frame.size
    picture = frame.yuv420()
    by_definition = yuv_to_bgr(picture.planes, matrix=picture.matrix, full_range=picture.full_range)
    np.testing.assert_allclose(bar_centres(by_definition.astype(np.uint8)), PATCHES, atol=tolerance)
    np.testing.assert_allclose(bar_centres(frame.bgr(width, height)), PATCHES, atol=tolerance)
    np.testing.assert_allclose(bar_centres(frame.bgr(width // 2, height // 2)), PATCHES, atol=tolerance)


@pytest.mark.parametrize("form", FORMS)
def test_matrix_and_range_of_the_stream_are_believed(tmp_path: Path, form: str) -> None:
    path = write_video(tmp_path / "a.mp4", [patches(320, 240)] * 3, **FORMS[form])  # type: ignore[arg-type]
    frame = first_frame(path)
    assert f"{frame.yuv420().matrix} {'full' if frame.yuv420().full_range else 'limited'}" == form
    assert_right_colours(frame)


@pytest.mark.parametrize(("size", "matrix"), [((640, 480), "bt601"), ((1280, 720), "bt709")])
def test_a_stream_that_names_no_matrix_gets_its_sizes_own(tmp_path: Path, size: tuple[int, int], matrix: str) -> None:
    path = write_video(tmp_path / "a.mp4", [patches(*size)] * 2)
    assert first_frame(path).yuv420().matrix == matrix


@pytest.mark.parametrize("pixels", PIXELS)
def test_every_pixel_format_ends_as_420(tmp_path: Path, pixels: str) -> None:
    path = write_video(tmp_path / "a.avi", [patches(320, 240)] * 3, codec=PIXELS[pixels], pixels=pixels)
    frame = first_frame(path)
    assert frame.yuv420().planes.shape == (360, 320)
    assert_right_colours(frame, tolerance=8)


def test_grey_stays_grey(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", [patches(320, 240)] * 2, codec="ffv1", pixels="gray")
    frame = first_frame(path)
    blue, green, red = bar_centres(frame.bgr(320, 240))[1]
    picture = frame.yuv420()
    by_definition = yuv_to_bgr(picture.planes, matrix=picture.matrix, full_range=picture.full_range)
    assert max(abs(blue - green), abs(green - red)) <= 1
    np.testing.assert_allclose(bar_centres(by_definition.astype(np.uint8))[1], (blue, green, red), atol=3)


def test_odd_sizes_lose_their_last_row_and_column(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", [patches(321, 241)] * 2, codec="ffv1", pixels="yuv420p")
    frame = first_frame(path)
    assert frame.size == (320, 240)
    assert frame.yuv420().size == (320, 240)
    assert_right_colours(frame)


def test_luma_is_every_nth_pixel_of_the_y_plane(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [patches(320, 240)] * 2)
    frame = first_frame(path)
    np.testing.assert_array_equal(frame.luma(4), frame.yuv420().planes[:240:4, ::4])


def test_luma_outlives_the_frame_and_its_source(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [patches(320, 240)] * 2)
    frame = first_frame(path)
    luma, expected = frame.luma(2), frame.luma(2).copy()
    del frame
    np.testing.assert_array_equal(luma, expected)


def test_a_converted_picture_belongs_to_the_caller(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [patches(320, 240)] * 2)
    frame = first_frame(path)
    taken = frame.bgr(320, 240)
    taken[:] = 0
    assert frame.bgr(320, 240).max() > 100


def test_the_view_is_scaled_whole_and_in_order(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [patches(320, 240)] * 2)
    small = first_frame(path).bgr(80, 60)
    assert small.shape == (60, 80, 3)
    np.testing.assert_allclose(bar_centres(small), PATCHES, atol=6)


@pytest.mark.parametrize(
    ("pixels", "codec"), [("yuv420p", "libx264"), ("yuyv422", "rawvideo"), ("yuvj422p", "mjpeg"), ("bgr24", "rawvideo")]
)
def test_a_webcams_frame_is_copied_out_of_the_devices_memory_in_its_colours(
    tmp_path: Path, pixels: str, codec: str
) -> None:
    path = write_video(tmp_path / "a.avi", [patches(320, 240)] * 2, codec=codec, pixels=pixels)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        copy = owned(frame)
        memory = [np.frombuffer(plane, np.uint8) for plane in (*frame.planes, *copy.planes)]
        own, theirs = memory[len(frame.planes) :], memory[: len(frame.planes)]
        assert not any(np.shares_memory(a, b) for a in own for b in theirs)
    assert_right_colours(AvFrame(copy, captured_at_s=0, captured_wall_s=0), tolerance=8)
