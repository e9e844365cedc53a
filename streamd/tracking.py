"""Follows the faces of one camera through uneven, low rates of detection. Pure: time is an argument.

Each box coordinate (centre x, centre y, width, height) is a constant-velocity Kalman filter fed with the real time
between looks. Detections continue tracks by the assignment of greatest total overlap (Kuhn 1955), where boxes are
enlarged before they are compared (Yang et al., "Hard to Track Objects with Irregular Motions and Similar Appearances?
Make It Easier by Buffering the Matching Space", WACV 2023): at five looks a second a face that walks has left its box.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from streamd.config import TrackingConfig
from streamd.domain import Box, Detection, Track, TrackUpdate

BUFFER = 0.4
"""Boxes are enlarged by this share of their size on each side before their overlap is taken."""
DOUBTFUL_IOU = 0.7
"""Overlap that a detection of low score needs."""
ACCELERATION = 4.0
"""Standard deviation of a face's acceleration, in face widths per second squared."""
MEASUREMENT = 0.06
"""Standard deviation of a detector's box, in face widths."""
MOST_DOUBT = 3.0
"""Face widths by which a face is looked for beside the place where it is expected, at most."""
VELOCITY = 2.0
"""Standard deviation of a new face's velocity, in face widths per second."""


class _Filter:
    """A constant-velocity Kalman filter over one coordinate, in pixels; closed form of the 2 x 2 case."""

    __slots__ = ("p00", "p01", "p11", "velocity", "x")

    def __init__(self, x: float, scale: float) -> None:
        self.x, self.velocity = x, 0.0
        self.p00, self.p01, self.p11 = (MEASUREMENT * scale) ** 2, 0.0, (VELOCITY * scale) ** 2

    def predict(self, dt: float, scale: float) -> None:
        q = (ACCELERATION * scale) ** 2
        self.x += self.velocity * dt
        self.p00 += dt * (2 * self.p01 + dt * self.p11) + q * dt**4 / 4
        self.p01 += dt * self.p11 + q * dt**3 / 2
        self.p11 += q * dt * dt

    def correct(self, measured: float, scale: float) -> None:
        innovation = measured - self.x
        total = self.p00 + (MEASUREMENT * scale) ** 2
        k0, k1 = self.p00 / total, self.p01 / total
        self.x += k0 * innovation
        self.velocity += k1 * innovation
        self.p11 -= k1 * self.p01
        self.p01 -= k0 * self.p01
        self.p00 -= k0 * self.p00


@dataclass(slots=True)
class _Live:
    id: int
    filters: tuple[_Filter, _Filter, _Filter, _Filter]
    predicted_at_s: float
    started_at_s: float
    seen_at_s: float
    hits: int
    detection: Detection | None

    @property
    def box(self) -> Box:
        cx, cy, width, height = (f.x for f in self.filters)
        width, height = max(width, 1.0), max(height, 1.0)
        return Box(cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)


class KalmanTracker:
    """Implements ``interfaces.Tracker``."""

    def __init__(self, config: TrackingConfig, ids: Iterator[int] | None = None) -> None:
        """``ids`` numbers the tracks, from 1 where it is not given."""
        self.config = config
        self._ids = count(1) if ids is None else ids
        self._live: list[_Live] = []

    def update(self, detections: Sequence[Detection], at_s: float) -> TrackUpdate:
        """A frame was looked at; ``detections`` may be empty. A moment before the last one counts as the last."""
        for track in self._live:
            _predict(track, at_s)
            track.detection = None
        sure = [d for d in detections if d.score >= self.config.start_score]
        doubtful = [d for d in detections if d.score < self.config.start_score]
        fresh = self._continue(self._live, sure, at_s, self.config.min_iou)
        # As ByteTrack does (Zhang et al., ECCV 2022): a face that is half hidden is found with a low score.
        unseen = [t for t in self._live if t.detection is None and t.hits >= self.config.min_hits]
        self._continue(unseen, doubtful, at_s, DOUBTFUL_IOU)
        self._live += [self._start(detection, at_s) for detection in fresh]
        return self._report(at_s)

    def drop(self, track_id: int) -> None:
        """Whoever was on this track is followed on another one."""
        self._live = [track for track in self._live if track.id != track_id]

    def predict(self, at_s: float) -> TrackUpdate:
        """No frame was looked at; tracks only age."""
        for track in self._live:
            _predict(track, at_s)
            track.detection = None
        return self._report(at_s)

    def expected(self, at_s: float) -> list[Box]:
        """Where the followed faces will be, each with room for what is not known about that; changes nothing."""
        return [_reach(track, at_s) for track in self._live]

    def _continue(
        self, tracks: Sequence[_Live], detections: Sequence[Detection], at_s: float, least: float
    ) -> list[Detection]:
        """Give detections to the tracks that they continue; returns the others."""
        if not tracks or not detections:
            return list(detections)
        overlap = _overlaps([t.box for t in tracks], [d.box for d in detections])
        rows, columns = linear_sum_assignment(-overlap)
        taken = set()
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            if overlap[row, column] >= least:
                _correct(tracks[row], detections[column], at_s)
                taken.add(column)
        return [d for i, d in enumerate(detections) if i not in taken]

    def _start(self, detection: Detection, at_s: float) -> _Live:
        box = detection.box
        scale = box.width
        filters = tuple(_Filter(v, scale) for v in (*box.centre, box.width, box.height))
        track = _Live(next(self._ids), filters, at_s, at_s, at_s, 1, detection)  # type: ignore[arg-type]  # four of them
        return track

    def _report(self, at_s: float) -> TrackUpdate:
        ended = [t for t in self._live if at_s - t.seen_at_s >= self.config.max_gap_s]
        self._live = [t for t in self._live if at_s - t.seen_at_s < self.config.max_gap_s]
        return TrackUpdate(tuple(map(self._public, self._live)), tuple(map(self._public, ended)))

    def _public(self, track: _Live) -> Track:
        return Track(
            id=track.id,
            box=track.detection.box if track.detection else track.box,
            started_at_s=track.started_at_s,
            seen_at_s=track.seen_at_s,
            hits=track.hits,
            detection=track.detection,
            confirmed=track.hits >= self.config.min_hits,
            velocity=(track.filters[0].velocity, track.filters[1].velocity),
        )


def _reach(track: _Live, at_s: float) -> Box:
    dt = max(0.0, at_s - track.predicted_at_s)
    box = track.box
    x, y = (axis.velocity * dt for axis in track.filters[:2])
    # Two deviations, and no more than a few faces' width: whoever may be anywhere is looked for everywhere.
    doubt = [
        min(2 * math.sqrt(axis.p00 + dt * (2 * axis.p01 + dt * axis.p11)), MOST_DOUBT * box.width)
        for axis in track.filters[:2]
    ]
    return Box(box.x1 + x - doubt[0], box.y1 + y - doubt[1], box.x2 + x + doubt[0], box.y2 + y + doubt[1])


def _predict(track: _Live, at_s: float) -> None:
    dt = at_s - track.predicted_at_s
    if dt <= 0:
        return
    scale = max(track.filters[2].x, 1.0)
    for axis in track.filters:
        axis.predict(dt, scale)
    track.predicted_at_s = at_s


def _correct(track: _Live, detection: Detection, at_s: float) -> None:
    box = detection.box
    scale = max(box.width, 1.0)
    for axis, measured in zip(track.filters, (*box.centre, box.width, box.height), strict=True):
        axis.correct(measured, scale)
    track.seen_at_s = max(track.seen_at_s, at_s)
    track.hits += 1
    track.detection = detection


def _overlaps(tracks: Sequence[Box], detections: Sequence[Box]) -> NDArray[np.float64]:
    """Intersection over union of every pair of enlarged boxes, shape (tracks, detections)."""
    a, b = _enlarged(tracks)[:, None, :], _enlarged(detections)[None, :, :]
    size = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    inter = np.clip(size, 0, None).prod(axis=-1)
    areas = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1)
    overlap: NDArray[np.float64] = inter / (areas - inter)
    return overlap


def _enlarged(boxes: Sequence[Box]) -> NDArray[np.float64]:
    array = np.array([(b.x1, b.y1, b.x2, b.y2) for b in boxes], np.float64)
    grow = BUFFER * (array[:, 2:] - array[:, :2])
    return np.hstack([array[:, :2] - grow, array[:, 2:] + grow])
