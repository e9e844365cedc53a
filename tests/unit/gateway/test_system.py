"""The daemon's figures, as pages show them."""

from __future__ import annotations

from streamd.exposition import render
from streamd.gateway.api.system import _figures
from streamd.metrics import Metrics
from streamd.scrape import Scrape


def scraped(**snapshots: Metrics) -> Scrape:
    return Scrape.parse(render({name: metrics.snapshot() for name, metrics in snapshots.items()}).decode())


def test_what_the_state_directory_holds_is_what_the_metrics_say() -> None:
    publisher = Metrics()
    publisher.disk_free.set(7e9)
    for part, size in (("journal", 1000), ("snapshots", 2000)):
        publisher.state_bytes.labels(part=part).set(size)
    figures = _figures(scraped(publisher=publisher, worker=Metrics()))
    assert (figures.disk_free_bytes, figures.state_bytes) == (7_000_000_000, 3000)


def test_before_the_disk_was_measured_nothing_is_said_of_it() -> None:
    figures = _figures(scraped(worker=Metrics()))
    assert (figures.disk_free_bytes, figures.state_bytes) == (None, None)
