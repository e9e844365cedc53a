"""Packets of a live stream that are left to come and are decoded together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from mediafiles import write_video
from sourceclock import FakeClock, LiveFile

from streamd.config import CaptureConfig
from streamd.errors import SourceEnded
from streamd.sources.av import AvSource
from streamd.sources.avframe import AvFrame

FPS, COUNT = 10, 100


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A still view, and a key frame in every second."""
    picture = np.random.default_rng(1).integers(0, 255, (240, 320, 3)).astype(np.uint8)
    return write_video(tmp_path_factory.mktemp("clips") / "a.ts", [picture] * COUNT, fps=FPS)


@contextmanager
def source(clip: Path) -> Iterator[tuple[AvSource, FakeClock]]:
    clock = FakeClock(1000.0)
    with pytest.MonkeyPatch.context() as patch:
        LiveFile(patch, clock, fps=FPS)
        opened = AvSource(str(clip), config=CaptureConfig(), clock=clock.as_clock())
        opened.open()
        try:
            yield opened, clock
        finally:
            opened.close()


def test_every_frame_is_given_while_somebody_is_not_known(clip: Path) -> None:
    with source(clip) as (opened, clock):
        times = [opened.read(5.0).media_s for _ in range(20)]
        assert np.allclose(np.diff(times), 1 / FPS)
        assert clock.slept_s == 0.0, "the network is what it waits for"


def test_while_all_are_known_it_sleeps_and_decodes_two_at_a_time(clip: Path) -> None:
    with source(clip) as (opened, clock):
        opened.read(5.0)
        opened.settled = True
        times, taken = [], []
        for _ in range(20):
            frame = opened.read(5.0)
            times.append(frame.media_s)
            taken.append(frame.captured_at_s)
        assert np.allclose(np.diff(times), 2 / FPS)
        assert np.allclose(np.diff(taken), 2 / FPS), "it sleeps for less than they take to come"
        assert clock.slept_s >= 0.6 * (taken[-1] - taken[0])
        assert 3 <= opened.work.skipped <= 4, "what comes just before a key frame is left out"
        opened.settled = False
        after = [opened.read(5.0).media_s for _ in range(5)]
        assert np.allclose(np.diff(after), 1 / FPS), "and every one again as soon as somebody is not"


def test_while_packets_are_held_back_it_sleeps(clip: Path) -> None:
    with source(clip) as (opened, clock):
        opened.resting = True
        while opened.read(5.0).media_s < 5.0:
            pass
        before_s, slept_s = clock.now_s, clock.slept_s
        frames = [opened.read(5.0) for _ in range(4)]
        assert np.allclose(np.diff([frame.media_s for frame in frames]), 1.0), "key frames alone"
        assert np.allclose(np.diff([frame.captured_at_s for frame in frames]), 1.0), "none is late"
        assert opened.work.unchanged_at_s > before_s, "packets after the last one said that nothing moves"
        assert clock.slept_s - slept_s >= 0.5 * (clock.now_s - before_s)


@pytest.mark.parametrize("quiet", ["resting", "settled"])
def test_where_every_picture_is_a_key_frame_they_go_on_coming(tmp_path: Path, quiet: str) -> None:
    picture = np.random.default_rng(1).integers(0, 255, (240, 320, 3)).astype(np.uint8)
    path = write_video(tmp_path / "a.avi", [picture] * 60, fps=30, codec="mjpeg", pixels="yuvj420p")
    opened = AvSource(str(path), config=CaptureConfig(loop=False, pace="fast"))
    opened.open()
    setattr(opened, quiet, True)
    times = played(opened)
    assert len(times) >= 9
    assert np.allclose(np.diff(times), 6 / 30)
    assert opened.work.skipped >= 45


def test_pictures_come_where_the_last_packet_of_each_few_gives_none(tmp_path: Path) -> None:
    """Every third packet is one on which others depend; the rest are not decoded while key frames are far apart."""
    picture = np.random.default_rng(1).integers(0, 255, (240, 320, 3)).astype(np.uint8)
    far = {"g": "600", "bf": "2", "b_strategy": "0", "x264-params": "log-level=none:scenecut=0:b-pyramid=none"}
    path = write_video(tmp_path / "a.ts", [picture] * 400, fps=30, options=far)
    opened = AvSource(str(path), config=CaptureConfig(loop=False, pace="fast"))
    opened.open()
    opened.resting = True
    assert np.diff(played(opened)).max() < 0.3


def test_what_was_kept_comes_before_what_is_held_back(tmp_path: Path) -> None:
    """Everybody is known, and then gone: packets of both moments are needed when something moves."""
    fps, known, gone, comes = 30, 151, 186, 188  # a key frame is 180
    random = np.random.default_rng(1)
    still = random.integers(60, 180, (240, 320, 3)).astype(np.uint8)
    pictures = [still.copy() for _ in range(240)]
    for place in range(182, 240):
        pictures[place][:40, :40] = 255 - still[:40, :40]
        if place >= comes:
            pictures[place][100:, 100:] = random.integers(0, 255, (140, 220, 3))
    path = write_video(tmp_path / "a.ts", pictures, fps=fps)
    truth = AvSource(str(path), config=CaptureConfig(loop=False, pace="fast"))
    truth.open()
    expected = {frame.media_s: frame.luma(1) for frame in iter(lambda: next_of(truth), None)}

    count = 0

    def noticed(_packet: object) -> None:
        nonlocal count
        opened.resting, opened.settled = not known <= count < gone, known <= count < gone
        count += 1

    opened = AvSource(str(path), config=CaptureConfig(loop=False, pace="fast"), noticed=noticed)
    opened.open()
    frames = list(iter(lambda: next_of(opened), None))
    assert opened.work.alarms
    for frame in frames:
        assert np.array_equal(frame.luma(1), expected[frame.media_s]), frame.media_s
    assert np.all(np.diff([frame.media_s for frame in frames]) > 0)


def next_of(source: AvSource) -> AvFrame | None:
    try:
        return source.read(5.0)
    except SourceEnded:
        return None


def played(source: AvSource) -> list[float]:
    return [frame.media_s for frame in iter(lambda: next_of(source), None)]
