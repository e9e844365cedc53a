"""Every metric of streamd, one line each, and how a process hands them on.

Each process counts for itself and sends a snapshot with every heartbeat; whoever answers ``/metrics`` renders
the latest snapshot of each (``streamd.exposition``). Labels are bounded: a person's name is never one.
"""

from __future__ import annotations

import json
import math
import os
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.utils import floatToGoString

PREFIX = "streamd_"
SNAPSHOT_VERSION = 1
_STATM = Path("/proc/self/statm")

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0)
IDENTITY_SECONDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
WAIT_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0, 30.0, 60.0)
SIMILARITIES = (0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8, 0.9)
MARGINS = (0.02, 0.05, 0.08, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 1.0)
PROBABILITIES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999)
BATCHES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)

SUFFIXES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
"""What follows a metric's name in its samples. ``_bucket`` samples have the further label ``le``."""


@dataclass(frozen=True, slots=True)
class MetricSpec:
    name: str
    kind: str
    help: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()

    def build(self, registry: CollectorRegistry) -> MetricWrapperBase:
        if self.kind == "counter":
            return Counter(self.name, self.help, self.labels, registry=registry)
        if self.kind == "gauge":
            return Gauge(self.name, self.help, self.labels, registry=registry)
        return Histogram(self.name, self.help, self.labels, registry=registry, buckets=self.buckets)


# The class attributes below are specifications; each Metrics() replaces them by metrics of the declared type.
def _counter(name: str, help: str, *labels: str) -> Counter:
    return cast(Counter, MetricSpec(PREFIX + name, "counter", help, labels))


def _gauge(name: str, help: str, *labels: str) -> Gauge:
    return cast(Gauge, MetricSpec(PREFIX + name, "gauge", help, labels))


def _histogram(name: str, help: str, *labels: str, buckets: tuple[float, ...] = SECONDS) -> Histogram:
    return cast(Histogram, MetricSpec(PREFIX + name, "histogram", help, labels, buckets))


class Metrics:
    """One process's metrics, each an attribute: ``metrics.frames.labels("door", "looked_at").inc()``."""

    decoded_frames = _counter("decoded_frames_total", "Frames that the decoder gave.", "camera")
    corrupt_packets = _counter("corrupt_packets_total", "Packets that could not be decoded.", "camera")
    packets = _counter(
        "packets_total",
        "Packets by what became of them: decoded, skipped while nothing moves, or left out because they came late.",
        "camera",
        "outcome",
    )
    decode_cpu = _counter("decode_cpu_seconds_total", "CPU time inside the decoder.", "camera")
    main_up = _gauge("main_stream_up", "Whether the main stream beside a sub-stream gives pictures (0 or 1).", "camera")
    main_packets = _counter(
        "main_stream_packets_total",
        "Packets of the main stream beside a sub-stream: decoded, passed over because nobody asked, or corrupt.",
        "camera",
        "outcome",
    )
    main_pictures = _counter(
        "main_stream_pictures_total",
        "Pictures asked of the main stream: sent, far (no frame near that moment) or down.",
        "camera",
        "outcome",
    )
    viewers = _gauge("viewers", "Those who watch a camera: WebRTC and MJPEG.", "camera")
    view_frames = _counter(
        "view_frames_total", "Pictures that a camera's process gave to the gateway, because somebody watches.", "camera"
    )
    view_encoded = _counter(
        "view_encoded_total", "Pictures encoded for those who watch, once for all of them.", "camera", "codec"
    )
    view_dropped = _counter(
        "view_dropped_total",
        "Pictures not shown: late, because the gateway was behind, or slow, because a viewer was.",
        "camera",
        "reason",
    )
    view_age = _histogram(
        "view_age_seconds", "Age of a picture when it is sent to those who watch.", "camera", buckets=SECONDS
    )
    source_up = _gauge("source_up", "Whether the camera delivers pictures (0 or 1).", "camera")
    source_reconnects = _counter(
        "source_reconnects_total", "Times that a camera was lost or refused, by reason.", "camera", "reason"
    )
    frames = _counter(
        "frames_total", "Frames that a camera was asked for: looked_at, or unanswered.", "camera", "outcome"
    )
    frames_skipped = _counter(
        "frames_skipped_total",
        "Frames that were decoded and never taken: not_asked.",
        "camera",
        "reason",
    )
    frame_age = _histogram(
        "frame_age_seconds",
        "Age of a frame when work on it starts, or of the last packet after it that said that nothing moved.",
        "camera",
        buckets=SECONDS,
    )
    wait = _histogram(
        "wait_seconds",
        "How long a camera that is due waits until it is asked for a frame.",
        "camera",
        buckets=WAIT_SECONDS,
    )
    stage = _histogram("stage_seconds", "Time that a stage takes for a batch or a frame.", "stage")
    searches = _counter(
        "searches_total",
        "Searches for faces: of the whole view, of a reduced one under load or while only large faces are followed "
        "(glance), or around those who are followed.",
        "outcome",
    )
    batch_size = _histogram("batch_size", "Frames or faces in a batch.", "stage", buckets=BATCHES)
    inferences = _counter("inferences_total", "Runs of a network, by the shape of its input.", "model", "shape")
    inference_seconds = _counter("inference_seconds_total", "Time inside a network.", "model", "shape")
    inference_cpu = _counter("inference_cpu_seconds_total", "CPU time inside a network.", "model", "shape")
    faces = _counter("faces_total", "Faces found, by use and by reason.", "camera", "outcome", "reason")
    tracks = _gauge("tracks", "Faces being followed.", "camera")
    verdicts = _counter(
        "verdicts_total",
        "Verdicts given: identified, unknown or revised; none: somebody left without one.",
        "camera",
        "result",
    )
    time_to_identity = _histogram(
        "time_to_identity_seconds",
        "From the first frame that shows a face to the event that names it.",
        "camera",
        buckets=IDENTITY_SECONDS,
    )
    similarity = _histogram(
        "verdict_similarity",
        "Similarity to the nearest person when a verdict is given: identified, unknown or revised.",
        "camera",
        "result",
        buckets=SIMILARITIES,
    )
    margin = _histogram(
        "verdict_margin",
        "Similarity above the next best person's when a name is given.",
        "camera",
        buckets=MARGINS,
    )
    probability = _histogram(
        "verdict_probability",
        "How likely a name that is given is right, where strangers come as often as known people.",
        "camera",
        buckets=PROBABILITIES,
    )
    accelerator = _gauge(
        "accelerator_info",
        "1 for the execution provider that each model really runs on.",
        "model",
        "provider",
    )
    gallery_people = _gauge("gallery_people", "People in the gallery.")
    gallery_faces = _gauge("gallery_faces", "Faces in the gallery.")
    gallery_strangers = _gauge("gallery_strangers", "Strangers who are recognised, those who are ignored among them.")
    gallery_ignored = _gauge("gallery_ignored_strangers", "Strangers of whom nothing is told.")
    gallery_version = _gauge("gallery_version", "Version of the gallery that is searched.")
    gallery_recall = _gauge("gallery_recall", "Share of approximate searches that found the nearest face, of late.")
    gallery_server_up = _gauge("gallery_server_up", "Whether the server of a shared gallery answers.")
    gallery_unsent = _gauge("gallery_unsent", "Changes of a shared gallery that its server does not have yet.")
    events = _counter("events_total", "Events committed to the journal.", "type")
    events_published = _counter("events_published_total", "Events handed to a transport.", "transport")
    events_dropped = _counter("events_dropped_total", "Events not delivered.", "transport", "reason")
    snapshots = _counter("snapshots_total", "Pictures by what became of them: kept, dropped or failed.", "outcome")
    sink_up = _gauge("sink_up", "Whether a sink takes events (0 or 1).", "sink")
    sink_behind = _gauge("sink_behind_events", "Events of the journal that a sink does not have yet.", "sink")
    journal_seq = _gauge("journal_seq", "Number of the last event in the journal.")
    journal_errors = _counter("journal_errors_total", "Commits that failed; their events are kept and retried.")
    unacknowledged = _gauge("unacknowledged_events", "Events sent but not yet in the journal.")
    shedding = _gauge(
        "shedding_step",
        "What the worker does without under load: 0 nothing, 1 pace where nobody is, 2 detail, 3 further views.",
    )
    process_up = _gauge("process_up", "Whether a child process runs (0 or 1).", "child")
    restarts = _counter("restarts_total", "Starts of a child process after its first.", "child")
    worker_busy = _gauge("worker_busy_ratio", "Share of its time that a worker computed of late (0..1).", "child")
    cameras_moved = _counter("cameras_moved_total", "Times that a camera went to a less busy worker.", "camera")
    background_failures = _counter(
        "background_failures_total",
        "Faults of the program itself in work beside a process's loop, which is tried again.",
        "task",
    )
    disk_free = _gauge("disk_free_bytes", "Room on the disk that state_dir is on, for this user.")
    disk_size = _gauge("disk_size_bytes", "Size of the disk that state_dir is on.")
    state_bytes = _gauge(
        "state_bytes", "What state_dir holds, by part: journal, gallery, snapshots, models, backups or other.", "part"
    )
    build = _gauge("build_info", "1 for the version of streamd that runs.", "version")
    process_cpu = _counter("process_cpu_seconds_total", "CPU time of the process, user and system.")
    process_resident = _gauge("process_resident_bytes", "Memory of the process that is in RAM.")
    process_open_files = _gauge("process_open_files", "Open file descriptors of the process.")
    process_max_files = _gauge("process_max_open_files", "How many file descriptors the process may have open.")
    process_threads = _gauge("process_threads", "Threads of the process.")

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        for attribute, spec in TABLE.items():
            metric = spec.build(self.registry)
            if spec.kind == "gauge" and not spec.labels:
                metric.set(math.nan)  # type: ignore[attr-defined]  # a Gauge
            # The library sorts and locks for each call; there are a dozen of them a look, always with the same labels.
            metric.labels = cache(metric.labels)  # type: ignore[method-assign]  # its bounded labels bound the cache
            setattr(self, attribute, metric)
        self._cpu_s = 0.0
        self.process_max_files.set(resource.getrlimit(resource.RLIMIT_NOFILE)[0])

    def ran(self, model: str, shape: tuple[int, ...], *, seconds: float, cpu_s: float) -> None:
        """A network was run once."""
        labels = (model, "x".join(map(str, shape)))
        self.inferences.labels(*labels).inc()
        self.inference_seconds.labels(*labels).inc(seconds)
        self.inference_cpu.labels(*labels).inc(cpu_s)

    def snapshot(self) -> bytes:
        """Every sample as compact JSON, for a heartbeat."""
        self._measure_process()
        families = {spec.name: self._rows(attribute, spec) for attribute, spec in TABLE.items()}
        body = {"v": SNAPSHOT_VERSION, "families": {name: rows for name, rows in families.items() if rows}}
        return json.dumps(body, separators=(",", ":")).encode()

    def forget(self, label: str, value: str) -> None:
        """Drop the series of what is not there any more, such as a camera (``label`` is ``camera``) or a child."""
        for attribute, spec in TABLE.items():
            if label in spec.labels:
                metric = getattr(self, attribute)
                for labels in {row[1] for row in self._rows(attribute, spec)}:
                    values = labels[: len(spec.labels)]
                    if values[spec.labels.index(label)] == value:
                        metric.remove(*values)
                metric.labels.cache_clear()

    def _rows(self, attribute: str, spec: MetricSpec) -> list[tuple[str, tuple[str, ...], float]]:
        """Samples as (suffix, label values, value).

        Read from where the library keeps them: through its ``collect`` a snapshot costs ten times as much, which was a
        fifth of all that a worker did beside its networks. A test compares the two.
        """
        metric = getattr(self, attribute)
        children = metric._metrics.items() if spec.labels else [((), metric)]
        if spec.kind != "histogram":
            rows = [("", labels, child._value.get()) for labels, child in list(children)]
            # A gauge that this process has never set is another's: it says nothing, rather than 0.
            return [row for row in rows if not math.isnan(row[2])]
        edges = [floatToGoString(edge) for edge in metric._upper_bounds]  # type: ignore[no-untyped-call]
        rows = []
        for labels, child in list(children):
            counts = list(accumulate(bucket.get() for bucket in child._buckets))
            rows += [("_bucket", (*labels, edge), count) for edge, count in zip(edges, counts, strict=True)]
            rows += [("_count", labels, counts[-1]), ("_sum", labels, child._sum.get())]
        return rows

    def _measure_process(self) -> None:
        cpu_s = time.process_time()
        self.process_cpu.inc(cpu_s - self._cpu_s)
        self._cpu_s = cpu_s
        try:
            pages = int(_STATM.read_bytes().split()[1])
            self.process_resident.set(pages * os.sysconf("SC_PAGE_SIZE"))
            self.process_open_files.set(len(os.listdir("/proc/self/fd")))  # noqa: PTH208  # a path for each costs more
            self.process_threads.set(len(os.listdir("/proc/self/task")))  # noqa: PTH208
        except (OSError, ValueError, IndexError):
            return  # not Linux, or /proc is hidden from us: they are not told


def _specs(owner: type) -> Iterator[tuple[str, MetricSpec]]:
    for attribute, value in vars(owner).items():
        if isinstance(value, MetricSpec):
            yield attribute, value


TABLE: dict[str, MetricSpec] = dict(_specs(Metrics))
"""Attribute of ``Metrics`` to its specification; docs/metrics.md is compared with it."""
