from __future__ import annotations

import numpy as np

from streamd.motion import MotionMeter, Sample

RATE = 8
PERSON = (slice(15, 40), slice(10, 20))
TREE = (slice(0, 20), slice(50, 80))


class View:
    """A wall, with a tree that moves without end, and perhaps a person."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(1)
        self._wall = self._random.integers(60, 200, (45, 80)).astype(np.uint8)

    def sample(self, *, tree: bool = False, person: bool = False) -> Sample:
        view = self._wall.copy()
        if tree:
            view[TREE] = self._random.integers(0, 255, view[TREE].shape)
        if person:
            view[PERSON] = 128
        return view


def watch(meter: MotionMeter, view: View, seconds: float, *, start_s: float = 0.0, tree: bool = True) -> list[float]:
    shares = []
    for step in range(int(seconds * RATE)):
        sample = view.sample(tree=tree)
        shares.append(meter.look(sample, start_s + step / RATE))
        if step % 2 == 0:
            meter.refer_to(sample)
    return shares


def test_the_first_picture_is_all_new() -> None:
    assert MotionMeter().look(View().sample(), 0.0) == 1.0


def test_a_still_view_does_not_move() -> None:
    assert max(watch(MotionMeter(), View(), 5, tree=False)[1:]) == 0.0


def test_a_tree_that_moves_without_end_is_no_motion_after_a_while() -> None:
    meter, view = MotionMeter(), View()
    shares = watch(meter, view, 120)
    assert max(shares[1:10]) > 0.05
    assert max(shares[-80:]) < 0.01


def test_who_passes_the_tree_is_motion_all_the_same() -> None:
    meter, view = MotionMeter(), View()
    watch(meter, view, 120)
    assert meter.look(view.sample(tree=True, person=True), 121.0) > 0.04


def test_who_walks_about_for_ten_seconds_stays_motion() -> None:
    meter, view = MotionMeter(), View()
    watch(meter, view, 10, tree=False)
    shares = []
    for step in range(80):
        sample = view.sample(person=step % 2 == 0)
        shares.append(meter.look(sample, 10 + step / RATE))
        meter.refer_to(sample)
    assert min(shares[1:]) > 0.04


def test_the_habit_goes_with_the_tree() -> None:
    meter, view = MotionMeter(), View()
    watch(meter, view, 120)
    watch(meter, view, 120, start_s=120, tree=False)
    assert watch(meter, view, 1, start_s=240)[2] > 0.05
