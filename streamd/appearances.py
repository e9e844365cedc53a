"""One face's story on one camera, told as events: appeared, then a verdict, perhaps revised, then left. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streamd.domain import Box, Decision, Frame, Identity, Match, Track, Verdict
from streamd.events import Event, EventType, EvidenceFields, PersonFields, new_id, timestamp
from streamd.ledger import Ledger
from streamd.recognition import Evidence
from streamd.zones import Stay

if TYPE_CHECKING:
    from streamd.domain import Image


@dataclass(frozen=True, slots=True)
class Moment:
    """The frame that an event rests on, and the clocks when it was decided."""

    frame: Frame
    decided_at_s: float
    """Monotonic."""
    decided_wall_s: float
    gallery_version: int
    model: str

    @property
    def camera(self) -> str:
        return self.frame.id.camera


@dataclass(slots=True)
class Appearance:
    """A track, its evidence, and what has been told of it."""

    id: str
    track: Track
    evidence: Evidence
    appeared: bool = False
    told: Decision = field(default_factory=lambda: Decision(Verdict.PENDING))
    verdict_event: str | None = None
    """Id of the event that told the verdict that holds."""
    best_quality: float = 0.0
    stranger: str | None = None
    """Who it is where it is nobody known: an id that stays the same from one appearance to the next."""
    zoned: bool = False
    """Whether its camera has zones."""
    stay: Stay = field(default_factory=Stay)
    ledger: Ledger = field(default_factory=Ledger)
    standard: dict[str, float] = field(default_factory=dict)
    """What it had to reach, as of the last verdict."""
    weighed: Decision | None = None
    """What its own evidence says."""
    weighed_at: tuple[int, int] = (0, 0)
    """Of the evidence and of the gallery, when that was weighed."""
    portrait: Image | None = None
    """The best picture of the face so far, for people to look at."""
    portrait_quality: float = 0.0
    portrait_name: str | None = None
    """What that picture is called, once it is kept."""
    told_at: int = 0
    """Version of the gallery when the verdict that holds was told."""
    forgotten: bool = False
    """Whether it is somebody who was forgotten meanwhile: no stranger's id is given to them in this appearance."""
    muted: bool = False
    """Whether it is somebody who is to be ignored: nothing more is told."""

    started_at_s: float = field(init=False)
    """When the face was first seen."""
    _zones_told: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.started_at_s = self.track.started_at_s

    @property
    def decided(self) -> bool:
        return self.told.verdict is not Verdict.PENDING

    @property
    def state(self) -> str:
        """``appeared tentative identified unknown``: what is held of the face now."""
        if self.told.identity is not None:
            return "identified"
        if self.decided:
            return "unknown"
        return "tentative" if self.evidence.views else "appeared"

    def differs(self, decision: Decision) -> bool:
        """Whether a decision calls for a verdict, or its correction."""
        return _differs(decision, self.told)

    def go_on(self, later: Appearance) -> None:
        """The face came back, or was found again, and was taken for a new one."""
        counted = self.stay.counted
        self.track, self.stay = later.track, later.stay
        self.stay.counted = self.stay.counted or counted
        self.ledger.faces += later.ledger.faces
        self.ledger.refused += later.ledger.refused

    def forget(self) -> None:
        """It is somebody who is to be forgotten: what follows brings no id and no picture from before."""
        self.forgotten, self.stranger = True, None
        self.portrait, self.portrait_name, self.portrait_quality = None, None, 0.0

    def tell(self, decision: Decision, moment: Moment, *, hold: bool = False) -> list[Event]:
        """The events that this decision calls for: none, the verdict, or its correction.

        ``hold`` keeps the appearance of an undecided face back: it may be somebody who is to be ignored.
        """
        events: list[Event] = []
        if self.muted or (hold and decision.verdict is Verdict.PENDING):
            return events
        if not self.appeared and (self.track.confirmed or decision.verdict is Verdict.KNOWN):
            self.appeared = True
            events.append(self._event(EventType.FACE_APPEARED, moment))
        if self.appeared and _differs(decision, self.told):
            events.append(self._verdict(decision, moment))
        if self.appeared and self.stay.now != self._zones_told and not events:
            events.append(self._event(EventType.FACE_MOVED, moment, decision=self.told))
        self._zones_told = self.stay.now
        return events

    def leave(self, moment: Moment) -> list[Event]:
        """The face is gone."""
        if not self.appeared:
            return []
        seconds = round(self.track.seen_at_s - self.started_at_s, 3)
        evidence: EvidenceFields = {"seconds": seconds, "views": len(self.evidence.views)}
        return [self._event(EventType.FACE_LEFT, moment, decision=self.told, evidence=evidence)]

    def _verdict(self, decision: Decision, moment: Moment) -> Event:
        kind = _kind(decision, self.told)
        evidence: EvidenceFields = {"views": decision.views}
        if decision.identity is None and decision.best is not None:
            evidence["best"] = _rounded(decision.best.similarity)
        if decision.verdict is Verdict.AMBIGUOUS:
            evidence["ambiguous"] = True
        event = self._event(kind, moment, decision=decision, evidence=evidence, revises=self.verdict_event)
        self.told, self.told_at = decision, moment.gallery_version
        self.verdict_event = event.id
        return event

    def _event(
        self,
        kind: EventType,
        moment: Moment,
        *,
        decision: Decision | None = None,
        evidence: EvidenceFields | None = None,
        revises: str | None = None,
    ) -> Event:
        frame = moment.frame
        latency_s = max(0.0, moment.decided_at_s - self.started_at_s)
        accounted = kind not in (EventType.FACE_APPEARED, EventType.FACE_MOVED)
        return Event(
            type=kind,
            camera=moment.camera,
            at=timestamp(moment.decided_wall_s),
            id=new_id(),
            track=self.id,
            identity=_identity(decision.identity) if decision and decision.identity else None,
            runner_up=_match(decision.runner_up) if decision and decision.runner_up else None,
            evidence=evidence,
            revises=revises,
            stranger=None if decision is None or decision.identity else self.stranger,
            zones=list(self.stay.now) if self.zoned else None,
            account={**self.ledger.as_json(), "needed": self.standard} if accounted else None,
            quality=_rounded(self.best_quality) if self.best_quality else None,
            box=_pixels(self.track.box, frame.size),
            frame={
                "epoch": frame.id.epoch,
                "seq": frame.id.seq,
                "size": list(frame.size),
                "at": timestamp(frame.captured_wall_s),
            },
            gallery_version=moment.gallery_version,
            model=moment.model,
            latency_ms=None if kind in (EventType.FACE_LEFT, EventType.FACE_MOVED) else round(latency_s * 1000),
        )


def _kind(decision: Decision, told: Decision) -> EventType:
    """A name given is ``identified``, also after ``unknown``; a name taken back or exchanged is ``revised``."""
    if told.identity is not None:
        return EventType.FACE_REVISED
    return EventType.FACE_IDENTIFIED if decision.identity else EventType.FACE_UNKNOWN


def _differs(decision: Decision, told: Decision) -> bool:
    if decision.verdict is Verdict.PENDING:
        return False
    return told.verdict is Verdict.PENDING or _person(decision) != _person(told)


def _person(decision: Decision) -> str | None:
    return decision.identity.person_id if decision.identity else None


def _identity(identity: Identity) -> PersonFields:
    return {
        "id": identity.person_id,
        "name": identity.name,
        "similarity": _rounded(identity.similarity),
        "threshold": _rounded(identity.threshold),
        "margin": _rounded(identity.margin),
        "probability": _rounded(identity.probability),
    }


def _match(match: Match) -> PersonFields:
    return {"id": match.person_id, "name": match.name, "similarity": _rounded(match.similarity)}


def _rounded(value: float) -> float:
    return round(float(value), 4)


def _pixels(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Whole pixels inside the picture."""
    width, height = size
    x1, y1 = min(width, max(0, round(box.x1))), min(height, max(0, round(box.y1)))
    return x1, y1, max(x1, min(width, round(box.x2))), max(y1, min(height, round(box.y2)))
