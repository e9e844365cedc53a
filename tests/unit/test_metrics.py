from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from streamd.exposition import MALFORMED, render
from streamd.metrics import PREFIX, SUFFIXES, TABLE, Metrics

REPOSITORY = Path(__file__).parents[2]


def page(**snapshots: Metrics | bytes) -> str:
    return render({k: v if isinstance(v, bytes) else v.snapshot() for k, v in snapshots.items()}).decode()


def test_a_counter_reaches_the_page_with_its_process() -> None:
    metrics = Metrics()
    metrics.frames.labels("door", "looked_at").inc(1 / 3)
    line = 'streamd_frames_total{process="worker",camera="door",outcome="looked_at"} 0.3333333333333333'
    assert line in page(worker=metrics).splitlines()


def test_a_histogram_keeps_its_buckets_sum_and_count() -> None:
    metrics = Metrics()
    for age_s in (0.0005, 0.1, 99.0):
        metrics.frame_age.labels(camera="door").observe(age_s)
    samples = {
        (sample.name, sample.labels.get("le")): sample.value
        for family in text_string_to_metric_families(page(w=metrics))
        for sample in family.samples
        if family.name == "streamd_frame_age_seconds"
    }
    assert samples["streamd_frame_age_seconds_bucket", "0.001"] == 1
    assert samples["streamd_frame_age_seconds_bucket", "0.1"] == 2
    assert samples["streamd_frame_age_seconds_bucket", "5.0"] == 2
    assert samples["streamd_frame_age_seconds_bucket", "+Inf"] == 3
    assert samples["streamd_frame_age_seconds_count", None] == 3
    assert samples["streamd_frame_age_seconds_sum", None] == 0.0005 + 0.1 + 99.0


def test_a_gauge_that_is_another_process_affair_is_not_told() -> None:
    publisher, worker = Metrics(), Metrics()
    publisher.journal_seq.set(0)
    text = page(publisher=publisher, worker=worker)
    assert 'streamd_journal_seq{process="publisher"} 0.0' in text
    assert 'streamd_journal_seq{process="worker"}' not in text
    assert "streamd_gallery_server_up" not in text


def test_help_and_type_stand_once_for_all_processes() -> None:
    a, b = Metrics(), Metrics()
    a.tracks.labels("door").set(1)
    b.tracks.labels("yard").set(2)
    lines = page(a=a, b=b).splitlines()
    assert lines.count("# TYPE streamd_tracks gauge") == 1
    start = lines.index("# TYPE streamd_tracks gauge")
    assert lines[start + 1 : start + 3] == [
        'streamd_tracks{process="a",camera="door"} 1.0',
        'streamd_tracks{process="b",camera="yard"} 2.0',
    ]


def test_a_malformed_snapshot_is_left_out_and_shown() -> None:
    metrics = Metrics()
    metrics.journal_seq.set(7)
    text = page(good=metrics, bad=b'{"v":1,"families":{"streamd_journal_seq":[["",[],"8"]]}}')
    assert 'streamd_journal_seq{process="good"} 7.0' in text
    assert 'streamd_journal_seq{process="bad"}' not in text
    assert f'{MALFORMED}{{process="bad"}} 1.0' in text
    assert f'{MALFORMED}{{process="good"}} 0.0' in text


def test_a_snapshot_of_another_version_is_malformed() -> None:
    assert f'{MALFORMED}{{process="x"}} 1.0' in page(x=b'{"v":2,"families":{}}')


def test_two_processes_metrics_are_apart() -> None:
    one, other = Metrics(), Metrics()
    one.journal_errors.inc()
    assert next(iter(other.journal_errors.collect())).samples[0].value == 0


def test_a_camera_can_be_forgotten() -> None:
    metrics = Metrics()
    for camera in ("door", "yard"):
        metrics.frames.labels(camera, "looked_at").inc()
        metrics.frame_age.labels(camera).observe(0.1)
    metrics.forget("camera", "door")
    text = page(w=metrics)
    assert "door" not in text
    assert 'streamd_frame_age_seconds_count{process="w",camera="yard"} 1.0' in text


def test_the_process_counts_its_own_cpu_and_memory() -> None:
    metrics = Metrics()
    metrics.snapshot()
    until_s = time.process_time() + 0.02
    while time.process_time() < until_s:
        pass
    values = {
        sample.name: sample.value
        for family in text_string_to_metric_families(page(w=metrics))
        for sample in family.samples
    }
    assert 0.02 < values["streamd_process_cpu_seconds_total"] <= time.process_time()
    assert values["streamd_process_resident_bytes"] > 5e6
    assert values["streamd_process_open_files"] >= 3


def test_every_metric_is_in_base_units_with_bounded_labels() -> None:
    allowed = {
        "camera",
        "codec",
        "stage",
        "reason",
        "model",
        "process",
        "child",
        "transport",
        "outcome",
        "result",
        "provider",
    }
    # Networks get few shapes: the sizes of views, times the batches of fixed sizes.
    allowed |= {"shape", "part", "version", "task"}
    for spec in TABLE.values():
        assert spec.name.startswith(PREFIX)
        assert spec.name.endswith("_total") == (spec.kind == "counter"), spec.name
        assert set(spec.labels) <= allowed | {"type", "sink"}, spec.name


def test_the_documentation_lists_exactly_the_metrics_there_are() -> None:
    text = (REPOSITORY / "docs" / "metrics.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \| ([^|]*) \|$", text, re.MULTILINE)
    expected = [
        (spec.name, spec.kind, ", ".join(f"`{label}`" for label in spec.labels) or "-", spec.help)
        for spec in TABLE.values()
    ]
    assert [tuple(cell.strip() for cell in row) for row in rows] == expected


def test_there_is_no_metric_that_nobody_counts() -> None:
    sources = "".join(path.read_text() for path in (REPOSITORY / "streamd").rglob("*.py"))
    assert {name for name in TABLE if f".{name}." not in sources} == set()


def test_the_module_does_not_load_numpy() -> None:
    code = "import sys, streamd.metrics, streamd.exposition; print('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_a_snapshot_holds_what_the_library_collects() -> None:
    metrics = Metrics()
    metrics.frames.labels("door", "looked_at").inc(3)
    metrics.tracks.labels("door").set(2)
    metrics.journal_seq.set(7)
    for seconds in (0.002, 0.3, 100.0):
        metrics.stage.labels("detect").observe(seconds)
    families = json.loads(metrics.snapshot())["families"]
    for spec in TABLE.values():
        collected = {
            (sample.name.removeprefix(spec.name), tuple(sample.labels[k] for k in sample.labels), sample.value)
            for family in metrics.registry.collect()
            for sample in family.samples
            if sample.name.removeprefix(spec.name) in SUFFIXES[spec.kind] and sample.name.startswith(spec.name)
            if sample.value == sample.value
        }
        told = {(suffix, tuple(labels), value) for suffix, labels, value in families.get(spec.name, [])}
        assert told == collected, spec.name
