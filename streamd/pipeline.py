"""Frames in, events out: detect, follow, choose, align, embed, search, decide. No socket, no thread.

One step takes a batch of frames of different cameras: detection runs once over the batch, embedding once over the
chosen faces of all cameras, the gallery is searched once. How many faces a step embeds is bounded, so that a crowd on
one camera does not hold up the others; who is left out is chosen first next time.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from streamd.album import Album
from streamd.appearances import Appearance
from streamd.config import CameraConfig
from streamd.domain import Detection, Frame, Match, Quality, Scope
from streamd.events import Event
from streamd.facefinding import FaceFinder, Look
from streamd.gallery.strangerbook import StrangerBook
from streamd.interfaces import Detector, Embedder, Gallery
from streamd.judging import Judge
from streamd.metrics import Metrics
from streamd.recognition import Policy, View
from streamd.scheduling import Attention
from streamd.shedding import Step
from streamd.vision.crops import cut_chip
from streamd.vision.embedding import alignment_of, embed_each
from streamd.vision.geometry import ARCFACE
from streamd.vision.quality import assess, with_confidence
from streamd.watch import CameraWatch

if TYPE_CHECKING:
    from streamd.domain import Image


logger = logging.getLogger(__name__)

IDLE_AFTER_S = 0.8
MUTE_FACES = 5
"""An embedder that makes nothing of so many different faces in a row is broken."""


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

    track: int
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
        album: Album | None = None,
        epoch: str | None = None,
        wall_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """``epoch`` sets the tracks apart from those of other runs; None is one that no other run has."""
        self._models = models
        self._alignment = alignment_of(models.embedder)
        self._metrics = metrics
        self._budget = embeddings_per_step
        self._album = album
        self._judge = Judge(
            models.gallery,
            models.embedder,
            models.strangers,
            metrics=metrics,
            album=album,
            wall_s=wall_s,
            monotonic_s=monotonic_s,
        )
        self._watches: dict[str, CameraWatch] = {}
        self._finder = FaceFinder(
            models.detectors, self._watches, metrics, always_whole=album is not None and album.hides_strangers
        )
        self._step = Step.NOTHING
        self._ids: defaultdict[str, Iterator[int]] = defaultdict(lambda: count(1))
        """Of each camera's tracks: no number is given twice, whatever becomes of the camera meanwhile."""
        self._mute: set[str] = set()  # bounded: MUTE_FACES
        """Appearances of which the embedder made nothing, since it last made something of any."""
        self._searched_version = models.gallery.version
        # By chance: a machine's clock may say the same after each of its starts.
        self._epoch = secrets.token_hex(4) if epoch is None else epoch

    @property
    def is_blind(self) -> bool:
        """Whether the embedder makes nothing of anybody."""
        return len(self._mute) >= MUTE_FACES

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
        return self.decide(self.detect(frames))

    def detect(self, frames: Sequence[Frame]) -> list[Look]:
        """Find the faces in one frame each of some cameras."""
        return self._finder.find([self._as_cut(frame) for frame in frames])

    def _as_cut(self, frame: Frame) -> Frame:
        """A picture of another size shows another scene: in pixels of the one before nobody is where they were."""
        last = self._watches[frame.id.camera].last
        return frame if last is None or last.size == frame.size else replace(frame, cut=True)

    def shed(self, step: Step) -> None:
        """Do without these from now on."""
        self._finder.scale = step.scale
        self._step = step

    def wants_picture(self, camera: str) -> bool:
        """Whether a face that is found on this camera would probably be cut out."""
        return self._watches[camera].undecided

    def needs_picture(self, look: Look) -> bool:
        """Whether somebody may have to be cut out of this frame, which came without its picture."""
        watch = self._watches[look.frame.id.camera]
        if look.frame.picture is not None or not look.faces:
            return False
        known = watch.appearances.values()
        at_s = look.frame.captured_at_s
        return (
            look.frame.cut
            or len(look.faces) > len(known)
            or any(self._wants(a, at_s) or watch.doubts(a.track.id) for a in known)
        )

    def _wants(self, appearance: Appearance, at_s: float) -> bool:
        """Whether a good view of this face would be embedded now."""
        return appearance.evidence.wants(1.0, at_s) and not self._spared(appearance)

    def _spared(self, appearance: Appearance) -> bool:
        """Whether this face is not looked at again while there is too much to do."""
        return self._step >= Step.VIEWS and appearance.evidence.sure

    def decide(self, looks: Sequence[Look]) -> list[Event]:
        """Follow, embed and name the faces that were found."""
        seen: dict[str, list[Appearance]] = {}
        events: list[Event] = []
        candidates: list[_Candidate] = []
        for look in looks:
            frame, detections = look.frame, look.faces
            watch = self._watches[frame.id.camera]
            watch.last, watch.found = frame, [d.box for d in detections]
            events += self._update_tracks(watch, frame, detections)
            present = [a for a in watch.appearances.values() if a.track.detection is not None]
            seen[watch.name] = present
            candidates += self._candidates(watch, frame, present)
        self._embed(candidates)
        for name, present in seen.items():
            watch = self._watches[name]
            # By track: a face may have turned out to continue another story.
            tracks = [a.track.id for a in present if a.track.id in watch.appearances]
            events += self._judge.decide(watch, [watch.appearances[track] for track in dict.fromkeys(tracks)])
            self._metrics.tracks.labels(camera=name).set(len(self._watches[name].appearances))
        return events

    def idle(self, camera: str, at_s: float) -> list[Event]:
        """No frame of a camera was looked at for a while: tracks grow old and end."""
        watch = self._watches[camera]
        # The next frame shows a moment a little before now: a tracker that was taken ahead of it could not go back.
        nobody = not watch.appearances and not watch.absent
        if nobody or watch.last is None or at_s - watch.last.captured_at_s < IDLE_AFTER_S:
            return []
        return self._judge.leave(watch, watch.part(watch.tracker.predict(at_s).ended, at_s))

    def end_tracks(self, camera: str) -> list[Event]:
        """The camera is gone, or the worker ends: every face has left."""
        watch = self._watches[camera]
        return self._judge.leave(watch, watch.start_over())

    def gallery_changed(self) -> list[Event]:
        """Weigh every track's views again if the gallery has a new version; embeds nothing."""
        version = self._models.gallery.version
        if version == self._searched_version:
            return []
        self._searched_version = version
        return [event for watch in self._watches.values() for event in self._judge.rescore(watch)]

    def _update_tracks(self, watch: CameraWatch, frame: Frame, detections: Sequence[Detection]) -> list[Event]:
        # Whoever is where somebody was in the scene before is somebody else.
        events = self.end_tracks(watch.name) if frame.cut else []
        size, at_s = frame.size, frame.captured_at_s
        followed = [d for d in detections if not watch.zones.ignores(d.box, size)]
        with self._stage("track"):
            update = watch.tracker.update(followed, at_s)
            watch.follow(update.live, self._epoch)
        for track in update.live:
            if track.detection is not None:
                appearance = watch.appearances[track.id]
                appearance.ledger.faces += 1
                appearance.stay.look(watch.zones.around(track.box, size), at_s)
        return events + self._judge.leave(watch, watch.part(update.ended, at_s))

    def _candidates(self, watch: CameraWatch, frame: Frame, present: Sequence[Appearance]) -> Iterator[_Candidate]:
        for appearance in present:
            detection, evidence = appearance.track.detection, appearance.evidence
            doubted = watch.doubts(appearance.track.id)
            if detection is None or detection.landmarks is None:
                self._refuse(watch, appearance, "skipped", "no_landmarks")
            elif watch.zones.any_included and not appearance.stay.entered_s and not appearance.stay.counted:
                self._refuse(watch, appearance, "skipped", "outside_zones")
            elif not doubted and not evidence.wants(1.0, frame.captured_at_s):
                self._count_face(watch, "skipped", "decided")
            elif self._spared(appearance) and not doubted:
                self._count_face(watch, "skipped", "load")
            elif frame.picture is None:
                self._refuse(watch, appearance, "skipped", "no_picture")
            else:
                with self._stage("align"):
                    chip = cut_chip(frame.picture, detection.landmarks)
                    quality = assess(detection, chip, frame.size, watch.config.detection.min_face_px)
                if quality.usable and not watch.unsure(appearance.track.id):
                    appearance.best_quality = max(appearance.best_quality, quality.score)
                    if self._album is not None:
                        self._album.look(appearance, frame.picture, detection.box, quality.score)
                good = evidence.wants(quality.score, frame.captured_at_s)
                if not quality.usable or not (good or (doubted and quality.score >= watch.policy.min_quality)):
                    self._refuse(watch, appearance, "refused", quality.reason or "low_quality", quality)
                else:
                    portrait = chip
                    if self._alignment != ARCFACE:
                        chip = cut_chip(frame.picture, detection.landmarks, self._alignment)
                    track = appearance.track.id
                    yield _Candidate(track, watch.name, chip, portrait, quality, frame.captured_at_s)

    def _embed(self, candidates: Sequence[_Candidate]) -> None:
        # Undecided faces first, then those that have waited longest for a look.
        def urgency(candidate: _Candidate) -> tuple[bool, float]:
            appearance = self._watches[candidate.camera].appearances[candidate.track]
            return appearance.decided, appearance.evidence.embedded_at_s

        order = sorted(candidates, key=urgency)
        budget = 1 if self._step >= Step.VIEWS else self._budget
        for candidate in order[budget:]:
            self._count_face(self._watches[candidate.camera], "postponed", "budget")
        if chosen := order[:budget]:
            self._embed_batch(chosen)

    def _embed_batch(self, chosen: Sequence[_Candidate]) -> None:
        with self._stage("embed"):
            vectors, confidences = embed_each(self._models.embedder, np.stack([c.chip for c in chosen]))
        self._metrics.batch_size.labels(stage="embed").observe(len(chosen))
        chosen, vectors, confidences = self._sound(chosen, vectors, confidences)
        if not chosen:
            return
        with self._stage("search"):
            matches = self._nearest(vectors, [self._watches[c.camera].scope for c in chosen])
        rated = [with_confidence(c.quality, confidence) for c, confidence in zip(chosen, confidences, strict=True)]
        waiting = self._reunite(chosen, vectors, rated)
        for candidate, vector, quality, found in zip(chosen, vectors, rated, matches, strict=True):
            watch = self._watches[candidate.camera]
            appearance = watch.appearances[candidate.track]
            appearance.ledger.view(candidate.at_s - appearance.started_at_s, quality, found)
            if quality.reason is not None:
                appearance.evidence.waste(candidate.at_s)
                self._count_face(watch, "refused", quality.reason)
            elif (candidate.camera, candidate.track) in waiting:
                self._count_face(watch, "refused", "doubtful")
            else:
                best = found[0] if found else None
                view = View(vector, quality.score, candidate.at_s, best, quality.grey, candidate.portrait)
                appearance.evidence.add(view)
                self._count_face(watch, "embedded", "")

    def _sound(
        self, chosen: Sequence[_Candidate], vectors: NDArray[np.float32], confidences: Sequence[float | None]
    ) -> tuple[Sequence[_Candidate], NDArray[np.float32], Sequence[float | None]]:
        """Without the faces of which the embedder made nothing: they are no evidence."""
        is_sound = [bool(np.isfinite(row).all()) for row in vectors]
        if any(is_sound):
            self._mute.clear()
        if all(is_sound):
            return chosen, vectors, confidences
        for candidate in (c for c, sound in zip(chosen, is_sound, strict=True) if not sound):
            watch = self._watches[candidate.camera]
            appearance = watch.appearances[candidate.track]
            appearance.evidence.waste(candidate.at_s)
            self._refuse(watch, appearance, "refused", "unclear", candidate.quality)
            if not any(is_sound):
                self._note_mute(appearance)
        kept = [i for i, sound in enumerate(is_sound) if sound]
        return [chosen[i] for i in kept], vectors[kept], [confidences[i] for i in kept]

    def _note_mute(self, appearance: Appearance) -> None:
        if self.is_blind:
            return
        self._mute.add(appearance.id)
        if self.is_blind:
            model_id = self._models.embedder.model_id
            logger.error("%s makes nothing of any face, so nobody is known: 'streamd doctor' tries it", model_id)

    def _reunite(
        self, chosen: Sequence[_Candidate], vectors: NDArray[np.float32], rated: Sequence[Quality]
    ) -> set[tuple[str, int]]:
        """Let each camera's faces find the stories that they continue; the views that are not to be counted."""
        views: defaultdict[str, dict[int, NDArray[np.float32]]] = defaultdict(dict)
        for candidate, vector, quality in zip(chosen, vectors, rated, strict=True):
            if quality.reason is None:
                views[candidate.camera][candidate.track] = vector
        scores = self._models.gallery.scores(self._models.embedder.scores)
        return {
            (camera, track) for camera, seen in views.items() for track in self._watches[camera].reunite(seen, scores)
        }

    def _nearest(self, vectors: NDArray[np.float32], scopes: Sequence[Scope]) -> list[list[Match]]:
        """The two nearest people of each vector within its scope; one search per scope."""
        found: list[list[Match]] = [[] for _ in scopes]
        for scope in dict.fromkeys(scopes):
            rows = [i for i, other in enumerate(scopes) if other == scope]
            matches = self._models.gallery.search(vectors[rows], people=2, scope=scope)
            for row, nearest in zip(rows, matches, strict=True):
                found[row] = nearest
        return found

    def _refuse(
        self, watch: CameraWatch, appearance: Appearance, outcome: str, reason: str, quality: Quality | None = None
    ) -> None:
        appearance.ledger.refuse(reason, quality)
        self._count_face(watch, outcome, reason)

    def _count_face(self, watch: CameraWatch, outcome: str, reason: str) -> None:
        self._metrics.faces.labels(camera=watch.name, outcome=outcome, reason=reason).inc()

    @contextmanager
    def _stage(self, stage: str) -> Iterator[None]:
        started_s = time.perf_counter()
        yield
        self._metrics.stage.labels(stage=stage).observe(time.perf_counter() - started_s)
