"""The schedule of a recording holds for any time stamps."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from streamd.sources.pacing import MAX_STEP_S, SLACK_S, Pacer

STAMPS = st.lists(st.none() | st.floats(-1e6, 1e6), min_size=2, max_size=50)
RATES = st.floats(0, 240)


@given(stamps=STAMPS, fps=RATES, start_s=st.floats(0, 1e6))
def test_frames_are_due_in_order_and_never_far_apart_whatever_their_stamps(
    stamps: list[float | None], fps: float, start_s: float
) -> None:
    pacer = Pacer(fps=fps)
    due = [pacer.due_s(stamp, start_s) for stamp in stamps]
    assert due[0] == start_s
    for earlier, later in pairwise(due):
        assert earlier <= later <= earlier + MAX_STEP_S + 1e-6


@given(steps=st.lists(st.floats(0.001, MAX_STEP_S - 1e-6), min_size=1, max_size=50))  # sums of stamps are rounded
def test_honest_stamps_are_kept_to(steps: list[float]) -> None:
    pacer = Pacer(fps=25)
    media_s, due_s = 1000.0, [pacer.due_s(1000.0, 5.0)]
    for step in steps:
        media_s += step
        due_s.append(pacer.due_s(media_s, 5.0))
    assert abs((due_s[-1] - due_s[0]) - (media_s - 1000.0)) < 1e-6


@given(stamps=STAMPS, pauses=st.lists(st.floats(0, 30), min_size=50, max_size=50))
def test_a_live_recording_is_never_more_than_the_slack_behind(stamps: list[float | None], pauses: list[float]) -> None:
    pacer, now_s = Pacer(fps=15, live=True), 0.0
    for stamp, pause in zip(stamps, pauses, strict=False):
        due_s = pacer.due_s(stamp, now_s)
        assert now_s - due_s <= SLACK_S
        now_s = max(now_s, due_s) + pause
