"""Finds the faces in frames: in the whole view, in tiles of it, or around the faces that are followed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from streamd.config import DetectionConfig
from streamd.domain import Box, Detection, Frame
from streamd.interfaces import Detector
from streamd.metrics import Metrics
from streamd.regions import GLANCE_SCALE, is_glance_enough, seen_whole, windows_around
from streamd.vision.scaling import smaller
from streamd.vision.tiling import merged, tiles_of
from streamd.vision.window import Window
from streamd.watch import CameraWatch


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A frame and the faces in it, in full-resolution pixels."""

    frame: Frame
    faces: Sequence[Detection]


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """The parts of one frame's image that are searched."""

    frame: Frame
    config: DetectionConfig
    windows: list[Window]
    around: bool = False
    """Whether they are the surroundings of faces that are followed."""

    def faces(self, found: Sequence[Sequence[Detection]]) -> list[Detection]:
        """What was found in each window, as faces of the whole view in full-resolution pixels."""
        (width, height), image = self.frame.size, self.frame.image
        if self.around:
            found = [self._whole(window, seen) for window, seen in zip(self.windows, found, strict=True)]
        sx, sy = width / image.shape[1], height / image.shape[0]
        return [d.scaled(sx, sy) for d in merged(self.windows, found) if d.score >= self.config.min_score]

    def _whole(self, window: Window, seen: Sequence[Detection]) -> list[Detection]:
        height, width = window.pixels.shape[:2]
        place = (window.left, window.top, window.left + width, window.top + height)
        size = self.frame.image.shape[1], self.frame.image.shape[0]
        return [d for d in seen if seen_whole(window.in_image(d), place, size)]


class FaceFinder:
    """Runs detectors, once for all frames that share one."""

    def __init__(
        self,
        detectors: Mapping[str, Detector],
        watches: Mapping[str, CameraWatch],
        metrics: Metrics,
        *,
        always_whole: bool = False,
    ) -> None:
        """``always_whole``: everybody in every frame is wanted, not only who is followed."""
        self.scale = 1.0
        """Views are searched in this scale; less than 1 under load."""
        self._detectors = detectors
        self._watches = watches
        self._metrics = metrics
        self._always_whole = always_whole

    def find(self, frames: Sequence[Frame]) -> list[Look]:
        """The faces in one frame each of some cameras."""
        searches = [self._search(frame) for frame in frames]
        found: list[list[Detection]] = [[] for _ in frames]
        for model, detector in self._detectors.items():
            indices = [i for i, search in enumerate(searches) if search.config.model == model]
            if indices:
                answers = self._detect(detector, [searches[i] for i in indices])
                for i, faces in zip(indices, answers, strict=True):
                    found[i] = faces
        return [Look(frame, faces) for frame, faces in zip(frames, found, strict=True)]

    def _detect(self, detector: Detector, searches: Sequence[_Search]) -> list[list[Detection]]:
        views = [window.pixels for search in searches for window in search.windows]
        started_s = time.perf_counter()
        results = iter(detector.detect(views, min_score=min(search.config.min_score for search in searches)))
        self._metrics.stage.labels(stage="detect").observe(time.perf_counter() - started_s)
        self._metrics.batch_size.labels(stage="detect").observe(len(views))
        return [search.faces([next(results) for _ in search.windows]) for search in searches]

    def _search(self, frame: Frame) -> _Search:
        watch = self._watches[frame.id.camera]
        search = self._partial(watch, frame)
        if search is not None:
            self._metrics.searches.labels(outcome="around" if search.around else "glance").inc()
            return search
        config = watch.config.detection
        watch.searched_at_s = frame.captured_at_s
        self._metrics.searches.labels(outcome="whole" if self.scale == 1 else "reduced").inc()
        whole = tiles_of(frame.image, *config.grid) if self.scale == 1 else [_reduced(frame, self.scale)]
        return _Search(frame, config, whole)

    def _partial(self, watch: CameraWatch, frame: Frame) -> _Search | None:
        """What shows those who are followed: their surroundings or, if all of them are large and are only followed, a
        reduced view; None where the whole view is due, or no more work."""
        config, at_s = watch.config.detection, frame.captured_at_s
        detector = self._detectors[config.model]
        fresh = 0 <= at_s - watch.searched_at_s < config.whole_interval_s
        if self._always_whole or frame.cut or not fresh or not getattr(detector, "free_size", False):
            return None
        image = frame.image
        scale, size = image.shape[1] / frame.size[0], (image.shape[1], image.shape[0])
        faces = [box.scaled(scale, scale) for box in watch.tracker.expected(at_s)]
        places = windows_around([box for box in faces if _inside(box, image)], size)
        if not watch.wants_view(at_s) and is_glance_enough(
            [a.track.box.scaled(scale, scale) for a in watch.appearances.values()], places, size
        ):
            return _Search(frame, config, [_reduced(frame, GLANCE_SCALE)])
        if places is None:
            return None
        cut = [Window(np.ascontiguousarray(image[y1:y2, x1:x2]), 1.0, x1, y1) for x1, y1, x2, y2 in places]
        return _Search(frame, config, cut, around=True)


def _inside(box: Box, image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bool:
    height, width = image.shape[:2]
    return box.x2 > 0 and box.y2 > 0 and box.x1 < width and box.y1 < height


def _reduced(frame: Frame, scale: float) -> Window:
    height, width = frame.image.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Window(smaller(frame.image, size), size[0] / width)
