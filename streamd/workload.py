"""What a worker's snapshot of metrics says about its work."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from streamd.balancing import Work
from streamd.config import CameraConfig
from streamd.metrics import PREFIX, SNAPSHOT_VERSION

FACE_COST = 1.5
"""Of embedding a face, measured in looks at a view of 640 x 640: SFace takes about 10 ms, YuNet about 7."""


def look_cost(camera: CameraConfig) -> float:
    """Of one look, in views of 640 x 640."""
    columns, rows = camera.detection.grid
    tiles = columns * rows + (columns * rows > 1)  # and the view as a whole
    return tiles * (camera.detection.longer_side_px / 640) ** 2


def work_of(snapshot: bytes, cameras: Mapping[str, CameraConfig], *, threads: int) -> Work | None:
    """The worker's totals; None where they cannot be read.

    Its stages are timed on the clock, so that waiting for a GPU counts; its CPU holds what no stage covers.
    """
    try:
        body = json.loads(snapshot)
        if body["v"] != SNAPSHOT_VERSION:
            return None
        families = body["families"]
        cpu_s = sum(value for _, _, value in families.get(f"{PREFIX}process_cpu_seconds_total", ()))
        stages_s = sum(v for suffix, _, v in families.get(f"{PREFIX}stage_seconds", ()) if suffix == "_sum")
        by_camera = {name: 0.0 for name in cameras}
        for name, cost in _costs(families, cameras):
            by_camera[name] += cost
        return Work(max(stages_s, cpu_s / threads), by_camera)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _costs(families: Mapping[str, Any], cameras: Mapping[str, CameraConfig]) -> Iterator[tuple[str, float]]:
    for _, (camera, outcome), count in families.get(f"{PREFIX}frames_total", ()):
        if camera in cameras and outcome == "looked_at":
            yield camera, count * look_cost(cameras[camera])
    for _, (camera, outcome, _), count in families.get(f"{PREFIX}faces_total", ()):
        if camera in cameras and outcome == "embedded":
            yield camera, count * FACE_COST
