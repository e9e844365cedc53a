from __future__ import annotations

import pytest

from streamd.elapsed import Elapsed


def times(stamps: list[float], fps: float = 10.0) -> list[float]:
    elapsed = Elapsed(fps)
    return [elapsed.at_s(stamp) for stamp in stamps]


def test_a_film_begins_at_zero_and_keeps_its_gaps() -> None:
    assert times([5.0, 5.1, 5.2, 3605.2]) == pytest.approx([0.0, 0.1, 0.2, 3600.2])


def test_time_goes_on_where_recordings_were_joined() -> None:
    assert times([7.0, 7.1, 0.0, 0.1, 0.3, 0.0]) == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.5, 0.6])


@pytest.mark.parametrize(("fps", "step_s"), [(10.0, 0.1), (0.0, 0.04)])
def test_frames_without_stamps_are_a_frames_time_apart(fps: float, step_s: float) -> None:
    assert times([0.0] * 4, fps) == pytest.approx([step_s * index for index in range(4)])
