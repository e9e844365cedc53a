"""``streamd bench tracking``: how well faces are followed, at every detection and at each 2nd, 3rd, 5th and 10th frame.

Reads MOTChallenge folders (https://motchallenge.net): ``gt/gt.txt``, ``det/det.txt``, ``seqinfo.ini``. All trackers get
the same detections; the figures are over the frames that were looked at.
"""

from __future__ import annotations

import configparser
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy.optimize import linear_sum_assignment

from streamd.bench.motfigures import Look, figures
from streamd.config import Config
from streamd.domain import Box, Detection
from streamd.errors import UsageError
from streamd.tracking import KalmanTracker

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Boxes = NDArray[np.float64]
    """x1, y1, x2, y2; shape (n, 4)."""

_SAME = 0.5
"""Overlap from which a box is that face."""
_APART = 1_000_000
"""Between the ids of one clip and the next."""
_NO_IDS, _NO_BOXES = np.zeros(0, np.intp), np.zeros((0, 4))


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """One sequence: what was found, and what is true. Frames count from 1."""

    name: str
    fps: float
    frames: int
    found: Mapping[int, NDArray[np.float64]]
    """Per frame x1, y1, x2, y2, score."""
    true_ids: Mapping[int, NDArray[np.intp]]
    true_boxes: Mapping[int, Boxes]
    ignored: Mapping[int, Boxes]
    """Regions in which it does not matter what is followed."""


@dataclass(frozen=True, slots=True)
class Row:
    """One tracker on all clips, at one rate."""

    tracker: str
    step: int
    """Each so many frames are looked at."""
    hota: float
    idf1: float
    mota: float
    switches: int
    ids: int
    """Tracks that were made."""
    us_per_frame: float


class Follower(Protocol):
    """A tracker, as it is compared."""

    def look(self, found: NDArray[np.float64], at_s: float) -> tuple[NDArray[np.intp], Boxes]:
        """Ids and boxes of what is followed in this frame."""


def read_clip(folder: Path) -> Clip:
    """Raises UsageError: something is missing or cannot be read."""
    rows = {}
    for kind in ("gt", "det"):
        file = next((f for f in (folder / kind / f"{kind}.txt", folder / f"{kind}.txt") if f.is_file()), None)
        if file is None:
            raise UsageError(f"{folder}: no {kind}/{kind}.txt: not a MOTChallenge folder")
        try:
            rows[kind] = np.atleast_2d(np.loadtxt(file, delimiter=",", ndmin=2))
        except ValueError as error:
            raise UsageError(f"{file}: {error}") from error
        if rows[kind].size and rows[kind].shape[1] < 7:
            raise UsageError(f"{file}: {rows[kind].shape[1]} columns, not 7 or more")
    info = configparser.ConfigParser()
    info.read(folder / "seqinfo.ini")
    try:
        fps = float(info.get("Sequence", "frameRate"))
    except (configparser.Error, ValueError) as error:
        raise UsageError(f"{folder / 'seqinfo.ini'}: no frameRate in [Sequence]") from error
    truth = rows["gt"]
    counted = truth[:, 6] > 0
    if not counted.any():
        raise UsageError(f"{folder}: nothing in gt.txt counts")
    frames = int(max(truth[:, 0].max(), rows["det"][:, 0].max() if rows["det"].size else 0))
    by_frame = _by_frame(truth[counted])
    return Clip(
        name=folder.name,
        fps=fps,
        frames=frames,
        found={n: np.hstack([_corners(r), r[:, 6:7]]) for n, r in _by_frame(rows["det"]).items()},
        true_ids={n: r[:, 1].astype(np.intp) for n, r in by_frame.items()},
        true_boxes={n: _corners(r) for n, r in by_frame.items()},
        ignored={n: _corners(r) for n, r in _by_frame(truth[~counted]).items()},
    )


def read_clips(folder: Path) -> list[Clip]:
    """The clip in ``folder``, or those in its folders. Raises UsageError."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    if (folder / "seqinfo.ini").exists():
        return [read_clip(folder)]
    inside = sorted(f.parent for f in folder.glob("*/seqinfo.ini"))
    if not inside:
        raise UsageError(f"{folder}: no seqinfo.ini in it or in its folders: not MOTChallenge")
    return [read_clip(f) for f in inside]


def trackers(config: Config) -> dict[str, Callable[[float], Follower]]:
    """Makers of what is compared, given looks per second; the library's ByteTrack where it is installed."""
    made: dict[str, Callable[[float], Follower]] = {
        "streamd": lambda rate: _Ours(config),
        "SORT": lambda rate: PlainSort(config.detection.min_score),
    }
    if find_spec("trackers") and find_spec("supervision"):
        made["ByteTrack"] = lambda rate: _ByteTrack(rate, config)
    return made


def compare(clips: Sequence[Clip], steps: Sequence[int], config: Config) -> Iterator[Row]:
    """Every tracker at every rate."""
    for step in steps:
        for name, make in trackers(config).items():
            yield measured(name, make, clips, step)


def measured(name: str, make: Callable[[float], Follower], clips: Sequence[Clip], step: int) -> Row:
    """One tracker on all clips, at each ``step``-th frame."""
    looks: list[Look] = []
    spent_s = 0.0
    for number, clip in enumerate(clips):
        follower = make(clip.fps / step)
        for frame in range(1, clip.frames + 1, step):
            found = clip.found.get(frame, np.zeros((0, 5)))
            started_s = time.perf_counter()
            ids, boxes = follower.look(found, frame / clip.fps)
            spent_s += time.perf_counter() - started_s
            kept = _outside_ignored(clip, frame, boxes)
            true_ids, true_boxes = clip.true_ids.get(frame, _NO_IDS), clip.true_boxes.get(frame, _NO_BOXES)
            apart = _APART * number
            looks.append(Look(true_ids + apart, ids[kept] + apart, overlaps(true_boxes, boxes[kept])))
    told = figures(looks)
    made = len({int(i) for look in looks for i in look.ids})
    return Row(name, step, told.hota, told.idf1, told.mota, told.switches, made, 1e6 * spent_s / len(looks))


def _outside_ignored(clip: Clip, frame: int, boxes: Boxes) -> NDArray[np.bool_]:
    """What is followed, but for what is in an ignored region and is no face that counts."""
    kept = np.ones(len(boxes), np.bool_)
    ignored = clip.ignored.get(frame)
    if ignored is None or not len(boxes):
        return kept
    truth = clip.true_boxes.get(frame, np.zeros((0, 4)))
    overlap = overlaps(boxes, truth)
    rows, columns = linear_sum_assignment(-overlap)
    counted = {int(r) for r, c in zip(rows, columns, strict=True) if overlap[r, c] >= _SAME}
    size = np.minimum(boxes[:, None, 2:], ignored[None, :, 2:]) - np.maximum(boxes[:, None, :2], ignored[None, :, :2])
    share = np.clip(size, 0, None).prod(-1) / (boxes[:, 2:] - boxes[:, :2]).prod(-1)[:, None]
    for row in np.flatnonzero(share.max(axis=1) >= _SAME):
        kept[row] = int(row) in counted
    return kept


class _Ours:
    def __init__(self, config: Config) -> None:
        self._tracker = KalmanTracker(config.tracking)
        self._min_score = config.detection.min_score

    def look(self, found: NDArray[np.float64], at_s: float) -> tuple[NDArray[np.intp], Boxes]:
        kept = found[found[:, 4] >= self._min_score]
        update = self._tracker.update([Detection(Box(*row[:4]), row[4]) for row in kept.tolist()], at_s)
        seen = [t for t in update.live if t.detection is not None and t.confirmed]
        boxes = np.array([(t.box.x1, t.box.y1, t.box.x2, t.box.y2) for t in seen], np.float64).reshape(-1, 4)
        return np.array([t.id for t in seen], np.intp), boxes


class PlainSort:
    """SORT as published (Bewley et al., ICIP 2016): per frame, not per second; a track lives for one missed look."""

    min_hits, max_age, min_iou = 3, 1, 0.3

    def __init__(self, start_score: float) -> None:
        self._start_score = start_score
        self._tracks: list[_SortTrack] = []
        self._looks = 0
        self._made = 0

    def look(self, found: NDArray[np.float64], at_s: float) -> tuple[NDArray[np.intp], Boxes]:
        self._looks += 1
        boxes = found[found[:, 4] >= self._start_score, :4]
        for track in self._tracks:
            track.predict()
        overlap = overlaps(np.array([t.box for t in self._tracks]).reshape(-1, 4), boxes)
        rows, columns = linear_sum_assignment(-overlap)
        pairs = [(r, c) for r, c in zip(rows, columns, strict=True) if overlap[r, c] >= self.min_iou]
        for row, column in pairs:
            self._tracks[row].correct(boxes[column])
        for column in sorted(set(range(len(boxes))) - {c for _, c in pairs}):
            self._made += 1
            self._tracks.append(_SortTrack(self._made, boxes[column]))
        shown = [
            t for t in self._tracks if t.missed == 0 and (t.streak >= self.min_hits or self._looks <= self.min_hits)
        ]
        self._tracks = [t for t in self._tracks if t.missed <= self.max_age]
        return np.array([t.id for t in shown], np.intp), np.array([t.box for t in shown]).reshape(-1, 4)


class _SortTrack:
    """Centre, area and shape with constant velocity of the first three."""

    _transition = np.eye(7) + np.eye(7, k=4)
    _noise = np.diag([1, 1, 1, 1, 1e-2, 1e-2, 1e-4])
    _seen = np.diag([1.0, 1, 10, 10])

    def __init__(self, number: int, box: NDArray[np.float64]) -> None:
        self.id, self.missed, self.streak = number, 0, 1
        self._state = np.concatenate([_shape(box), np.zeros(3)])
        self._spread = np.diag([10.0, 10, 10, 10, 1e4, 1e4, 1e4])

    def predict(self) -> None:
        if self._state[2] + self._state[6] <= 0:
            self._state[6] = 0
        self._state = self._transition @ self._state
        self._spread = self._transition @ self._spread @ self._transition.T + self._noise
        if self.missed:
            self.streak = 0
        self.missed += 1

    def correct(self, box: NDArray[np.float64]) -> None:
        gain = self._spread[:, :4] @ np.linalg.inv(self._spread[:4, :4] + self._seen)
        self._state = self._state + gain @ (_shape(box) - self._state[:4])
        self._spread = self._spread - gain @ self._spread[:4]
        self.missed = 0
        self.streak += 1

    @property
    def box(self) -> NDArray[np.float64]:
        x, y, area, shape = self._state[:4]
        width = np.sqrt(max(area * shape, 1e-6))
        height = max(area, 1e-6) / width
        return np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])


class _ByteTrack:
    """Roboflow's ``trackers`` (Apache-2.0), with its own settings but for the scores; it gets lower ones, too."""

    def __init__(self, rate: float, config: Config) -> None:
        from trackers import ByteTrackTracker

        start, high = config.tracking.start_score, config.detection.min_score
        self._tracker = ByteTrackTracker(
            frame_rate=rate, track_activation_threshold=start, high_conf_det_threshold=high
        )

    def look(self, found: NDArray[np.float64], at_s: float) -> tuple[NDArray[np.intp], Boxes]:
        import supervision

        wrapped = supervision.Detections(
            xyxy=found[:, :4].astype(np.float32),
            confidence=found[:, 4].astype(np.float32),
            class_id=np.zeros(len(found), int),
        )
        result = self._tracker.update(wrapped)
        ids = np.asarray(result.tracker_id if result.tracker_id is not None else [], np.intp)
        named = ids >= 0
        return ids[named], np.asarray(result.xyxy, np.float64).reshape(-1, 4)[: len(ids)][named]


def overlaps(a: Boxes, b: Boxes) -> NDArray[np.float64]:
    """Intersection over union of every pair, shape (len(a), len(b))."""
    size = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    inter = np.clip(size, 0, None).prod(-1)
    total = (a[:, 2:] - a[:, :2]).prod(-1)[:, None] + (b[:, 2:] - b[:, :2]).prod(-1)[None]
    share: NDArray[np.float64] = inter / np.maximum(total - inter, 1e-9)
    return share


def _by_frame(rows: NDArray[np.float64]) -> dict[int, NDArray[np.float64]]:
    found: defaultdict[int, list[NDArray[np.float64]]] = defaultdict(list)
    for row in rows:
        found[int(row[0])].append(row)
    return {frame: np.stack(these) for frame, these in found.items()}


def _corners(rows: NDArray[np.float64]) -> Boxes:
    return np.hstack([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]])


def _shape(box: NDArray[np.float64]) -> NDArray[np.float64]:
    width, height = box[2] - box[0], box[3] - box[1]
    return np.array([box[0] + width / 2, box[1] + height / 2, width * height, width / max(height, 1e-6)])
