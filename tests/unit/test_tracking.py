import math
from collections.abc import Sequence

import pytest

from streamd.config import TrackingConfig
from streamd.domain import Box, Detection, TrackUpdate
from streamd.tracking import KalmanTracker

CONFIG = TrackingConfig(max_gap_s=1.5, min_hits=2)


def face(x: float, y: float, size: float = 100) -> Detection:
    return Detection(Box(x - size / 2, y - size / 2, x + size / 2, y + size / 2), 0.9)


def ids(update: TrackUpdate) -> list[int]:
    return [track.id for track in update.live]


def follow(tracker: KalmanTracker, frames: Sequence[Sequence[Detection]], interval_s: float) -> list[TrackUpdate]:
    return [tracker.update(found, i * interval_s) for i, found in enumerate(frames)]


def test_a_face_is_confirmed_when_seen_often_enough() -> None:
    first, second = follow(KalmanTracker(CONFIG), [[face(100, 100)], [face(102, 100)]], 0.2)
    assert not first.live[0].confirmed
    assert second.live[0].confirmed


@pytest.mark.parametrize("interval_s", [0.04, 0.1, 0.2, 0.33])
def test_a_walking_face_keeps_its_track_at_any_rate(interval_s: float) -> None:
    """A 100 px face crosses a 1280 px view in four seconds."""
    count = int(4 / interval_s)
    frames = [[face(320 * i * interval_s, 300 + 20 * math.sin(i))] for i in range(count)]
    updates = follow(KalmanTracker(CONFIG), frames, interval_s)
    assert {i for u in updates for i in ids(u)} == {1}


def test_uneven_intervals_use_real_time() -> None:
    tracker = KalmanTracker(CONFIG)
    moments = [0.0, 0.1, 0.2, 0.3, 0.4, 0.9, 1.0, 1.6]
    seen = [ids(tracker.update([face(100 + 250 * t, 200)], t)) for t in moments]
    assert seen == [[1]] * len(moments)


def test_two_people_who_pass_keep_their_tracks() -> None:
    frames = [[face(100 + 30 * i, 200), face(700 - 30 * i, 330)] for i in range(21)]
    updates = follow(KalmanTracker(CONFIG), frames, 0.1)
    last = {track.id: track.box.centre for track in updates[-1].live}
    assert last[1] == pytest.approx((700, 200))
    assert last[2] == pytest.approx((100, 330))


def test_a_hidden_face_is_expected_where_it_was_going() -> None:
    tracker = KalmanTracker(CONFIG)
    for i in range(6):
        tracker.update([face(100 + 40 * i, 200)], 0.1 * i)
    for i in range(6, 11):
        update = tracker.update([], 0.1 * i)
        assert update.live[0].detection is None
    assert update.live[0].box.centre[0] == pytest.approx(100 + 400, abs=40)
    assert ids(tracker.update([face(100 + 440, 200)], 1.1)) == [1]


def test_nobody_found_is_not_the_same_as_nobody_looked() -> None:
    tracker = KalmanTracker(CONFIG)
    tracker.update([face(100, 100)], 0.0)
    assert tracker.predict(1.0).live[0].hits == tracker.update([], 1.1).live[0].hits == 1


def test_a_face_unseen_for_too_long_has_left_once() -> None:
    tracker = KalmanTracker(CONFIG)
    tracker.update([face(100, 100)], 0.0)
    assert tracker.predict(CONFIG.max_gap_s - 0.01).ended == ()
    assert [t.id for t in tracker.predict(CONFIG.max_gap_s).ended] == [1]
    assert tracker.predict(10.0).ended == ()


def test_a_face_elsewhere_is_a_new_track() -> None:
    tracker = KalmanTracker(CONFIG)
    tracker.update([face(100, 100)], 0.0)
    assert ids(tracker.update([face(900, 600)], 0.1)) == [1, 2]


def test_time_that_goes_backwards_does_no_harm() -> None:
    tracker = KalmanTracker(CONFIG)
    tracker.update([face(100, 100)], 5.0)
    update = tracker.update([face(101, 100)], 4.0)
    assert ids(update) == [1]
    assert update.live[0].seen_at_s == 5.0
    assert math.isfinite(update.live[0].box.x1)


def test_the_assignment_is_the_best_of_all_not_the_first() -> None:
    """Greedy matching would give the middle face to the left track and leave the right one without."""
    tracker = KalmanTracker(CONFIG)
    tracker.update([face(100, 100), face(180, 100)], 0.0)
    update = tracker.update([face(135, 100), face(60, 100)], 0.05)
    assert {t.id: t.box.centre[0] for t in update.live} == {1: 60, 2: 135}
