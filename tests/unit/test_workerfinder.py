from __future__ import annotations

import pytest

from streamd.workerfinder import LOST_AFTER_S, ROUND_PAUSE_S, WorkerFinder

FIRST = "tcp://192.0.2.1:5570"


def finder() -> WorkerFinder:
    return WorkerFinder("gate", FIRST)


def port(found: WorkerFinder) -> int:
    return int(found.endpoint.rpartition(":")[2])


def test_it_begins_at_the_address_that_was_given() -> None:
    f = finder()
    assert not f.moved(0.0)
    assert f.endpoint == FIRST


def test_a_refusal_leads_to_the_next_worker_at_once_and_in_the_end_to_the_right_one() -> None:
    f = finder()
    for worker in (0, 1):
        f.elsewhere(worker=worker, workers=3)
        assert f.moved(1.0)
    assert port(f) == 5572
    f.found()
    assert not f.moved(100.0)


def test_where_nobody_looks_at_the_camera_the_rounds_are_slow_and_it_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    f, now_s, moves = finder(), 0.0, 0
    while now_s < 10 * ROUND_PAUSE_S:
        f.elsewhere(worker=port(f) - 5570, workers=2)
        moves += f.moved(now_s)
        now_s += 0.1
    assert 15 <= moves <= 22
    assert len([r for r in caplog.records if r.levelname == "WARNING"]) == 1


def test_one_worker_alone_is_asked_on() -> None:
    f = finder()
    f.elsewhere(worker=0, workers=1)
    assert not f.moved(0.0)
    assert f.endpoint == FIRST


def test_a_worker_that_is_gone_for_good_leads_back_to_the_first() -> None:
    f = finder()
    f.elsewhere(worker=0, workers=2)
    assert f.moved(0.0)
    f.reached(False, 1.0)
    f.reached(False, LOST_AFTER_S)
    assert not f.moved(LOST_AFTER_S)
    assert f.moved(1.0 + LOST_AFTER_S)
    assert f.endpoint == FIRST


def test_a_worker_that_restarts_is_waited_for() -> None:
    f = finder()
    f.elsewhere(worker=0, workers=2)
    f.moved(0.0)
    f.reached(False, 1.0)
    f.reached(True, 4.0)
    f.reached(False, 20.0)
    assert not f.moved(20.0 + LOST_AFTER_S / 2)


@pytest.mark.parametrize(("worker", "workers"), [(-1, 2), (2, 2), (0, 0), (0, 100_000)])
def test_numbers_that_no_worker_has_are_not_followed(worker: int, workers: int) -> None:
    f = finder()
    f.elsewhere(worker=worker, workers=workers)
    assert not f.moved(0.0)


def test_a_worker_that_wants_frames_after_all_is_stayed_with() -> None:
    f = finder()
    f.elsewhere(worker=0, workers=2)
    f.found()
    assert not f.moved(1.0)
    assert f.endpoint == FIRST
