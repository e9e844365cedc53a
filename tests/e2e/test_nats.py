"""The NATS sink against a real nats-server."""

from __future__ import annotations

import gc
import signal
from pathlib import Path

import pytest
from brokers import NatsServer
from publisherprocess import an_event

import streamd.sinks.nats
from streamd.errors import SinkAway
from streamd.interfaces import Parcel
from streamd.sinkconfig import NatsSink
from streamd.sinks.nats import NatsDestination

pytestmark = pytest.mark.e2e


# What could not be sent is thrown away with the connection's object.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.timeout(60)
def test_a_server_that_takes_nothing_any_more_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where its machine is suspended: the connection stays, and what is sent stays here."""
    events = [an_event(n, message="x" * 60_000).numbered(n) for n in range(1, 400)]
    with NatsServer(tmp_path / "nats") as server:
        made = NatsDestination(NatsSink(kind="nats", url=f"nats://127.0.0.1:{server.port}"))
        made.open()
        assert made.deliver([Parcel(events[0], events[0].to_json())]) == 1
        monkeypatch.setattr(streamd.sinks.nats, "_TIMEOUT_S", 0.5)
        server.process.send_signal(signal.SIGSTOP)
        with pytest.raises(SinkAway, match="did not answer in time"):
            made.deliver([Parcel(event, event.to_json()) for event in events])
        made.close()
        server.process.send_signal(signal.SIGCONT)
    del made
    gc.collect()
