"""Sinks over TLS: with the certificate that vouches for the server, and without it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from brokers import Certificate, Mosquitto, NatsServer, Receiver
from publisherprocess import an_event

from streamd.courier import destination_of
from streamd.errors import SinkAway
from streamd.interfaces import Parcel
from streamd.sinkconfig import MqttSink, NatsSink, SinkConfig, WebhookSink

pytestmark = pytest.mark.e2e

MakeSink = Callable[[Path | None], SinkConfig]


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return Certificate.made(tmp_path)


@pytest.fixture(params=["mqtt", "nats", "webhook"])
def make(request: pytest.FixtureRequest, tmp_path: Path, certificate: Certificate) -> Iterator[MakeSink]:
    """A running server's sink, given the certificates to be trusted."""
    with ExitStack() as stack:
        if request.param == "mqtt":
            broker = stack.enter_context(Mosquitto(tmp_path / "mqtt", tls=certificate))
            yield lambda ca: MqttSink(kind="mqtt", url=f"mqtts://127.0.0.1:{broker.port}", ca_file=ca)
        elif request.param == "nats":
            server = stack.enter_context(NatsServer(tmp_path / "nats", tls=certificate))
            yield lambda ca: NatsSink(kind="nats", url=f"tls://127.0.0.1:{server.port}", ca_file=ca)
        else:
            receiver = Receiver(tls=certificate)
            stack.callback(receiver.stop)
            yield lambda ca: WebhookSink(kind="webhook", url=receiver.url, ca_file=ca)


def deliver(sink: SinkConfig) -> int:
    event = an_event(1).numbered(1)
    destination = destination_of(sink)
    try:
        destination.open()
        return destination.deliver([Parcel(event, event.to_json())])
    finally:
        destination.close()


def test_events_arrive_where_the_certificate_is_trusted(make: MakeSink, certificate: Certificate) -> None:
    assert deliver(make(certificate.certificate)) == 1


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_server_that_nobody_vouches_for_gets_nothing(make: MakeSink) -> None:
    with pytest.raises(SinkAway, match=r"(?i)certificate"):
        deliver(make(None))
    gc.collect()  # paho leaves the socket of a failed handshake to the collector


def test_certificates_that_cannot_be_read_are_told(make: MakeSink, tmp_path: Path) -> None:
    with pytest.raises(SinkAway, match=r"No such file"):
        deliver(make(tmp_path / "nowhere.pem"))
