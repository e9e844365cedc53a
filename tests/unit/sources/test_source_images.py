"""A folder of pictures as a camera."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
from mediafiles import PATCHES, bar_centres, patches, yuv_to_bgr
from sourceclock import FakeClock

from streamd.config import CaptureConfig
from streamd.errors import SourceEnded, SourceRejected
from streamd.sources.images import ImageFolder, ImageFrame


def folder_of(tmp_path: Path, **levels: int) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir(exist_ok=True)
    for name, level in levels.items():
        cv2.imwrite(str(folder / f"{name}.png"), np.full((48, 64, 3), level, np.uint8))
    return folder


def opened(folder: Path, clock: FakeClock | None = None, **options: object) -> ImageFolder:
    config = CaptureConfig.model_validate({"pace": "fast", "loop": False, **options})
    source = ImageFolder(folder, config=config, clock=clock.as_clock() if clock else None)
    source.open()
    return source


def levels(source: ImageFolder, count: int) -> list[int]:
    return [int(source.read(1.0).luma(1).mean().round()) for _ in range(count)]


def test_pictures_come_in_the_order_of_their_names_and_end(tmp_path: Path) -> None:
    source = opened(folder_of(tmp_path, b=100, a=50, c=150))
    assert levels(source, 3) == [50, 100, 150]
    with pytest.raises(SourceEnded, match="played to its end"):
        source.read(1.0)


def test_a_looped_folder_starts_again_and_notices_new_pictures(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, a=50)
    source = opened(folder, loop=True)
    assert levels(source, 1) == [50]
    folder_of(tmp_path, b=100)
    assert levels(source, 3) == [50, 100, 50]


def test_pictures_are_paced_by_image_fps(tmp_path: Path) -> None:
    clock = FakeClock(10.0)
    source = opened(folder_of(tmp_path, a=50, b=100), clock, pace="real", image_fps=4, loop=True)
    assert [source.read(1.0).captured_at_s for _ in range(4)] == pytest.approx([10.0, 10.25, 10.5, 10.75])


def test_a_picture_shown_for_long_is_given_each_second_as_a_still_camera_would(tmp_path: Path) -> None:
    clock = FakeClock(0.0)
    source = opened(folder_of(tmp_path, a=50, b=100), clock, pace="real", image_fps=0.4)
    frames = [source.read(1.0) for _ in range(4)]
    assert [round(frame.luma(1).mean()) for frame in frames] == [50, 50, 50, 100]
    assert clock.now_s == pytest.approx(2.5)


def test_an_unreadable_picture_is_skipped_with_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = folder_of(tmp_path, a=50, c=150)
    (folder / "b.jpg").write_bytes(b"\xff\xd8 not really")
    (folder / "empty.png").touch()
    with caplog.at_level(logging.WARNING):
        source = opened(folder)
        assert levels(source, 2) == [50, 150]
        with pytest.raises(SourceEnded):
            source.read(1.0)
    assert "b.jpg: not a picture that can be read; skipped" in caplog.text


def test_a_folder_without_pictures_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(SourceRejected, match=r"has no pictures \(\.bmp"):
        opened(tmp_path)


def test_a_folder_of_nothing_but_unreadable_pictures_is_rejected_even_looped(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.png"):
        (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(SourceRejected, match="none of its 2 pictures"):
        opened(tmp_path, loop=True)


def test_odd_sizes_lose_their_last_row_and_column(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), patches(321, 241))
    frame = opened(tmp_path).read(1.0)
    assert frame.size == (320, 240)
    assert frame.yuv420().size == (320, 240)


def test_both_paths_give_the_same_colours() -> None:
    frame = ImageFrame(patches(320, 240), at_s=0, wall_s=0, media_s=0)
    picture = frame.yuv420()
    by_definition = yuv_to_bgr(picture.planes, matrix=picture.matrix, full_range=picture.full_range)
    np.testing.assert_allclose(bar_centres(by_definition.astype(np.uint8)), PATCHES, atol=4)
    np.testing.assert_allclose(bar_centres(frame.bgr(160, 120)), PATCHES, atol=2)


def test_the_given_picture_can_be_written_to_without_harm() -> None:
    frame = ImageFrame(patches(64, 48), at_s=0, wall_s=0, media_s=0)
    frame.bgr(64, 48)[:] = 0
    assert frame.bgr(64, 48).max() == 200
