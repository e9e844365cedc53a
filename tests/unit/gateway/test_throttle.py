"""Pauses between tries to log in."""

import pytest

from streamd.gateway.throttle import FORGET_S, FREE_TRIES, LONGEST_PAUSE_S, MOST, Throttle


def failed(times: int, at_s: float = 0.0) -> Throttle:
    throttle = Throttle()
    for _ in range(times):
        throttle.failed("x", at_s)
    return throttle


@pytest.mark.parametrize(("times", "pause_s"), [(0, 0), (FREE_TRIES - 1, 0), (FREE_TRIES, 1), (FREE_TRIES + 3, 8)])
def test_pauses_double_after_a_few_free_tries(times: int, pause_s: float) -> None:
    assert failed(times).wait_s("x", 0.0) == pause_s


def test_pauses_are_bounded_and_pass() -> None:
    throttle = failed(100)
    assert throttle.wait_s("x", 0.0) == LONGEST_PAUSE_S
    assert throttle.wait_s("x", LONGEST_PAUSE_S) == 0


def test_others_do_not_wait() -> None:
    assert failed(100).wait_s("y", 0.0) == 0


def test_success_and_time_forgive() -> None:
    throttle = failed(100)
    throttle.succeeded("x")
    assert throttle.wait_s("x", 0.0) == 0
    throttle = failed(100)
    throttle.failed("x", FORGET_S + 1)
    assert throttle.wait_s("x", FORGET_S + 1) == 0


def test_what_is_remembered_is_bounded() -> None:
    throttle = failed(100)
    for n in range(MOST):
        throttle.failed(str(n), 0.0)
    assert throttle.wait_s("x", 0.0) == 0
