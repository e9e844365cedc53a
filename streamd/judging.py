"""From evidence to events: who each face of a camera is, what that changes, and what is told of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from streamd.album import Album, Scene
from streamd.appearances import Appearance, Moment
from streamd.domain import Decision, Frame, Verdict
from streamd.events import Event, EventType
from streamd.gallery.strangerbook import Look, StrangerBook
from streamd.interfaces import Embedder, Gallery
from streamd.metrics import Metrics
from streamd.recognition import Evidence, one_place_each
from streamd.standard import Standard
from streamd.watch import CameraWatch

HELD_S = 3.0
"""Where somebody is to be ignored, a face is told of once it is decided, or after this long."""
AWAITED_S = 1.0
"""Where somebody may come back, a new face is told of once it was looked at well, or after this long."""


class Judge:
    """Decides over the faces of one camera together."""

    def __init__(
        self,
        gallery: Gallery,
        embedder: Embedder,
        strangers: StrangerBook | None,
        *,
        metrics: Metrics,
        album: Album | None,
        wall_s: Callable[[], float],
        monotonic_s: Callable[[], float],
    ) -> None:
        self._gallery = gallery
        self._embedder = embedder
        self._strangers = strangers
        self._metrics = metrics
        self._album = album
        self._wall_s = wall_s
        self._monotonic_s = monotonic_s

    def decide(self, watch: CameraWatch, present: Sequence[Appearance]) -> list[Event]:
        """Weigh the evidence of the faces of one frame together."""
        if watch.last is None:
            return []
        self._weigh(watch, [a for a in present if a.evidence.views])
        events: list[Event] = []
        moment = self._moment(watch.last)
        decisions = one_place_each({a.track.id: a.evidence.decision for a in present})
        for track, decision in decisions.items():
            appearance = watch.appearances[track]
            appearance.evidence.decision = decision
            if self._is_forgotten(appearance, decision):
                appearance.forget()
            self._recognise_stranger(watch, appearance, decision)
            if not appearance.appeared and watch.absent:
                person = decision.identity.person_id if decision.identity else None
                watch.recall(track, person=person, stranger=appearance.stranger)
                appearance = watch.appearances[track]
                appearance.evidence.decision = decision
            events += self._told(watch, appearance, decision, moment)
        return events

    def rescore(self, watch: CameraWatch) -> list[Event]:
        """The gallery changed: weigh every track's views again; embeds nothing."""
        vanished = [a for a in watch.absent if not self._is_still_known(watch, a)]
        watch.no_longer(vanished)
        events = self.leave(watch, vanished)
        concerned = [a for a in watch.appearances.values() if a.evidence.views]
        if not concerned or watch.last is None:
            return events
        for appearance in concerned:
            vectors = np.stack([v.vector for v in appearance.evidence.views])
            found = self._gallery.search(vectors, people=1, scope=watch.scope)
            appearance.evidence.rescore([f[0] if f else None for f in found])
            _forget_vanished(appearance.evidence)
        return events + self.decide(watch, concerned)

    def _is_still_known(self, watch: CameraWatch, absent: Appearance) -> bool:
        """Whether the name that somebody left with is still theirs; without a name there is nothing to lose."""
        if absent.told.identity is None:
            return True
        found = self._gallery.search(absent.evidence.fused()[None], people=2, scope=watch.scope)[0]
        return any(match.person_id == absent.told.identity.person_id for match in found)

    def leave(self, watch: CameraWatch, gone: Sequence[Appearance]) -> list[Event]:
        """These have left."""
        events: list[Event] = []
        for appearance in gone:
            if watch.last is None:
                continue
            if appearance.appeared and not appearance.decided:
                self._metrics.verdicts.labels(camera=watch.name, result="none").inc()
            moment = self._moment(watch.last)
            appearance.standard = self._demands(watch, appearance)
            if self._is_forgotten(appearance, appearance.told):
                appearance.forget()
            events += [self._illustrated(e, appearance, watch) for e in appearance.leave(moment)]
        self._metrics.tracks.labels(camera=watch.name).set(len(watch.appearances))
        return events

    def _is_forgotten(self, appearance: Appearance, decision: Decision) -> bool:
        """Whether the stranger whose id a face has was forgotten, or its name is not in the gallery any more."""
        if appearance.stranger is not None:
            return self._strangers is not None and self._strangers.is_forgotten(appearance.stranger)
        told = appearance.told.identity
        if told is None or decision.identity is not None or appearance.told_at == self._gallery.version:
            return False
        near = {match.person_id for match in (decision.best, decision.runner_up) if match is not None}
        return decision.verdict is not Verdict.PENDING and told.person_id not in near

    def _recognise_stranger(self, watch: CameraWatch, appearance: Appearance, decision: Decision) -> None:
        """Who it is where it is nobody known: a stranger seen before, a new one, or somebody to be ignored."""
        book, views = self._strangers, appearance.evidence.views
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
        if appearance.forgotten:
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
        """Decide over the faces of which there are new views, or for which the gallery changed."""
        version = self._gallery.version
        stale = []
        for appearance in appearances:
            if appearance.weighed is None or appearance.weighed_at != (appearance.evidence.changes, version):
                stale.append(appearance)
            else:
                # Not what was left of it beside other faces, which had the better claim to a name.
                appearance.evidence.decision = appearance.weighed
        self._weigh_anew(watch, stale)
        for appearance in stale:
            appearance.weighed = appearance.evidence.decision
            appearance.weighed_at = (appearance.evidence.changes, version)

    def _weigh_anew(self, watch: CameraWatch, appearances: Sequence[Appearance]) -> None:
        if not appearances:
            return
        fused: NDArray[np.float32] = np.stack([a.evidence.fused() for a in appearances])
        started_s = time.perf_counter()
        matches = self._gallery.search(fused, people=2, scope=watch.scope)
        self._metrics.stage.labels(stage="search").observe(time.perf_counter() - started_s)
        standard = self._standard(watch)
        for appearance, found in zip(appearances, matches, strict=True):
            appearance.evidence.decide(found, standard)

    def _standard(self, watch: CameraWatch) -> Standard:
        """What a similarity must reach on this camera, with the gallery as it is now."""
        recognition = watch.config.recognition
        return Standard(
            scores=self._gallery.scores(self._embedder.scores),
            target_far=recognition.target_far,
            margin=recognition.margin,
            population=self._gallery.population(watch.scope),
            fixed=recognition.threshold,
            nearest_other=self._gallery.nearest_other,
        )

    def _demands(self, watch: CameraWatch, appearance: Appearance) -> dict[str, float]:
        """What a face had to reach, for its account."""
        standard = self._standard(watch)
        return {
            "threshold": round(standard.threshold(grey=appearance.evidence.grey), 4),
            "margin": round(standard.least_margin, 4),
            "min_views": watch.policy.min_views,
            "min_quality": watch.policy.min_quality,
            "min_face_px": watch.config.detection.min_face_px,
            "people": standard.population.people,
        }

    def _told(self, watch: CameraWatch, appearance: Appearance, decision: Decision, moment: Moment) -> list[Event]:
        if watch.zones.any_included and not appearance.stay.counted:
            return []
        first = not appearance.decided
        waited_s = moment.decided_at_s - appearance.track.started_at_s
        hold = self._strangers is not None and self._strangers.any_ignored and waited_s < HELD_S
        hold = hold or (watch.awaits and not appearance.evidence.views and waited_s < AWAITED_S)
        if appearance.differs(decision):
            appearance.standard = self._demands(watch, appearance)
        events = appearance.tell(decision, moment, hold=hold)
        for event in events:
            if event.type is EventType.FACE_IDENTIFIED and first:
                self._metrics.time_to_identity.labels(camera=watch.name).observe(max(0.0, waited_s))
            if event.type not in (EventType.FACE_APPEARED, EventType.FACE_MOVED):
                result = event.type.value.partition(".")[2]
                self._metrics.verdicts.labels(camera=watch.name, result=result).inc()
                self._count_sureness(watch.name, result, event)
        return [self._illustrated(event, appearance, watch) for event in events]

    def _count_sureness(self, camera: str, result: str, event: Event) -> None:
        identity, evidence = event.identity or {}, event.evidence or {}
        similarity = identity.get("similarity", evidence.get("best"))
        if similarity is not None:
            self._metrics.similarity.labels(camera=camera, result=result).observe(similarity)
        if "margin" in identity:
            self._metrics.margin.labels(camera=camera).observe(identity["margin"])
        if "probability" in identity:
            self._metrics.probability.labels(camera=camera).observe(identity["probability"])

    def _illustrated(self, event: Event, appearance: Appearance, watch: CameraWatch) -> Event:
        if self._album is None or watch.last is None:
            return event
        scene = Scene(watch.last, list(watch.appearances.values()), watch.found)
        return self._album.illustrate(event, appearance, scene)

    def _moment(self, frame: Frame) -> Moment:
        version, model = self._gallery.version, self._embedder.model_id
        return Moment(frame, self._monotonic_s(), self._wall_s(), version, model)


def _forget_vanished(evidence: Evidence) -> None:
    """A verdict over a gallery that has changed is weighed afresh: nobody keeps a name by habit."""
    if evidence.decision.verdict is not Verdict.PENDING:
        evidence.decision = replace(evidence.decision, identity=None)
