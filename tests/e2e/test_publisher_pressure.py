"""A publisher beside slow subscribers, a full disk, odd clients and other publishers."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from publisherprocess import PublisherProcess, an_event, eventually

from streamd.client import Subscription
from streamd.sockets import HEARTBEAT_MS, HEARTBEAT_TIMEOUT_MS, Sockets
from streamd.verdicts import VerdictSender

pytestmark = pytest.mark.e2e

MIB = 1 << 20


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[PublisherProcess]:
    with PublisherProcess(tmp_path) as process:
        yield process


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    with Sockets() as made:
        yield made


def _send(
    sockets: Sockets, publisher: PublisherProcess, count: int, *, worker: str = "worker@0", message: str | None = None
) -> VerdictSender:
    sender = VerdictSender(sockets, publisher.verdicts, worker=worker)
    for i in range(count):
        sender.send(an_event(i, message=message))
        if i % 2000 == 1999:
            assert sender.flush(30.0)
    assert sender.flush(30.0)
    return sender


def test_subscribers_that_never_read_cost_bounded_memory_and_no_delay(
    publisher: PublisherProcess, sockets: Sockets
) -> None:
    _send(sockets, publisher, 200, worker="warm-up")
    before = publisher.resident_bytes()
    for _ in range(3):
        sleeper = sockets.connect(zmq.SUB, publisher.publish, hwm=1)
        sleeper.set(zmq.RCVBUF, 4096)
        sleeper.set(zmq.SUBSCRIBE, b"")
    with Subscription(publish=publisher.publish, replay=publisher.replay, timeout_s=10.0) as reader:
        eventually(lambda: reader.next(0.1) is None and reader.connected)
        _send(sockets, publisher, 8000, message="x" * 4096)
        last = 0
        while last < 8200:
            event = reader.next(30.0)
            assert event is not None
            last = event.seq
        sender = VerdictSender(sockets, publisher.verdicts, worker="late")
        # Each takes a commit, which a busy disk makes long: some of fifty are quick unless all have to wait.
        assert min(_round_trip_s(sender, reader, i) for i in range(50)) < 0.1
    assert publisher.resident_bytes() - before < 24 * MIB


def _round_trip_s(sender: VerdictSender, reader: Subscription, number: int) -> float:
    started_s = time.monotonic()
    sender.send(an_event(number))
    assert reader.next(30.0) is not None
    passed_s = time.monotonic() - started_s
    sender.pump(time.monotonic())
    return passed_s


def test_full_disk_turns_into_waiting_and_loses_nothing(publisher: PublisherProcess, sockets: Sockets) -> None:
    sender = _send(sockets, publisher, 100)
    wal = publisher.journal_file.with_name("journal.sqlite-wal")
    resource.prlimit(publisher.pid, resource.RLIMIT_FSIZE, (wal.stat().st_size, resource.RLIM_INFINITY))
    for i in range(100, 1500):
        sender.send(an_event(i))
    eventually(lambda: not sender.flush(0.0) and "events wait: journal" in publisher.log)
    with Subscription(publish=publisher.publish, replay=publisher.replay, since=0, timeout_s=10.0) as events:
        assert len(list(events)) == publisher.last_seq() < 1500
        assert events.connected
    resource.prlimit(publisher.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert sender.flush(60.0)
    assert [row.event().id for row in publisher.stored()] == [f"id-{i}" for i in range(1500)]
    assert [row.seq for row in publisher.stored()] == list(range(1, 1501))
    assert "the journal works again" in publisher.log


def test_drain_takes_in_what_still_arrives(publisher: PublisherProcess, sockets: Sockets) -> None:
    sender = _send(sockets, publisher, 1)
    codes: list[int] = []
    stopping = threading.Thread(target=lambda: codes.append(publisher.stop()))
    stopping.start()
    for i in range(1, 60):
        sender.send(an_event(i))
        sender.flush(0.02)
    assert sender.flush(10.0)  # the last acknowledgement takes as long as a commit
    stopping.join()
    assert codes == [0]
    assert sender.unacknowledged == 0
    assert [row.event().id for row in publisher.stored()] == [f"id-{i}" for i in range(60)]


def test_second_publisher_on_the_same_journal_is_refused(publisher: PublisherProcess, sockets: Sockets) -> None:
    _send(sockets, publisher, 1)
    first = publisher.process
    publisher.start()
    assert publisher.process is not None
    assert publisher.process.wait(60) == 69
    assert "in use" in publisher.log
    publisher.process = first
    _send(sockets, publisher, 1, worker="worker@1")


def test_port_in_use_is_said_in_plain_words(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    process = PublisherProcess(tmp_path / "a")
    with Sockets() as sockets:
        sockets.bind(zmq.XPUB, process.publish)
        process.start()
        assert process.process is not None
        assert process.process.wait(60) == 69
    assert f"{process.publish}: address in use" in process.log


def test_garbage_on_every_socket_changes_nothing(publisher: PublisherProcess, sockets: Sockets) -> None:
    _send(sockets, publisher, 5)
    garbage = [[b""], [b"\x00" * 9], [b"", b""], [b"{}"], [b'{"v":1,"kind":"EVENT"}', b"x"], [b"", b"[]"]]
    asking = sockets.connect(zmq.DEALER, publisher.replay)
    for kind, endpoint in ((zmq.DEALER, publisher.verdicts), (zmq.XSUB, publisher.publish)):
        socket = sockets.connect(kind, endpoint)
        for parts in garbage:
            socket.send_multipart(parts)
    for parts in garbage:
        asking.send_multipart(parts)
        reply = asking.recv_multipart() if asking.poll(5000) else []
        assert json.loads(reply[-1])["kind"] == "ERROR"
    _send(sockets, publisher, 5, worker="worker@1")
    assert len(publisher.stored()) == 10


def test_req_client_gets_its_answer(publisher: PublisherProcess, sockets: Sockets) -> None:
    _send(sockets, publisher, 5)
    asking = sockets.connect(zmq.REQ, publisher.replay)
    asking.send_json({"v": 1, "kind": "REPLAY", "since": 3, "limit": 10})
    header, *bodies = asking.recv_multipart()
    assert json.loads(header) == {"v": 1, "kind": "EVENTS", "count": 2, "upto": 5, "first_seq": 1, "last_seq": 5}
    assert [json.loads(body)["seq"] for body in bodies] == [4, 5]


def test_retention_prunes_at_the_start_and_numbers_go_on(tmp_path: Path) -> None:
    publisher = PublisherProcess(tmp_path, retention_days=1.0)
    with publisher, Sockets() as sockets:
        sender = VerdictSender(sockets, publisher.verdicts, worker="worker@0")
        for i in range(10):
            sender.send(an_event(i, wall_s=time.time() - (200_000 if i < 7 else 0)))
        assert sender.flush(10.0)
        publisher.kill()
        publisher.start()
        eventually(lambda: len(publisher.stored()) == 3)
        sender.send(an_event(10))
        assert sender.flush(10.0)
        with Subscription(publish=publisher.publish, replay=publisher.replay, since=2, timeout_s=10.0) as events:
            assert [event.seq for event in events] == [8, 9, 10, 11]
            assert events.missed == 5


_SILENT = """
import sys, threading
from streamd.client import Subscription
publish, replay, last = sys.argv[1], sys.argv[2], int(sys.argv[3])
with Subscription(publish=publish, replay=replay, since=0, timeout_s=20.0) as events:
    print(events.next(20.0).seq, flush=True)
    sys.stdin.readline()  # reads nothing until it is told to
    seqs = [event.seq for _, event in zip(range(last - 1), events)]
print(seqs == list(range(2, last + 1)))
"""


def test_a_subscriber_that_read_nothing_for_longer_than_heartbeats_take_goes_on(
    publisher: PublisherProcess, sockets: Sockets
) -> None:
    """Its queue is full, and its connection is given up meanwhile; libzmq must not end its process for that."""
    sender = _send(sockets, publisher, 1)
    command = [sys.executable, "-c", _SILENT, publisher.publish, publisher.replay, "25001"]
    silent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert silent.stdout is not None
    assert silent.stdin is not None
    try:
        assert silent.stdout.readline() == "1\n"
        for number in range(25_000):
            sender.send(an_event(number + 1))
            if number % 100 == 0:
                assert sender.flush(20.0)
        assert sender.flush(20.0)
        threading.Event().wait(2 * (HEARTBEAT_MS + HEARTBEAT_TIMEOUT_MS) / 1000)  # nothing shows when it has passed
        silent.stdin.write("go\n")
        silent.stdin.flush()
        assert silent.stdout.readline() == "True\n"
        assert silent.wait(10) == 0
    finally:
        silent.kill()
        silent.wait()
        silent.stdout.close()
        silent.stdin.close()
