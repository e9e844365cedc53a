from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from streamd import background
from streamd.background import Background
from streamd.metrics import Metrics


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "LONGEST_PAUSE_S", 0.0)


def failures(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("streamd_background_failures_total", {"task": "curator"})


def steps(*results: Callable[[], float | None]) -> tuple[Callable[[], float | None], threading.Event]:
    """A step that gives these one after the other, and what says that the last was reached."""
    left, done = list(results), threading.Event()

    def step() -> float | None:
        result = left.pop(0) if len(left) > 1 else left[0]
        if len(left) == 1:
            done.set()
        return result()

    return step, done


def broken() -> float:
    raise KeyError("nobody foresaw this")


def test_a_fault_is_logged_with_its_stack_and_counted_and_the_work_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    step, done = steps(lambda: 0.0, broken, broken, lambda: 60.0)
    work = Background("curator", step, metrics)
    assert failures(metrics) == 0, "or Prometheus took the first for no increase"
    with work.running():
        assert done.wait(10)
    assert failures(metrics) == 2
    assert "curator: broken, and tried again" in caplog.text
    assert "nobody foresaw this" in caplog.text


def test_work_that_is_done_is_not_begun_again() -> None:
    calls: list[int] = []
    work = Background("handover", lambda: calls.append(1), Metrics())  # type: ignore[func-returns-value]
    with work.running():
        work._thread.join(10)
        assert not work._thread.is_alive()
    assert calls == [1]


def test_a_pause_ends_with_the_process() -> None:
    step, done = steps(lambda: 3600.0)
    work = Background("curator", step, Metrics())
    with work.running():
        assert done.wait(10)
    assert not work._thread.is_alive()


def test_work_that_fails_for_hours_is_still_tried_again() -> None:
    metrics = Metrics()
    step, done = steps(*[broken] * 1100, lambda: 60.0)
    with Background("curator", step, metrics).running():
        assert done.wait(30)
    assert failures(metrics) == 1100
