"""Reads figures back from Prometheus text: sums of counters, and quantiles of histograms between two scrapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Scrape:
    """Every sample of one scrape."""

    samples: Mapping[str, Mapping[Labels, float]]

    @classmethod
    def parse(cls, text: str) -> Scrape:
        found: dict[str, dict[Labels, float]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
        return cls(found)

    def since(self, earlier: Scrape) -> Scrape:
        """What was added; a series that restarted counts from zero."""
        return Scrape(
            {
                name: {
                    labels: value - before
                    if (before := earlier.samples.get(name, {}).get(labels, 0.0)) <= value
                    else value
                    for labels, value in rows.items()
                }
                for name, rows in self.samples.items()
            }
        )

    def total(self, name: str, **labels: str) -> float:
        """The sum of all samples that carry these labels."""
        return sum(self._matching(name, labels).values())

    def by(self, name: str, label: str) -> dict[str, float]:
        """Sums by one label's value."""
        sums: dict[str, float] = {}
        for labels, value in self.samples.get(name, {}).items():
            key = dict(labels).get(label, "")
            sums[key] = sums.get(key, 0.0) + value
        return sums

    def quantiles(self, name: str, wanted: Sequence[float], **labels: str) -> list[float | None]:
        """Quantiles of a histogram, interpolated within a bucket as Prometheus does; None without samples."""
        cumulative = self._cumulative(name, labels)
        edges = sorted(cumulative)
        return [_quantile(edges, cumulative, q) for q in wanted]

    def highest_edge(self, name: str) -> float | None:
        """The least edge of a histogram that nothing was above; None without samples."""
        cumulative = self._cumulative(name, {})
        whole = max(cumulative.values(), default=0.0)
        return min((edge for edge, value in cumulative.items() if value >= whole), default=None) if whole else None

    def _cumulative(self, name: str, labels: Mapping[str, str]) -> dict[float, float]:
        """How many samples of a histogram are up to each edge."""
        found: dict[float, float] = {}
        for row, value in self._matching(f"{name}_bucket", labels).items():
            edge = float(dict(row)["le"])
            found[edge] = found.get(edge, 0.0) + value
        return found

    def _matching(self, name: str, labels: Mapping[str, str]) -> dict[Labels, float]:
        return {row: v for row, v in self.samples.get(name, {}).items() if set(labels.items()) <= row}


def _quantile(edges: Sequence[float], cumulative: Mapping[float, float], q: float) -> float | None:
    if not edges or cumulative[edges[-1]] <= 0:
        return None
    rank = q * cumulative[edges[-1]]
    lower, below = 0.0, 0.0
    for edge in edges:
        if cumulative[edge] >= rank:
            if edge == float("inf"):
                return lower
            inside = cumulative[edge] - below
            return lower + (edge - lower) * ((rank - below) / inside if inside else 1.0)
        lower, below = edge, cumulative[edge]
    return lower
