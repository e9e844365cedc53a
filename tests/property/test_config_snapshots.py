"""Metrics survive the way from a process to Prometheus; whatever else arrives does not spoil the page."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from streamd.exposition import render
from streamd.metrics import TABLE, Metrics

NAMES = st.sampled_from([spec.name for spec in TABLE.values()] + ["streamd_other", ""])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["", "_bucket"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["", "_bucket", "_count", "_sum", "_x"]),
        st.lists(st.text(max_size=4) | st.none(), max_size=3),
        st.floats() | st.integers() | st.none(),
    )
    | JSON,
    max_size=4,
)
SNAPSHOTS = st.builds(lambda families: {"v": 1, "families": families}, st.dictionaries(NAMES, ROWS | JSON, max_size=4))


def parsed(page: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample of the page by name and labels; fails where Prometheus would refuse the page."""
    found = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, key
            found[key] = sample.value
    return found


@given(st.dictionaries(st.sampled_from(["worker@0", "a"]), st.binary(max_size=100)))
def test_any_bytes_leave_a_page_that_parses(snapshots: dict[str, bytes]) -> None:
    assert parsed(render(snapshots)) or not snapshots


@given(SNAPSHOTS)
def test_any_snapshot_leaves_a_page_that_parses(snapshot: dict[str, object]) -> None:
    good = Metrics().snapshot()
    samples = parsed(render({"bad": json.dumps(snapshot).encode(), "good": good}))
    assert samples["streamd_snapshot_malformed", (("process", "good"),)] == 0


@given(st.text(st.characters(exclude_categories=["Cs"])), st.floats(allow_nan=False, min_value=0))
def test_labels_and_values_survive_exactly(camera: str, value: float) -> None:
    metrics = Metrics()
    metrics.tracks.labels(camera).set(value)
    metrics.frames.labels(camera, "looked_at").inc(value)
    samples = parsed(render({"w": metrics.snapshot()}))
    assert samples["streamd_tracks", (("camera", camera), ("process", "w"))] == value
    assert samples["streamd_frames_total", (("camera", camera), ("outcome", "looked_at"), ("process", "w"))] == value
