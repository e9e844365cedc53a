"""Packets that are held back, in a source that decodes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from mediafiles import write_video
from numpy.typing import NDArray
from sourceclock import FakeClock

from streamd.config import CaptureConfig
from streamd.errors import SourceEnded
from streamd.sources.av import AvSource

FPS, STILL_S = 10, 12
RESTS_AFTER_S = 1.0


def view(level: int) -> NDArray[np.uint8]:
    picture = np.random.default_rng(1).integers(0, 255, (240, 320, 3)).astype(np.uint8)
    picture[80:160, 120:200] = level
    return picture


def played(path: Path, *, still: int) -> list[tuple[float, float, float, float]]:
    """Of each frame given: its own time, when it counts as taken, the clock then, the light in the middle."""
    clock = FakeClock(1000.0)
    source = AvSource(str(path), config=CaptureConfig(loop=False), clock=clock.as_clock())
    source.open()
    found = []
    try:
        while True:
            frame = source.read(5.0)
            source.resting = frame.media_s >= RESTS_AFTER_S
            taken_s, now_s = frame.captured_at_s - 1000.0, clock.now_s - 1000.0
            found.append((frame.media_s, taken_s, now_s, float(frame.luma(1)[90:150, 130:190].mean())))
    except SourceEnded:
        return found
    finally:
        source.close()


def test_a_still_view_gives_its_key_frames_and_a_change_is_given_at_once(tmp_path: Path) -> None:
    still = STILL_S * FPS + 4
    path = write_video(tmp_path / "a.mp4", [view(40)] * still + [view(220)] * 20, fps=FPS)
    frames = played(path, still=still)
    calm = [media_s for media_s, _, _, _ in frames if 6.0 <= media_s < STILL_S]
    assert calm == [6.0, 7.0, 8.0, 9.0, 10.0, 11.0], "one of ten, write_video's distance between key frames"
    first = next(frame for frame in frames if frame[3] > 150)
    media_s, taken_s, now_s, _ = first
    assert media_s == STILL_S + 0.4, "not even the first frame of the change waits"
    assert abs(taken_s - media_s) < 0.15, "what was held back counts as taken when its last packet came"
    assert abs(now_s - taken_s) < 0.15


def test_frames_of_a_still_file_stay_on_its_schedule(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [view(40)] * 300, fps=FPS)
    for media_s, taken_s, now_s, _ in played(path, still=300):
        assert abs(taken_s - media_s) < 0.15
        assert abs(now_s - taken_s) < 0.15


def noisy(level: int, count: int, seed: int) -> list[NDArray[np.uint8]]:
    random = np.random.default_rng(seed)
    return [np.clip(view(level) + random.normal(0, 12, (240, 320, 1)), 0, 255).astype(np.uint8) for _ in range(count)]


def test_a_noisy_view_is_glanced_at_and_nobody_goes_unseen_for_longer(tmp_path: Path) -> None:
    still = STILL_S * FPS + 1
    path = write_video(tmp_path / "a.mp4", noisy(100, still, 1) + noisy(150, 20, 2), fps=FPS)
    frames = played(path, still=still)
    calm = [round(media_s, 1) for media_s, _, _, _ in frames if 6.0 <= media_s < STILL_S]
    assert calm == [n + after for n in range(6, 12) for after in (0.0, 0.3)], "pictures are at most 0.7 s apart"
    first = next(frame for frame in frames if frame[3] > 125)
    assert first[0] - (STILL_S + 0.1) <= 0.7
    for media_s, taken_s, now_s, _ in frames:
        assert abs(taken_s - media_s) < 0.15
        assert abs(now_s - taken_s) < 0.15


def test_a_looped_file_is_known_when_it_begins_again(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", noisy(100, 60, 1), fps=FPS)
    source = AvSource(str(path), config=CaptureConfig(), clock=FakeClock(1000.0).as_clock())
    source.open()
    for _ in range(60):
        source.read(5.0)
        source.resting = True
    before = replace(source.work)
    assert before.packets > 120, "it has begun again"
    while source.work.packets < before.packets + 240:
        source.read(5.0)
    source.close()
    share = (source.work.skipped - before.skipped) / (source.work.packets - before.packets)
    assert 0.56 <= share <= 0.6, "six of ten, also at the seams"
    assert source.work.unchanged_at_s == -math.inf, "sizes that do not tell say nothing about the view"
