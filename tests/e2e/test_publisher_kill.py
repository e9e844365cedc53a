"""A publisher killed at any moment loses nothing and repeats nothing."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from publisherprocess import PublisherProcess, an_event, eventually

from streamd.client import Subscription
from streamd.events import Event
from streamd.sockets import Sockets
from streamd.verdicts import VerdictSender

pytestmark = pytest.mark.e2e

SENDERS, EVENTS_EACH, KILLS = 3, 700, 6
TOTAL = SENDERS * EVENTS_EACH


def _send_all(endpoint: str, sender: int, results: list[int]) -> None:
    with Sockets() as sockets:
        link = VerdictSender(sockets, endpoint, worker=f"worker@{sender}")
        for i in range(EVENTS_EACH):
            link.send(an_event(sender * EVENTS_EACH + i, camera=f"cam{sender}"))
            link.pump(time.monotonic())
            link.socket.poll(3)
        link.flush(40.0)
        results.append(link.unacknowledged + link.dropped)


def _collect(publisher: PublisherProcess, got: list[Event]) -> None:
    with Subscription(publish=publisher.publish, replay=publisher.replay, since=0, timeout_s=20.0) as events:
        for event in events:
            got.append(event)
            if len(got) == TOTAL:
                return


@pytest.mark.parametrize("seed", [1, 2])
def test_kill_at_random_moments_under_load_loses_nothing_and_repeats_nothing(tmp_path: Path, seed: int) -> None:
    moments = random.Random(seed)
    left: list[int] = []
    got: list[Event] = []
    with PublisherProcess(tmp_path) as publisher:
        threads = [threading.Thread(target=_send_all, args=(publisher.verdicts, s, left)) for s in range(SENDERS)]
        threads.append(threading.Thread(target=_collect, args=(publisher, got)))
        for thread in threads:
            thread.start()
        eventually(lambda: publisher.last_seq() > 0)
        committed_at_kill = []
        for _ in range(KILLS):
            threading.Event().wait(moments.uniform(0.02, 0.5))  # the moment is the point, not a condition
            publisher.kill()
            publisher.start()
            committed_at_kill.append(publisher.last_seq())
        for thread in threads:
            thread.join()
        stored = publisher.stored()
    assert left == [0] * SENDERS
    assert committed_at_kill[0] < committed_at_kill[2] < TOTAL, "the kills did not fall into the load"
    assert [row.seq for row in stored] == list(range(1, TOTAL + 1))
    assert Counter(row.event().id for row in stored) == Counter(f"id-{i}" for i in range(TOTAL))
    for sender in range(SENDERS):
        mine = [row.event().id for row in stored if row.event().camera == f"cam{sender}"]
        assert mine == [f"id-{i}" for i in range(sender * EVENTS_EACH, (sender + 1) * EVENTS_EACH)]
    assert [event.seq for event in got] == list(range(1, TOTAL + 1))
    assert [event.id for event in got] == [row.event().id for row in stored]
