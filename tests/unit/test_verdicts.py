from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from publisherprocess import an_event, eventually

from streamd.errors import JournalError
from streamd.events import EventType
from streamd.inbox import VerdictReceiver
from streamd.journal import Entry, Journal
from streamd.sockets import Sockets
from streamd.verdicts import HELLO_AFTER_S, VerdictSender
from streamd.wire import decode, encode


class Publisher:
    """A receiver with a journal that may be closed (killed) and opened again at the same endpoint."""

    def __init__(self, endpoint: str, journal: Path) -> None:
        self.sockets = Sockets()
        self.journal = Journal(journal)
        self.inbox = VerdictReceiver(self.sockets, endpoint, committed=self.journal.last_n)

    def take(self) -> list[Entry]:
        found = self.inbox.receive(100)
        self.journal.append(found)
        return found

    def step(self) -> None:
        self.take()
        self.inbox.acknowledge()

    def ids(self) -> list[str]:
        return [row.event().id for row in self.journal.since(0, 100_000)]

    def kill(self) -> None:
        self.sockets.close()
        self.journal.close()


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    with Sockets() as made:
        yield made


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/verdicts.sock"


@pytest.fixture
def publisher(endpoint: str, tmp_path: Path) -> Iterator[Publisher]:
    made = Publisher(endpoint, tmp_path / "journal.sqlite")
    yield made
    made.kill()


def ids(first: int, last: int) -> list[str]:
    return [f"id-{n}" for n in range(first, last + 1)]


def settled(sender: VerdictSender, publisher: Publisher, *, hurry_s: float = 0.0) -> None:
    """Work both ends until the sender has nothing left; ``hurry_s`` puts its clock forward with each pass."""
    clock_s = time.monotonic()

    def turn() -> bool:
        nonlocal clock_s
        clock_s += hurry_s + 0.02
        publisher.step()
        sender.pump(clock_s)
        return not sender.unacknowledged

    eventually(turn)


def test_events_arrive_in_order_and_are_acknowledged(sockets: Sockets, endpoint: str, publisher: Publisher) -> None:
    sender = VerdictSender(sockets, endpoint, worker="w")
    for n in range(1, 1001):
        sender.send(an_event(n))
    settled(sender, publisher)
    assert publisher.ids() == ids(1, 1000)


def test_nothing_is_acknowledged_before_the_commit(sockets: Sockets, endpoint: str, publisher: Publisher) -> None:
    sender = VerdictSender(sockets, endpoint, worker="w")
    sender.send(an_event(1))
    eventually(lambda: bool(publisher.take()))
    assert not sender.flush(0.1)
    publisher.inbox.acknowledge()
    assert sender.flush(5.0)


def test_restarted_publisher_gets_what_the_killed_one_had_not_committed(
    sockets: Sockets, endpoint: str, tmp_path: Path
) -> None:
    journal = tmp_path / "journal.sqlite"
    sender = VerdictSender(sockets, endpoint, worker="w")
    sent = 0
    for taken_before_death in (0, 1, 3):
        publisher = Publisher(endpoint, journal)
        for _ in range(120):
            sent += 1
            sender.send(an_event(sent))
            sender.pump(time.monotonic())
        for _ in range(taken_before_death):
            eventually(lambda publisher=publisher: sender.pump(time.monotonic()) or bool(publisher.take()))  # type: ignore[misc,func-returns-value]  # a default binds
        publisher.inbox.receive(50)  # read, never committed: gone with the process
        publisher.kill()
    publisher = Publisher(endpoint, journal)
    settled(sender, publisher, hurry_s=0.1)
    assert publisher.ids() == ids(1, sent)
    publisher.kill()


def test_lost_acknowledgement_repeats_nothing(sockets: Sockets, endpoint: str, tmp_path: Path) -> None:
    journal = tmp_path / "journal.sqlite"
    publisher = Publisher(endpoint, journal)
    sender = VerdictSender(sockets, endpoint, worker="w")
    for n in range(1, 11):
        sender.send(an_event(n))
    eventually(lambda: bool(publisher.take()) or publisher.journal.last_seq == 10)
    publisher.kill()  # committed, not acknowledged
    publisher = Publisher(endpoint, journal)
    settled(sender, publisher, hurry_s=0.1)
    assert publisher.ids() == ids(1, 10)
    publisher.kill()


def test_messages_lost_on_the_way_are_asked_for_at_once(sockets: Sockets, endpoint: str) -> None:
    with Sockets() as other:
        inbox = VerdictReceiver(other, endpoint, committed=lambda worker, epoch: 0)
        raw = sockets.connect(zmq.DEALER, endpoint, identity=b"w")
        for n in (1, 2, 5, 6):
            header = encode("EVENT", worker="w", epoch="e", n=n, base=0)
            raw.send_multipart([header, an_event(n).to_json()])
        found: list[Entry] = []

        def told() -> bool:
            found.extend(inbox.receive(10))
            return bool(raw.poll(10))

        eventually(told)
        assert [entry.n for entry in found] == [1, 2]
        state = decode(raw.recv())
        assert (state.kind, state.integer("received"), state.integer("committed")) == ("STATE", 2, 0)
        assert not raw.poll(50), "one gap is told once"


def test_failed_look_up_forgets_what_was_taken_with_it(sockets: Sockets, endpoint: str) -> None:
    broken = [False]

    def committed(worker: str, epoch: str) -> int:
        if broken[0] and worker == "b":
            raise JournalError("the disk is gone")
        return 0

    with Sockets() as other:
        inbox = VerdictReceiver(other, endpoint, committed=committed)
        senders = {name: VerdictSender(sockets, endpoint, worker=name) for name in "ab"}
        broken[0] = True
        senders["a"].send(an_event(1))
        eventually(lambda: bool(inbox.socket.poll(10)))
        senders["b"].send(an_event(2))
        seen: list[Entry] = []

        def failed() -> bool:
            try:
                seen.extend(inbox.receive(10))
            except JournalError:
                return True
            return False

        eventually(failed)
        inbox.acknowledge()
        assert not senders["a"].flush(0.1)
        broken[0] = False
        clock_s = time.monotonic()

        def all_in() -> bool:
            nonlocal clock_s
            clock_s += 0.1
            for sender in senders.values():
                sender.pump(clock_s)
            seen.extend(inbox.receive(10))
            return {entry.event.id for entry in seen} == {"id-1", "id-2"}

        eventually(all_in)


def test_hello_is_said_once_a_second_while_nothing_is_heard(sockets: Sockets, endpoint: str) -> None:
    with Sockets() as other:
        router = other.bind(zmq.ROUTER, endpoint)
        sender = VerdictSender(sockets, endpoint, worker="w")
        sender.pump(100.0)
        sender.send(an_event(1))
        for now_s in (100.5, 100.9, 100.0 + HELLO_AFTER_S, 101.5, 102.1):
            sender.pump(now_s)
        kinds = [decode(router.recv_multipart()[1]).kind for _ in range(3)]
        assert kinds == ["EVENT", "HELLO", "HELLO"]
        assert not router.poll(50)


def test_full_sender_drops_those_that_name_nobody_first(sockets: Sockets, endpoint: str, tmp_path: Path) -> None:
    sender = VerdictSender(sockets, endpoint, worker="w", bound=6, window=2)
    minor, major = EventType.FACE_APPEARED, EventType.FACE_IDENTIFIED
    for n, kind in enumerate([major, major, minor, major, minor, major, minor, major, major, major], start=1):
        sender.send(an_event(n, kind=kind))
    assert sender.dropped == 4
    assert sender.unacknowledged == 6
    publisher = Publisher(endpoint, tmp_path / "journal.sqlite")
    settled(sender, publisher, hurry_s=0.1)
    assert publisher.ids() == [f"id-{n}" for n in (1, 2, 6, 8, 9, 10)]
    publisher.kill()


def test_a_journal_that_was_replaced_takes_up_the_run_where_it_is(
    sockets: Sockets, endpoint: str, tmp_path: Path
) -> None:
    publisher = Publisher(endpoint, tmp_path / "old.sqlite")
    sender = VerdictSender(sockets, endpoint, worker="w")
    for n in range(1, 6):
        sender.send(an_event(n))
    settled(sender, publisher)
    publisher.kill()
    sender.send(an_event(6))
    publisher = Publisher(endpoint, tmp_path / "new.sqlite")
    settled(sender, publisher, hurry_s=0.1)
    assert publisher.ids() == ["id-6"]
    publisher.kill()


def test_restarted_sender_begins_a_new_run(sockets: Sockets, endpoint: str, publisher: Publisher) -> None:
    for n in (1, 2):
        with Sockets() as own:
            sender = VerdictSender(own, endpoint, worker="w")
            sender.send(an_event(n))
            settled(sender, publisher)
    assert publisher.ids() == ids(1, 2)


def test_an_event_that_cannot_be_stored_does_not_stop_those_behind_it(
    sockets: Sockets, endpoint: str, publisher: Publisher
) -> None:
    raw = sockets.connect(zmq.DEALER, endpoint, identity=b"w")
    poison = [
        b"{}",
        b"\xff",
        an_event(3).to_json().replace(b"412", b'"x"'),
        an_event(4).to_json().replace(b"0.61", b"NaN"),
    ]
    poison.append(an_event(5).to_json().replace(b'"door"', b'"\\ud800"'))
    for n, body in enumerate([*poison, an_event(6).to_json()], start=1):
        raw.send_multipart([encode("EVENT", worker="w", epoch="e", n=n, base=0), body])
    eventually(lambda: bool(publisher.take()))
    publisher.inbox.acknowledge()
    assert publisher.ids() == ["id-6"]
    assert publisher.inbox.refused == 5
    assert decode(raw.recv()).integer("committed") == 6


def test_pump_and_send_do_not_wait_for_a_publisher_that_is_away(sockets: Sockets, endpoint: str) -> None:
    sender = VerdictSender(sockets, endpoint, worker="w")
    started_s = time.monotonic()
    for n in range(2000):
        sender.send(an_event(n))
        sender.pump(n / 10)
    assert time.monotonic() - started_s < 5.0
    assert sender.unacknowledged == 2000


def test_what_is_settled_is_counted_from_the_first_event(sockets: Sockets, endpoint: str, publisher: Publisher) -> None:
    sender = VerdictSender(sockets, endpoint, worker="w", bound=4, window=2)
    assert (sender.taken, sender.settled) == (0, 0)
    for n in range(1, 4):
        sender.send(an_event(n))
    eventually(lambda: bool(publisher.take()))
    sender.pump(time.monotonic())
    assert (sender.taken, sender.settled) == (3, 0), "committed, and not acknowledged"
    settled(sender, publisher)
    assert (sender.taken, sender.settled) == (3, 3)
    publisher.kill()
    for n in range(4, 10):
        sender.send(an_event(n))
    assert (sender.taken, sender.settled, sender.dropped) == (9, 3, 2)
