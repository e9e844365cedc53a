"""What a worker's own metrics say about its work."""

from __future__ import annotations

import time

import pytest

from streamd.config import CameraConfig, DetectionConfig
from streamd.metrics import Metrics
from streamd.workload import FACE_COST, look_cost, work_of

CAMERAS = {
    "door": CameraConfig(remote=True),
    "hall": CameraConfig(remote=True, detection=DetectionConfig(tiles="2x1", longer_side_px=640)),
}


def metrics() -> Metrics:
    found = Metrics()
    found.stage.labels(stage="detect").observe(0.5)
    found.stage.labels(stage="embed").observe(1e6)  # more than this process has ever worked
    found.frames.labels(camera="door", outcome="looked_at").inc(10)
    found.frames.labels(camera="door", outcome="unanswered").inc(99)
    found.frames.labels(camera="gone", outcome="looked_at").inc(5)
    found.faces.labels(camera="hall", outcome="embedded", reason="").inc(4)
    found.faces.labels(camera="hall", outcome="skipped", reason="decided").inc(99)
    return found


def test_a_worker_is_as_busy_as_its_stages_and_each_camera_costs_its_looks_and_faces() -> None:
    work = work_of(metrics().snapshot(), CAMERAS, threads=1)
    assert work is not None
    assert work.busy_s == 1_000_000.5
    assert work.by_camera == {"door": 10.0, "hall": 4 * FACE_COST}


def test_cpu_beyond_the_stages_counts_for_one_thread() -> None:
    found = Metrics()
    found.process_cpu.inc(1000.0)
    work = work_of(found.snapshot(), CAMERAS, threads=4)
    assert work is not None
    assert 250.0 <= work.busy_s <= 250.0 + time.process_time() / 4


def test_wide_and_fine_views_cost_more() -> None:
    assert look_cost(CAMERAS["door"]) == 1.0
    assert look_cost(CAMERAS["hall"]) == 3.0
    assert look_cost(CameraConfig(remote=True, detection=DetectionConfig(longer_side_px=320))) == 0.25


@pytest.mark.parametrize("snapshot", [b"", b"{}", b'{"v":99,"families":{}}', b'{"v":1,"families":[1]}', b"\xff"])
def test_what_is_no_snapshot_says_nothing(snapshot: bytes) -> None:
    assert work_of(snapshot, CAMERAS, threads=1) is None
