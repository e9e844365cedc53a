import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from streamd.scrape import Scrape


def test_figures_are_differences_between_two_scrapes() -> None:
    registry = CollectorRegistry()
    looked = Counter("looked", "help", ["camera"], registry=registry)
    age = Histogram("age_seconds", "help", buckets=(0.1, 0.2, 0.4), registry=registry)
    looked.labels("a").inc(5)
    age.observe(0.39)
    before = Scrape.parse(generate_latest(registry).decode())
    looked.labels("a").inc(2)
    looked.labels("b").inc(3)
    for _ in range(10):
        age.observe(0.15)
    added = Scrape.parse(generate_latest(registry).decode()).since(before)
    assert added.total("looked_total") == 5
    assert added.total("looked_total", camera="b") == 3
    assert added.by("looked_total", "camera") == {"a": 2, "b": 3}
    assert added.quantiles("age_seconds", (0.5, 1.0)) == [pytest.approx(0.15), pytest.approx(0.2)]


def test_a_series_that_restarted_counts_from_zero() -> None:
    before = Scrape.parse("x 100\n")
    assert Scrape.parse("x 7\n").since(before).total("x") == 7


def test_a_histogram_without_samples_has_no_quantile() -> None:
    assert Scrape.parse("").quantiles("age_seconds", (0.5,)) == [None]


def test_the_highest_edge_is_above_every_sample() -> None:
    registry = CollectorRegistry()
    wait = Histogram("wait_seconds", "help", ["camera"], buckets=(0.1, 0.2, 0.4), registry=registry)
    assert Scrape.parse(generate_latest(registry).decode()).highest_edge("wait_seconds") is None
    wait.labels("a").observe(0.05)
    wait.labels("b").observe(0.15)
    assert Scrape.parse(generate_latest(registry).decode()).highest_edge("wait_seconds") == 0.2
