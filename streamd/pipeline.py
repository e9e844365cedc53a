"""Frames in, events out: detect, follow, choose, align, embed, search, decide. No socket, no thread.

One step takes a batch of frames of different cameras: detection runs once over the batch, embedding once over the
chosen faces of all cameras, the gallery is searched once. How many faces a step embeds is bounded, so that a crowd on
one camera does not hold up the others; who is left out is chosen first next time.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from streamd.appearances import Appearance, Moment
from streamd.config import CameraConfig, DetectionConfig
from streamd.domain import Decision, Detection, Frame, Match, Quality, Scope, Track, Verdict
from streamd.events import Event, EventType
from streamd.gallery.strangerbook import Look, StrangerBook
from streamd.interfaces import Detector, Embedder, Gallery, embed_rated
from streamd.metrics import Metrics
from streamd.recognition import Evidence, Policy, View, one_place_each
from streamd.scheduling import Attention
from streamd.standard import Standard
from streamd.vision.crops import cut_chip
from streamd.vision.embedding import alignment_of
from streamd.vision.geometry import ARCFACE
from streamd.vision.quality import assess, with_confidence
from streamd.vision.tiling import merged, tiles_of
from streamd.watch import CameraWatch

if TYPE_CHECKING:
    from streamd.domain import Image


IDLE_AFTER_S = 0.5
HELD_S = 3.0
"""Where somebody is to be ignored, a face is told of once it is decided, or after this long."""


@dataclass(frozen=True, slots=True)
class Models:
    """The models in use and the people known to them."""

    detectors: Mapping[str, Detector]
    """By the name that a camera's configuration gives; detectors may be added, never removed."""
    embedder: Embedder
    """One for all cameras: vectors of two models are never compared."""
    gallery: Gallery
    strangers: StrangerBook | None = None
    """Recognises people without a name; None does without."""


@dataclass(slots=True, eq=False)
class _Candidate:
    """A face that is worth embedding."""

    appearance: Appearance
    camera: str
    chip: Image
    """As the embedder wants it."""
    portrait: Image
    """112 x 112, to be kept."""
    quality: Quality
    at_s: float


class Pipeline:
    """The work of a worker, without its sockets."""

    def __init__(
        self,
        models: Models,
        metrics: Metrics,
        *,
        embeddings_per_step: int,
        wall_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._models = models
        self._alignment = alignment_of(models.embedder)
        self._metrics = metrics
        self._budget = embeddings_per_step
        self._wall_s = wall_s
        self._monotonic_s = monotonic_s
        self._watches: dict[str, CameraWatch] = {}
        self._ids: defaultdict[str, Iterator[int]] = defaultdict(lambda: count(1))
        """Of each camera's tracks: no number is given twice, whatever becomes of the camera meanwhile."""
        self._searched_version = models.gallery.version
        self._epoch = format(int(wall_s() * 10) & 0xFFFFFF, "06x")
        """Sets this run's tracks apart from those of earlier runs."""

    def set_cameras(self, cameras: Mapping[str, CameraConfig]) -> list[Event]:
        """Watch these cameras from now on; tracks of cameras that went or changed end."""
        events: list[Event] = []
        for name, watch in list(self._watches.items()):
            if cameras.get(name) != watch.config:
                events += self.end_tracks(name)
                del self._watches[name]
        for name, config in cameras.items():
            if name not in self._watches:
                policy = Policy.of(config.recognition)
                self._watches[name] = CameraWatch(name, config, policy, self._ids[name])
        return events

    def attention(self, camera: str) -> Attention:
        return self._watches[camera].attention

    def appearances(self, camera: str) -> list[Appearance]:
        """The faces that are followed on a camera now."""
        return list(self._watches[camera].appearances.values())

    def process(self, frames: Sequence[Frame]) -> list[Event]:
        """Look at one frame each of some cameras."""
        found = self._detect(frames)
        seen: dict[str, list[Appearance]] = {}
        events: list[Event] = []
        candidates: list[_Candidate] = []
        for frame, detections in zip(frames, found, strict=True):
            watch = self._watches[frame.id.camera]
            watch.last = frame
            events += self._update_tracks(watch, frame, detections)
            present = [a for a in watch.appearances.values() if a.track.detection is not None]
            seen[watch.name] = present
            candidates += self._candidates(watch, frame, present)
        self._embed(candidates)
        for name, present in seen.items():
            events += self._decide(self._watches[name], present)
            self._metrics.tracks.labels(camera=name).set(len(self._watches[name].appearances))
        return events

    def idle(self, camera: str, at_s: float) -> list[Event]:
        """No frame of a camera was looked at for a while: tracks grow old and end."""
        watch = self._watches[camera]
        # The next frame shows a moment a little before now: a tracker that was taken ahead of it could not go back.
        if not watch.appearances or watch.last is None or at_s - watch.last.captured_at_s < IDLE_AFTER_S:
            return []
        return self._end(watch, watch.tracker.predict(at_s).ended)

    def end_tracks(self, camera: str) -> list[Event]:
        """The camera is gone, or the worker ends: every face has left."""
        watch = self._watches[camera]
        tracks = watch.start_over()
        return self._end(watch, tracks) if tracks else []

    def gallery_changed(self) -> list[Event]:
        """Weigh every track's views again if the gallery has a new version; embeds nothing."""
        version = self._models.gallery.version
        if version == self._searched_version:
            return []
        self._searched_version = version
        return [event for watch in self._watches.values() for event in self._rescore(watch)]

    def _detect(self, frames: Sequence[Frame]) -> list[list[Detection]]:
        found: list[list[Detection]] = [[] for _ in frames]
        for model, detector in self._models.detectors.items():
            indices = [i for i, f in enumerate(frames) if self._detection(f).model == model]
            if not indices:
                continue
            least = min(self._detection(frames[i]).min_score for i in indices)
            tiled = [tiles_of(frames[i].image, *self._detection(frames[i]).grid) for i in indices]
            views = [tile.pixels for tiles in tiled for tile in tiles]
            with self._stage("detect"):
                results = iter(detector.detect(views, min_score=least))
            self._metrics.batch_size.labels(stage="detect").observe(len(views))
            for i, tiles in zip(indices, tiled, strict=True):
                found[i] = self._in_full_pixels(frames[i], merged(tiles, [next(results) for _ in tiles]))
        return found

    def _detection(self, frame: Frame) -> DetectionConfig:
        return self._watches[frame.id.camera].config.detection

    def _in_full_pixels(self, frame: Frame, detections: Sequence[Detection]) -> list[Detection]:
        least = self._detection(frame).min_score
        (width, height), image = frame.picture.size, frame.image
        sx, sy = width / image.shape[1], height / image.shape[0]
        return [d.scaled(sx, sy) for d in detections if d.score >= least]

    def _update_tracks(self, watch: CameraWatch, frame: Frame, detections: list[Detection]) -> list[Event]:
        # Whoever is where somebody was in the scene before is somebody else.
        events = self.end_tracks(watch.name) if frame.cut else []
        with self._stage("track"):
            update = watch.tracker.update(detections, frame.captured_at_s)
        watch.follow(update.live, self._epoch)
        return events + self._end(watch, update.ended)

    def _candidates(self, watch: CameraWatch, frame: Frame, present: Sequence[Appearance]) -> Iterator[_Candidate]:
        for appearance in present:
            detection = appearance.track.detection
            if detection is None or detection.landmarks is None:
                self._count_face(watch, "skipped", "no_landmarks")
            elif not appearance.evidence.wants(1.0, frame.captured_at_s):
                self._count_face(watch, "skipped", "decided")
            else:
                with self._stage("align"):
                    chip = cut_chip(frame.picture, detection.landmarks)
                    quality = assess(detection, chip, frame.picture.size, watch.config.detection.min_face_px)
                appearance.best_quality = max(appearance.best_quality, quality.score if quality.usable else 0)
                if not quality.usable or not appearance.evidence.wants(quality.score, frame.captured_at_s):
                    self._count_face(watch, "refused", quality.reason or "low_quality")
                else:
                    portrait = chip
                    if self._alignment != ARCFACE:
                        chip = cut_chip(frame.picture, detection.landmarks, self._alignment)
                    yield _Candidate(appearance, watch.name, chip, portrait, quality, frame.captured_at_s)

    def _embed(self, candidates: Sequence[_Candidate]) -> None:
        # Undecided faces first, then those that have waited longest for a look.
        order = sorted(candidates, key=lambda c: (c.appearance.decided, c.appearance.evidence.embedded_at_s))
        for candidate in order[self._budget :]:
            self._count_face(self._watches[candidate.camera], "postponed", "budget")
        if chosen := order[: self._budget]:
            self._embed_batch(chosen)

    def _embed_batch(self, chosen: Sequence[_Candidate]) -> None:
        with self._stage("embed"):
            vectors, confidences = embed_rated(self._models.embedder, np.stack([c.chip for c in chosen]))
        self._metrics.batch_size.labels(stage="embed").observe(len(chosen))
        with self._stage("search"):
            matches = self._nearest(vectors, [self._watches[c.camera].scope for c in chosen])
        for candidate, vector, confidence, found in zip(chosen, vectors, confidences, matches, strict=True):
            quality = with_confidence(candidate.quality, confidence)
            watch, evidence = self._watches[candidate.camera], candidate.appearance.evidence
            if quality.reason is not None:
                evidence.waste(candidate.at_s)
                self._count_face(watch, "refused", quality.reason)
                continue
            best = found[0] if found else None
            evidence.add(View(vector, quality.score, candidate.at_s, best, quality.grey, candidate.portrait))
            self._count_face(watch, "embedded", "")

    def _nearest(self, vectors: NDArray[np.float32], scopes: Sequence[Scope]) -> list[list[Match]]:
        """The nearest person of each vector within its scope; one search per scope."""
        found: list[list[Match]] = [[] for _ in scopes]
        for scope in dict.fromkeys(scopes):
            rows = [i for i, other in enumerate(scopes) if other == scope]
            matches = self._models.gallery.search(vectors[rows], people=1, scope=scope)
            for row, nearest in zip(rows, matches, strict=True):
                found[row] = nearest
        return found

    def _decide(self, watch: CameraWatch, present: Sequence[Appearance]) -> list[Event]:
        """Weigh the evidence of the faces of one frame together."""
        if watch.last is None:
            return []
        self._weigh(watch, [a for a in present if a.evidence.views])
        by_track = {a.track.id: a.evidence.decision for a in present}
        moment = self._moment(watch.last)
        events: list[Event] = []
        for track, decision in one_place_each(by_track).items():
            appearance = watch.appearances[track]
            appearance.evidence.decision = decision
            self._recognise_stranger(watch, appearance, decision)
            events += self._told(watch, appearance, decision, moment)
        return events

    def _recognise_stranger(self, watch: CameraWatch, appearance: Appearance, decision: Decision) -> None:
        """Who it is where it is nobody known: a stranger seen before, a new one, or somebody to be ignored."""
        book, views = self._models.strangers, appearance.evidence.views
        if book is None or not views:
            return
        if decision.identity is not None:
            if appearance.stranger is not None:
                book.retract(appearance.id)
                appearance.stranger = None
            return
        nearest = decision.best.similarity if decision.best else None
        fused = appearance.evidence.fused()
        appearance.muted = appearance.muted or book.is_ignored(fused, nearest)
        if appearance.muted or decision.verdict is not Verdict.UNKNOWN or appearance.stranger is not None:
            return
        standard = self._standard(watch)
        threshold = standard.threshold(grey=appearance.evidence.grey)
        if decision.best is not None:
            threshold = standard.threshold_for(decision.best.person_id, grey=appearance.evidence.grey)
        if book.is_stranger(nearest, threshold):
            looks = [Look(v.vector, v.chip, v.quality) for v in views if v.chip is not None]
            wall_s = self._wall_s()
            appearance.stranger = book.identify(fused, looks, track=appearance.id, camera=watch.name, wall_s=wall_s)

    def _weigh(self, watch: CameraWatch, appearances: Sequence[Appearance]) -> None:
        if not appearances:
            return
        fused: NDArray[np.float32] = np.stack([a.evidence.fused() for a in appearances])
        with self._stage("search"):
            matches = self._models.gallery.search(fused, people=2, scope=watch.scope)
        standard = self._standard(watch)
        for appearance, found in zip(appearances, matches, strict=True):
            appearance.evidence.decide(found, standard)

    def _standard(self, watch: CameraWatch) -> Standard:
        """What a similarity must reach on this camera, with the gallery as it is now."""
        recognition, gallery = watch.config.recognition, self._models.gallery
        return Standard(
            scores=gallery.scores(self._models.embedder.scores),
            target_far=recognition.target_far,
            margin=recognition.margin,
            population=gallery.population(watch.scope),
            fixed=recognition.threshold,
            nearest_other=gallery.nearest_other,
        )

    def _told(self, watch: CameraWatch, appearance: Appearance, decision: Decision, moment: Moment) -> list[Event]:
        first = not appearance.decided
        book = self._models.strangers
        waited_s = moment.decided_at_s - appearance.track.started_at_s
        hold = book is not None and book.any_ignored and waited_s < HELD_S
        events = appearance.tell(decision, moment, hold=hold)
        for event in events:
            if event.type is EventType.FACE_IDENTIFIED and first:
                self._metrics.time_to_identity.labels(camera=watch.name).observe(max(0.0, waited_s))
            if event.type is not EventType.FACE_APPEARED:
                result = event.type.value.partition(".")[2]
                self._metrics.verdicts.labels(camera=watch.name, result=result).inc()
        return events

    def _rescore(self, watch: CameraWatch) -> list[Event]:
        concerned = [a for a in watch.appearances.values() if a.evidence.views]
        if not concerned or watch.last is None:
            return []
        for appearance in concerned:
            vectors = np.stack([v.vector for v in appearance.evidence.views])
            found = self._models.gallery.search(vectors, people=1, scope=watch.scope)
            appearance.evidence.rescore([f[0] if f else None for f in found])
            _forget_vanished(appearance.evidence)
        return self._decide(watch, concerned)

    def _end(self, watch: CameraWatch, tracks: Sequence[Track]) -> list[Event]:
        events: list[Event] = []
        for track in tracks:
            appearance = watch.appearances.pop(track.id, None)
            if appearance is None or watch.last is None:
                continue
            appearance.track = track
            if appearance.appeared and not appearance.decided:
                self._metrics.verdicts.labels(camera=watch.name, result="none").inc()
            events += appearance.leave(self._moment(watch.last))
        self._metrics.tracks.labels(camera=watch.name).set(len(watch.appearances))
        return events

    def _moment(self, frame: Frame) -> Moment:
        version, model = self._models.gallery.version, self._models.embedder.model_id
        return Moment(frame, self._monotonic_s(), self._wall_s(), version, model)

    def _count_face(self, watch: CameraWatch, outcome: str, reason: str) -> None:
        self._metrics.faces.labels(camera=watch.name, outcome=outcome, reason=reason).inc()

    @contextmanager
    def _stage(self, stage: str) -> Iterator[None]:
        started_s = time.perf_counter()
        yield
        self._metrics.stage.labels(stage=stage).observe(time.perf_counter() - started_s)


def _forget_vanished(evidence: Evidence) -> None:
    """A verdict over a gallery that has changed is weighed afresh: nobody keeps a name by habit."""
    if evidence.decision.verdict is not Verdict.PENDING:
        evidence.decision = replace(evidence.decision, identity=None)
