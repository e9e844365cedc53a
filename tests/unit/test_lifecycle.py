import pytest

from streamd.errors import ExitCode
from streamd.lifecycle import Action, Lifecycle, Policy, State

POLICY = Policy()


def running(at_s: float = 0.0) -> Lifecycle:
    life = Lifecycle(POLICY, jitter=lambda: 0.0)
    life.begin(at_s)
    assert life.tick(at_s) is Action.START
    life.on_started(at_s)
    life.on_ready(at_s)
    return life


def test_a_wanted_child_starts_at_once() -> None:
    assert running().state is State.RUNNING


def test_a_crash_waits_half_a_second_then_twice_as_long() -> None:
    life = running()
    pauses = []
    now_s = 0.0
    for _ in range(5):
        life.on_exit(-9, now_s)
        pauses.append(round(life.deadline_s() - now_s, 3))  # type: ignore[operator]  # in backoff there is one
        now_s = life.deadline_s() or 0.0
        assert life.tick(now_s) is Action.START
        life.on_started(now_s)
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0]


def test_a_long_run_makes_the_next_pause_short_again() -> None:
    life = running()
    for _ in range(4):
        life.on_exit(70, 0.0)
        life.on_started(0.0)
    life.on_ready(10.0)
    life.on_exit(70, 10.0 + POLICY.reset_after_s)
    assert life.deadline_s() == pytest.approx(10.0 + POLICY.reset_after_s + 0.5)


@pytest.mark.parametrize("code", [ExitCode.USAGE, ExitCode.CONFIG])
def test_a_child_that_cannot_run_as_configured_is_not_started_again(code: int) -> None:
    life = running()
    life.on_exit(code, 1.0)
    assert life.state is State.FATAL
    assert life.tick(1e6) is None


def test_time_in_which_nobody_ran_does_not_count() -> None:
    life = running()
    life.excuse(30.0)
    assert life.tick(30.0 + POLICY.stall_after_s - 0.1) is None
    assert life.tick(30.0 + POLICY.stall_after_s) is Action.ABORT
    life.excuse(30.0)
    assert life.tick(60.0 + POLICY.stall_after_s) is None
    assert life.tick(60.0 + POLICY.stall_after_s + POLICY.abort_grace_s) is Action.KILL


def test_a_drain_that_was_halted_has_its_whole_time() -> None:
    life = running()
    life.stop(0.0)
    life.excuse(30.0)
    assert life.tick(30.0 + POLICY.drain_s - 0.1) is None
    assert life.tick(30.0 + POLICY.drain_s) is Action.KILL


def test_a_child_that_never_becomes_ready_is_aborted() -> None:
    life = Lifecycle(POLICY, jitter=lambda: 0.0)
    life.begin(0.0)
    life.on_started(0.0)
    assert life.tick(POLICY.stall_after_s + 1) is None
    assert life.tick(POLICY.start_timeout_s) is Action.ABORT


def test_a_child_that_gives_signs_of_life_may_take_longer_to_become_ready() -> None:
    life = Lifecycle(POLICY, jitter=lambda: 0.0)
    life.begin(0.0)
    life.on_started(0.0)
    life.on_beat(POLICY.start_timeout_s - 1)
    assert life.tick(2 * POLICY.start_timeout_s - 2) is None
    assert life.tick(2 * POLICY.start_timeout_s - 1) is Action.ABORT


def test_a_drain_that_takes_too_long_ends_in_a_kill_once() -> None:
    life = running()
    assert life.stop(5.0)
    assert life.tick(5.0 + POLICY.drain_s - 0.1) is None
    assert life.tick(5.0 + POLICY.drain_s) is Action.KILL
    assert life.tick(5.0 + POLICY.drain_s + 1) is None
    life.on_exit(-9, 30.0)
    assert life.state is State.STOPPED


def test_a_child_in_backoff_stops_without_being_asked() -> None:
    life = running()
    life.on_exit(1, 0.0)
    assert not life.stop(0.1)
    assert life.state is State.STOPPED
    assert life.tick(100.0) is None


def test_jitter_stretches_a_pause_by_at_most_a_quarter() -> None:
    life = Lifecycle(POLICY, jitter=lambda: 1.0)
    assert life.pause_s() == pytest.approx(POLICY.backoff_min_s * 1.25)


def test_a_child_that_was_aborted_and_ended_is_not_killed() -> None:
    life = running()
    assert life.tick(POLICY.stall_after_s) is Action.ABORT
    life.stop(POLICY.stall_after_s)
    life.on_exit(-6, POLICY.stall_after_s)
    assert life.tick(POLICY.stall_after_s + 10) is None


def test_a_child_has_its_whole_time_from_its_start_and_from_being_ready() -> None:
    life = Lifecycle(POLICY, jitter=lambda: 0.0)
    life.begin(1000.0)
    life.on_started(1000.0)
    assert life.tick(1000.0 + POLICY.start_timeout_s - 0.1) is None
    life.on_ready(1050.0)
    assert life.tick(1050.0 + POLICY.stall_after_s - 0.1) is None
    assert life.tick(1050.0 + POLICY.stall_after_s) is Action.ABORT


def test_a_child_that_hangs_again_after_it_was_killed_is_killed_again() -> None:
    life, now_s = running(), 0.0
    for _ in range(2):
        now_s += POLICY.stall_after_s
        assert life.tick(now_s) is Action.ABORT
        now_s += POLICY.abort_grace_s
        assert life.tick(now_s) is Action.KILL
        life.on_exit(-9, now_s)
        life.on_started(now_s)
        life.on_ready(now_s)
    assert life.restarts == 2


def test_a_child_that_is_wanted_again_starts_at_once_and_as_if_it_had_never_failed() -> None:
    life = running()
    for _ in range(5):
        life.on_exit(70, 1.0)
        life.on_started(1.0)
    life.on_exit(70, 1.0)
    assert not life.stop(1.0)
    life.begin(2.0)
    assert life.tick(2.0) is Action.START
    life.on_started(2.0)
    life.on_exit(70, 3.0)
    assert life.deadline_s() == pytest.approx(3.0 + POLICY.backoff_min_s)


def test_a_child_that_never_became_ready_does_not_count_as_having_run_for_long() -> None:
    life = running()
    life.on_exit(70, 1.0)
    life.on_started(2.0)
    life.on_exit(70, 2.0 + POLICY.reset_after_s)
    assert life.deadline_s() == pytest.approx(2.0 + POLICY.reset_after_s + 2 * POLICY.backoff_min_s)


def test_the_deadline_is_when_there_is_next_something_to_do() -> None:
    life = Lifecycle(POLICY, jitter=lambda: 0.0)
    assert life.deadline_s() is None
    life.begin(10.0)
    assert life.deadline_s() == 10.0
    life.on_started(10.0)
    assert life.deadline_s() == 10.0 + POLICY.start_timeout_s
    life.on_ready(20.0)
    assert life.deadline_s() == 20.0 + POLICY.stall_after_s
    assert life.tick(40.0) is Action.ABORT
    assert life.deadline_s() == 40.0 + POLICY.abort_grace_s
    assert life.tick(41.0) is Action.KILL
    assert life.deadline_s() is None, "its end is told by the kernel"
    life.on_exit(-9, 41.5)
    life.on_started(50.0)
    assert life.stop(60.0)
    assert life.deadline_s() == 60.0 + POLICY.drain_s
