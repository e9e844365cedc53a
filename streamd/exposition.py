"""Snapshots of many processes as one page in Prometheus' text format, version 0.0.4."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from prometheus_client.utils import floatToGoString

from streamd.metrics import SNAPSHOT_VERSION, SUFFIXES, TABLE, MetricSpec

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MALFORMED = "streamd_snapshot_malformed"
MAX_SNAPSHOT_BYTES = 8 * 1024 * 1024

_SPECS = {spec.name: spec for spec in TABLE.values()}
_Row = tuple[str, tuple[str, ...], float]
_Families = dict[str, list[_Row]]


def render(snapshots: Mapping[str, bytes]) -> bytes:
    """The page: every sample with the label ``process``, families in the table's order.

    A snapshot that ``Metrics.snapshot`` cannot have made is left out as a whole and shows in
    ``streamd_snapshot_malformed``.
    """
    read = {process: _families(data) for process, data in snapshots.items()}
    lines: list[str] = []
    for name, spec in _SPECS.items():
        # Keyed by the series, because Prometheus refuses a page that holds one twice.
        samples = {
            _series(process, spec, row): floatToGoString(row[2])  # type: ignore[no-untyped-call]
            for process, families in read.items()
            for row in (families or {}).get(name, ())
        }
        if samples:
            lines += _header(name, spec.kind, spec.help)
            lines += (f"{series} {value}" for series, value in samples.items())
    lines += _header(MALFORMED, "gauge", "Whether the process's metrics could not be read (0 or 1).")
    lines += (f'{MALFORMED}{{process="{_escaped(p)}"}} {float(f is None)}' for p, f in read.items())
    return ("\n".join(lines) + "\n").encode(errors="replace")


def _header(name: str, kind: str, text: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"


def _series(process: str, spec: MetricSpec, row: _Row) -> str:
    suffix, values, _ = row
    labelled = zip(("process", *spec.labels, "le"), (process, *values), strict=False)
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in labelled)
    return f"{spec.name}{suffix}{{{pairs}}}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _families(data: bytes) -> _Families | None:
    """The snapshot's rows by family; None if it is not one."""
    if len(data) > MAX_SNAPSHOT_BYTES:
        return None
    try:
        body = json.loads(data)
        if body["v"] != SNAPSHOT_VERSION:
            return None
        # Families that this program does not know are a newer child's, during an upgrade.
        return {name: _rows(_SPECS[name], rows) for name, rows in body["families"].items() if name in _SPECS}
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def _rows(spec: MetricSpec, rows: Any) -> list[_Row]:
    return [_row(spec, suffix, labels, value) for suffix, labels, value in rows]


def _row(spec: MetricSpec, suffix: Any, labels: Any, value: Any) -> _Row:
    """Raises ValueError or TypeError on anything that would spoil the page for Prometheus."""
    if suffix not in SUFFIXES[spec.kind]:
        raise ValueError(suffix)
    if not isinstance(labels, list) or len(labels) != len(spec.labels) + (suffix == "_bucket"):
        raise ValueError(labels)
    for label in labels:
        label.encode()  # a lone surrogate raises ValueError, what is not text AttributeError
    if suffix == "_bucket":
        float(labels[-1])
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(value)
    return suffix, tuple(labels), float(value)
