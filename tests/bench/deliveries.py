"""How fast sinks deliver: ``python tests/bench/deliveries.py [EVENTS]`` (with ``PYTHONPATH=tests``).

Each sink of the daemon's courier reads the same journal from its start, one after the other, into a real server on this
machine; then events are written one by one, and the time from the journal's commit to the arrival is taken.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles

from brokers import Mosquitto, MqttListener, NatsServer, Receiver
from publisherprocess import an_event, eventually

from streamd.courier import destination_of
from streamd.deliveries import Deliveries
from streamd.delivering import Delivery
from streamd.journal import Entry, Journal
from streamd.metrics import Metrics
from streamd.sinkconfig import FileSink, MqttSink, NatsSink, SinkConfig, WebhookSink

SINGLE = 100


def measure(folder: Path, count: int, name: str, sink: SinkConfig, arrived: Callable[[], int]) -> dict[str, object]:
    journal = Journal(folder / f"{name}.sqlite")
    for first in range(0, count, 500):
        journal.append([Entry("w", "e", n + 1, an_event(n)) for n in range(first, min(first + 500, count))])
    places = folder / "deliveries.sqlite"
    with Deliveries(places) as deliveries:
        deliveries.move(name, 0)
        delivery = Delivery(
            name,
            sink,
            make=lambda: destination_of(sink),
            journal=journal.path,
            deliveries=places,
            metrics=Metrics(),
        )
        started_s = time.monotonic()
        delivery.start()
        eventually(lambda: (deliveries.place(name) or 0) >= count, timeout_s=300)
        took_s = time.monotonic() - started_s
        waits = []
        for n in range(SINGLE):
            seen = arrived()
            journal.append([Entry("w", "e", count + n + 1, an_event(count + n))])
            committed_s = time.monotonic()
            delivery.wake()
            while arrived() == seen:
                threading.Event().wait(0.0005)
            waits.append(time.monotonic() - committed_s)
        delivery.stop()
        delivery.join(5)
    journal.close()
    cuts = quantiles(waits, n=100)
    return {
        "sink": name,
        "events_per_second": round(count / took_s),
        "latency_p50_ms": round(1000 * cuts[49], 1),
        "latency_p95_ms": round(1000 * cuts[94], 1),
    }


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        receiver, out = Receiver(), folder / "events.jsonl"
        with Mosquitto(folder / "mqtt") as broker, NatsServer(folder / "nats") as nats:
            bus = Watch(nats.port)
            listener = MqttListener(broker.port, "streamd/events/#")
            sinks: dict[str, tuple[SinkConfig, Callable[[], int]]] = {
                "file": (
                    FileSink(kind="file", path=out, max_mb=1000),
                    lambda: out.stat().st_size if out.exists() else 0,
                ),
                "webhook": (WebhookSink(kind="webhook", url=receiver.url), lambda: len(receiver.requests)),
                "mqtt": (MqttSink(kind="mqtt", url=f"mqtt://127.0.0.1:{broker.port}"), lambda: len(listener.heard)),
                "nats": (NatsSink(kind="nats", url=f"nats://127.0.0.1:{nats.port}"), lambda: bus.count),
            }
            for name, (sink, arrived) in sinks.items():
                print(json.dumps(measure(folder, count, name, sink, arrived)), flush=True)
            listener.close()
        receiver.stop()


class Watch:
    """Counts messages on a NATS server."""

    def __init__(self, port: int) -> None:
        self.count = 0
        ready = threading.Event()

        def run() -> None:
            import asyncio

            import nats

            async def listen() -> None:
                client = await nats.connect(f"nats://127.0.0.1:{port}")

                async def heard(message: object) -> None:
                    self.count += 1

                await client.subscribe("streamd.events.>", cb=heard)
                ready.set()
                await asyncio.Event().wait()

            asyncio.run(listen())

        threading.Thread(target=run, daemon=True).start()
        assert ready.wait(10)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
