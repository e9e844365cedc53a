from __future__ import annotations

from streamd.backoff import doubled_s


def test_a_pause_doubles_with_each_failure_up_to_the_longest() -> None:
    assert [doubled_s(0.5, 3.0, failures) for failures in (-1, 0, 1, 2, 3)] == [0.5, 0.5, 1.0, 2.0, 3.0]


def test_failures_without_end_are_no_more_than_the_longest() -> None:
    assert doubled_s(0.5, 60.0, 1_000_000) == 60.0
