from __future__ import annotations

from streamd.scheduling import Attention, Intervals, Scheduler, strain
from streamd.shedding import Ladder, Step

INTERVALS = Intervals(undecided_s=0.1, tracked_s=0.25, motion_s=0.2, still_s=1.0, motion_share=0.01)


def observe(ladder: Ladder, strain: float | None, seconds: float, *, start_s: float = 0.0) -> list[Step]:
    return [ladder.observe(strain, start_s + tick / 10) for tick in range(round(seconds * 10))]


def test_without_strain_nothing_is_given_up() -> None:
    assert set(observe(Ladder(), 0.0, 60)) == {Step.NOTHING}


def test_a_short_burst_changes_nothing() -> None:
    ladder = Ladder()
    observe(ladder, 0.0, 5)
    observe(ladder, 3.0, 0.5, start_s=5)
    assert set(observe(ladder, 0.0, 5, start_s=5.5)) == {Step.NOTHING}


def test_lasting_strain_climbs_step_by_step() -> None:
    steps = observe(Ladder(), 2.0, 10)
    assert list(dict.fromkeys(steps)) == [Step.NOTHING, Step.PACE, Step.DETAIL, Step.VIEWS]
    assert steps.index(Step.DETAIL) - steps.index(Step.PACE) >= 9


def test_every_step_is_left_again_when_the_load_falls() -> None:
    ladder = Ladder()
    observe(ladder, 2.0, 10)
    steps = observe(ladder, 0.0, 30, start_s=10)
    assert list(dict.fromkeys(steps)) == [Step.VIEWS, Step.DETAIL, Step.PACE, Step.NOTHING]


def test_a_strain_between_the_bounds_keeps_the_step() -> None:
    ladder = Ladder()
    observe(ladder, 2.0, 2.5)
    steps = observe(ladder, 0.35, 60, start_s=2.5)[100:]
    assert len(set(steps)) == 1
    assert steps[0] > Step.NOTHING


def test_nothing_more_is_given_up_once_nobody_is_asked_any_more() -> None:
    """As where every camera goes while much was asked."""
    ladder = Ladder()
    observe(ladder, 2.0, 2.0)
    assert ladder.step is Step.PACE
    steps = observe(ladder, None, 30, start_s=2.0)
    assert list(dict.fromkeys(steps)) == [Step.PACE, Step.NOTHING]


def test_pauses_between_those_who_are_asked_hide_no_strain() -> None:
    ladder = Ladder()
    for second in range(20):
        observe(ladder, 2.0, 0.1, start_s=second)
        observe(ladder, None, 0.9, start_s=second + 0.1)
    assert ladder.step is Step.VIEWS


def test_one_camera_that_waited_after_a_pause_changes_nothing() -> None:
    ladder = Ladder()
    observe(ladder, 0.0, 3)
    assert ladder.observe(1.0, 9.0) is Step.NOTHING
    assert set(observe(ladder, 0.0, 5, start_s=9.1)) == {Step.NOTHING}


def test_a_worker_that_is_asked_for_twice_what_it_can_do_climbs_and_comes_down_again() -> None:
    """Twelve cameras with motion, five looks a second each, at 33 ms a look; later two of them."""
    scheduler, ladder = Scheduler({f"cam{i}": INTERVALS for i in range(12)}, max_batch=1), Ladder()
    now_s = work(scheduler, ladder, cameras=12, now_s=0.0, until_s=20.0)
    assert ladder.step >= Step.PACE
    work(scheduler, ladder, cameras=2, now_s=now_s, until_s=60.0)
    assert ladder.step is Step.NOTHING


def work(scheduler: Scheduler, ladder: Ladder, *, cameras: int, now_s: float, until_s: float) -> float:
    while now_s < until_s:
        for i in range(cameras):
            scheduler.ready(f"cam{i}", 1.0, now_s)
        for name in scheduler.grants(now_s):
            scheduler.arrived(name, now_s)
            scheduler.looked(name, Attention.NOTHING, now_s)
            now_s += 0.033
            scheduler.worked(0.033)
        now_s += 0.005
        scheduler.stretch = ladder.observe(strain(scheduler.waits()), now_s).stretch
    return now_s
