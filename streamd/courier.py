"""The process that delivers events to the configured sinks, each in a thread and at a pace of its own.

It reads the journal by itself; the publisher is heard only to know when to look. So whatever a sink does, hang, leak or
crash, it cannot reach the process that keeps the events.
"""

from __future__ import annotations

import logging

import zmq

from streamd.child import ChildContext
from streamd.deliveries import Deliveries
from streamd.delivering import Delivery
from streamd.interfaces import Destination
from streamd.sinkconfig import CommandSink, FileSink, MqttSink, NatsSink, SinkConfig
from streamd.verdicts import waiting_messages

logger = logging.getLogger(__name__)

POLL_S = 0.2
STOP_WITHIN_S = 5.0


def serve(context: ChildContext) -> int:
    """Deliver until told to drain.

    Raises:
        UnavailableError: the file that says how far each sink is cannot be used.
    """
    config = context.config
    with Deliveries(config.deliveries_file):
        pass  # says what is wrong with it
    deliveries = [
        Delivery(
            name,
            sink,
            make=lambda sink=sink: destination_of(sink, cameras=tuple(config.cameras)),  # type: ignore[misc]  # a default binds
            journal=config.journal_file,
            deliveries=config.deliveries_file,
            metrics=context.metrics,
        )
        for name, sink in config.sinks.items()
    ]
    news = context.sockets.connect(zmq.SUB, config.events.publish, heartbeats=False)
    news.set(zmq.SUBSCRIBE, b"event.")
    poller = zmq.Poller()
    poller.register(news, zmq.POLLIN)
    context.register(poller)
    for delivery in deliveries:
        delivery.start()
    context.link.ready()
    while not context.draining:
        poller.poll(int(POLL_S * 1000))
        context.turn()
        if waiting_messages(news, 1000):
            for delivery in deliveries:
                delivery.wake()
    _stop(context, deliveries)
    return 0


def _stop(context: ChildContext, deliveries: list[Delivery]) -> None:
    for delivery in deliveries:
        delivery.stop()
    context.turn()
    for delivery in deliveries:
        if not delivery.join(STOP_WITHIN_S / len(deliveries)):
            logger.warning("sink %s hangs, and is left", delivery.name)


def destination_of(sink: SinkConfig, *, cameras: tuple[str, ...] = ()) -> Destination:
    """The destination of a section, not yet opened. Raises UnavailableError where its extra is not installed."""
    if isinstance(sink, MqttSink):
        from streamd.sinks.mqtt import MqttDestination

        return MqttDestination(sink, cameras=cameras)
    if isinstance(sink, NatsSink):
        from streamd.sinks.nats import NatsDestination

        return NatsDestination(sink)
    if isinstance(sink, FileSink):
        from streamd.sinks.jsonlines import FileDestination

        return FileDestination(sink)
    if isinstance(sink, CommandSink):
        from streamd.sinks.command import CommandDestination

        return CommandDestination(sink)
    from streamd.sinks.webhook import WebhookDestination

    return WebhookDestination(sink)
