"""A publisher killed at any moment loses nothing and repeats nothing."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import pytest
from publisherprocess import PublisherProcess, an_event, eventually

from streamd.client import Subscription
from streamd.events import Event
from streamd.sockets import Sockets
from streamd.verdicts import VerdictSender

pytestmark = pytest.mark.e2e

SENDERS, KILLS = 3, 6
LEAST_EACH = 700
"""Events of each sender; as many more as it takes to keep up the load until the last kill."""


class Load(threading.Thread):
    """A process's end, sending about a hundred events a second."""

    def __init__(self, endpoint: str, sender: int, enough: threading.Event) -> None:
        super().__init__(name=f"sender-{sender}")
        self.camera = f"cam{sender}"
        self.sent: list[str] = []
        self.delivered = False
        self._endpoint = endpoint
        self._enough = enough

    def run(self) -> None:
        with Sockets() as sockets:
            link = VerdictSender(sockets, self._endpoint, worker=self.name)
            while len(self.sent) < LEAST_EACH or not self._enough.is_set():
                event = an_event(len(self.sent), camera=self.camera)
                link.send(event)
                self.sent.append(event.id)
                link.pump(time.monotonic())
                link.socket.poll(8)
            self.delivered = link.flush(40.0) and link.dropped == 0


class Reader(threading.Thread):
    """A subscriber from the first event to ``until``, once that is known."""

    def __init__(self, publisher: PublisherProcess) -> None:
        super().__init__(name="reader")
        self.until: int | None = None
        self.got: list[Event] = []
        self._publisher = publisher

    def run(self) -> None:
        end_s = time.monotonic() + 90
        with Subscription(publish=self._publisher.publish, replay=self._publisher.replay, since=0) as events:
            while len(self.got) != self.until and time.monotonic() < end_s:
                event = events.next(0.2)
                self.got += [event] if event else []


@pytest.mark.parametrize("seed", [1, 2])
def test_kill_at_random_moments_under_load_loses_nothing_and_repeats_nothing(tmp_path: Path, seed: int) -> None:
    moments = random.Random(seed)
    enough = threading.Event()
    with PublisherProcess(tmp_path) as publisher:
        loads = [Load(publisher.verdicts, n, enough) for n in range(SENDERS)]
        reader = Reader(publisher)
        for thread in (*loads, reader):
            thread.start()
        for _ in range(KILLS):
            before = publisher.last_seq()
            eventually(lambda before=before: publisher.last_seq() > before)  # type: ignore[misc]  # a default binds
            threading.Event().wait(moments.uniform(0, 0.3))  # the moment is the point, not a condition
            publisher.kill()
            publisher.start()
        enough.set()
        for load in loads:
            load.join()
        stored = [row.event() for row in publisher.stored()]
        reader.until = len(stored)
        reader.join()
    assert all(load.delivered for load in loads)
    assert [event.seq for event in stored] == list(range(1, sum(len(load.sent) for load in loads) + 1))
    for load in loads:
        assert [event.id for event in stored if event.camera == load.camera] == load.sent
    assert reader.got == stored
