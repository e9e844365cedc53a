from __future__ import annotations

import numpy as np
import pytest

from streamd.sources.aligning import StreamTime, shift_s


def stream(
    *, zero_s: float, delay_s: float = 0.02, jitter_s: float = 0.0, clock_s: float | None = None, frames: int = 150
) -> StreamTime:
    """A stream whose time stamp 0 was at ``zero_s``; with ``clock_s`` the camera tells its clock, so far ahead."""
    chance = np.random.default_rng(1)
    time = StreamTime()
    for index in range(frames):
        media_s = index / 15
        taken_s = zero_s + media_s
        told_s = None if clock_s is None else taken_s + clock_s
        time.saw(media_s, arrived_s=taken_s + delay_s + chance.exponential(jitter_s), camera_s=told_s)
    return time


def test_time_stamps_are_matched_by_the_packets_with_the_least_delay() -> None:
    sub, main = stream(zero_s=100.0, jitter_s=0.05), stream(zero_s=97.3, jitter_s=0.15)
    assert shift_s(sub, main) == pytest.approx(2.7, abs=0.01)


def test_the_cameras_own_clock_is_better_where_one_stream_is_slower() -> None:
    sub, main = stream(zero_s=100.0, clock_s=5e8), stream(zero_s=97.3, delay_s=0.3, clock_s=5e8)
    assert shift_s(sub, main) == pytest.approx(2.7, abs=1e-4)


def test_a_camera_whose_streams_disagree_about_the_time_is_not_believed() -> None:
    sub, main = stream(zero_s=100.0, clock_s=5e8), stream(zero_s=97.3, clock_s=5e8 + 3600)
    assert shift_s(sub, main) == pytest.approx(2.7, abs=0.01)


def test_nothing_is_known_before_the_first_packet() -> None:
    assert shift_s(StreamTime(), stream(zero_s=1.0)) is None


def test_a_slow_moment_of_the_network_changes_nothing() -> None:
    time = stream(zero_s=100.0)
    for index in range(30):
        time.saw(10 + index / 15, arrived_s=113.0 + index / 1000)
    assert time.arrival_offset_s == pytest.approx(100.02, abs=0.01)


def test_time_stamps_that_start_over_are_learnt_anew() -> None:
    for zero_s in (50.0, 150.0):
        time = stream(zero_s=100.0)
        for index in range(80):
            time.saw(index / 15 + 100.0 - zero_s + 10, arrived_s=110.02 + index / 15)
        assert time.arrival_offset_s == pytest.approx(zero_s + 0.02 - 0.0, abs=0.01)


def test_a_clock_that_drifts_is_followed() -> None:
    time = StreamTime()
    for index in range(15 * 600):
        at_s = index / 15
        time.saw(at_s, arrived_s=at_s * (1 + 1e-4) + 5)
    assert time.arrival_offset_s == pytest.approx(5 + 0.06, abs=0.003)
