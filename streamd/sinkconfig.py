"""Where events are delivered to, besides ZeroMQ: one section per kind of sink."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from streamd.configtypes import CameraName, PositiveSeconds, Seconds, Section


class _Sink(Section):
    """What every sink has."""

    types: tuple[str, ...] = ()
    """Only events of these types, such as ``[face.identified, face.unknown]``; empty takes all."""
    cameras: tuple[CameraName, ...] = ()
    """Only events of these cameras, and of none; empty takes all."""
    cooldown_s: Seconds = 0.0
    """Somebody who was told of is not told of again, on that camera, for this long; the journal has it all the
    same."""
    retry_max_s: PositiveSeconds = 60.0
    """Longest pause between tries; the first is a second, and each is twice the one before."""


class _Remote(_Sink):
    """What every sink on another host has."""

    plain: bool = False
    """Whether events may go to another host unencrypted: names of people, readable by that network."""
    ca_file: Path | None = None
    """Certificates that its TLS certificate is checked against; empty takes the system's."""


class MqttSink(_Remote):
    """An MQTT broker, with states and, for Home Assistant, discovery."""

    kind: Literal["mqtt"]
    url: Annotated[str, Field(min_length=1)]
    """``mqtt://user:password@host:1883``, or ``mqtts://`` with TLS."""
    protocol: Literal["3.1.1", "5"] = "3.1.1"
    """Version of MQTT."""
    client_id: str | None = None
    """Unlike that of any other client; empty takes ``streamd-`` and the host's name."""
    prefix: Annotated[str, Field(pattern=r"^[^+#\s/][^+#\s]*$")] = "streamd"
    """First part of every topic."""
    discovery: str | None = "homeassistant"
    """Home Assistant's discovery prefix; empty announces nothing."""
    away_after_s: Seconds = 300.0
    """A person is away once no camera has seen them for this long."""


class NatsSink(_Remote):
    """A JetStream stream of a NATS server: the bus for many boxes."""

    kind: Literal["nats"]
    url: Annotated[str, Field(min_length=1)]
    """``nats://user:password@host:4222``, or ``tls://``."""
    credentials: Path | None = None
    """A ``.creds`` file."""
    box: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")] | None = None
    """What this box is called in subjects; empty takes the host's name."""
    subject: Annotated[str, Field(pattern=r"^[^*>\s.][^*>\s]*$")] = "streamd.events"
    """Subjects are ``<subject>.<box>.<camera>.<type>``."""
    stream: Annotated[str, Field(pattern=r"^[^*>\s./\\]+$")] = "STREAMD"
    """The stream that keeps them; it is made where there is none."""
    duplicates_s: PositiveSeconds = 3600.0
    """For how long a stream that is made here remembers what it has, so that nothing is in it twice."""


class WebhookSink(_Remote):
    """An HTTP server that gets each event as a POST."""

    kind: Literal["webhook"]
    url: Annotated[str, Field(min_length=1)]
    """``https://host/path``."""
    secret: str | None = None
    """Signs each request (HMAC-SHA256) in the header ``Streamd-Signature``."""
    headers: dict[str, str] = {}
    """Sent with each request, such as ``Authorization``."""
    timeout_s: PositiveSeconds = 10.0
    """How long an answer may take."""
    attempts: Annotated[int, Field(ge=1, le=1000)] = 10
    """After so many refusals (an answer other than 2xx) an event is put aside; a server that does not answer is tried
    for ever."""


class FileSink(_Sink):
    """A file with a line of JSON per event."""

    kind: Literal["file"]
    path: Path
    """Where; older files are called ``<path>.1``, ``<path>.2`` and so on."""
    max_mb: Annotated[float, Field(gt=0)] = 10.0
    """A file that reaches this size is put by, and a new one begun."""
    keep: Annotated[int, Field(ge=0, le=1000)] = 5
    """Older files kept."""


class CommandSink(_Sink):
    """A program that is run for each event, one at a time."""

    kind: Literal["command"]
    command: Annotated[tuple[str, ...], Field(min_length=1)]
    """Program and arguments; no shell. It gets the event's JSON on standard input, and ``STREAMD_TYPE``,
    ``STREAMD_CAMERA``, ``STREAMD_PERSON`` and ``STREAMD_SEQ`` in its environment."""
    timeout_s: PositiveSeconds = 30.0
    """A program that takes longer is killed, with what it started."""
    attempts: Annotated[int, Field(ge=1, le=1000)] = 3
    """After so many failures an event is put aside."""


SinkConfig = Annotated[MqttSink | NatsSink | WebhookSink | FileSink | CommandSink, Field(discriminator="kind")]
SINK_KINDS: dict[str, type[Section]] = {
    "mqtt": MqttSink,
    "nats": NatsSink,
    "webhook": WebhookSink,
    "file": FileSink,
    "command": CommandSink,
}
