from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from publisherprocess import an_event, eventually

from streamd.inbox import VerdictReceiver
from streamd.journal import Entry, Journal
from streamd.sockets import Socket, Sockets
from streamd.verdicts import VerdictSender
from streamd.wire import encode

ANY = st.one_of(
    st.binary(max_size=60),
    st.builds(
        encode,
        st.sampled_from(["EVENT", "HELLO", "ACK", "STATE", "x"]),
        worker=st.one_of(st.text(max_size=5), st.integers(), st.none()),
        epoch=st.one_of(st.text(max_size=5), st.none()),
        n=st.one_of(st.integers(), st.text(max_size=2), st.booleans()),
        base=st.integers(),
        committed=st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False)),
        received=st.integers(),
    ),
    st.just(an_event(1).to_json()),
)
MESSAGES = st.lists(st.lists(ANY, min_size=1, max_size=4), max_size=8)
RELAXED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[tuple[Socket, VerdictReceiver, Journal]]:
    with Sockets() as sockets, Journal(tmp_path / "journal.sqlite") as journal:
        endpoint = f"ipc://{tmp_path}/verdicts.sock"
        inbox = VerdictReceiver(sockets, endpoint, committed=journal.last_n)
        yield sockets.connect(zmq.DEALER, endpoint), inbox, journal


@RELAXED
@given(MESSAGES)
def test_receiver_survives_any_bytes(
    ends: tuple[Socket, VerdictReceiver, Journal], messages: list[list[bytes]]
) -> None:
    raw, inbox, journal = ends
    probe = f"probe-{time.monotonic_ns()}"
    for parts in messages:
        raw.send_multipart(parts)
    raw.send_multipart([encode("EVENT", worker=probe, epoch="e", n=1, base=0), an_event(1).to_json()])
    found: list[Entry] = []

    def took() -> bool:
        entries = inbox.receive(100)
        journal.append(entries)
        found.extend(entries)
        inbox.acknowledge()
        return any(entry.worker == probe for entry in found)

    eventually(took)
    while raw.poll(0):
        raw.recv_multipart()


@RELAXED
@given(MESSAGES)
def test_sender_survives_any_bytes_and_forgets_nothing(
    tmp_path_factory: pytest.TempPathFactory, messages: list[list[bytes]]
) -> None:
    endpoint = f"ipc://{tmp_path_factory.mktemp('s')}/v.sock"
    with Sockets() as sockets:
        router = sockets.bind(zmq.ROUTER, endpoint)
        sender = VerdictSender(sockets, endpoint, worker="w")
        sender.send(an_event(1))
        identity = router.recv_multipart()[0]
        for parts in messages:
            router.send_multipart([identity, *parts])
        router.send_multipart([identity, encode("STATE", epoch=sender.epoch, committed=0, received=0)])
        again: list[list[bytes]] = []

        def sent_again() -> bool:
            sender.pump(0.0)
            if router.poll(0):
                again.append(router.recv_multipart())
            return bool(again)

        eventually(sent_again)
        assert sender.unacknowledged == 1


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 30), st.integers(), st.integers(), st.sampled_from(["ACK", "STATE"]))
def test_no_acknowledgement_can_forget_what_was_not_sent(sent: int, committed: int, received: int, kind: str) -> None:
    with Sockets() as sockets:
        router = sockets.bind(zmq.ROUTER, "inproc://verdicts")
        sender = VerdictSender(sockets, "inproc://verdicts", worker="w", window=5)
        for n in range(sent):
            sender.send(an_event(n))
        identity = router.recv_multipart()[0]
        state = encode(kind, epoch=sender.epoch, committed=committed, received=received)
        router.send_multipart([identity, state])
        sender.pump(0.0)
        assert sender.unacknowledged == sent - (committed if 0 <= committed <= min(sent, 5) else 0)
