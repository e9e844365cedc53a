"""Who is in a clip when, and, of made-up streams, where: the truth that names are judged by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from streamd.bench.streams import Scene
from streamd.demo.setup import ENROLLED
from streamd.truth import read_truth

SHOWN: Mapping[str, str] = {
    "obama.jpg": "Barack Obama",
    "obama2.jpg": "Barack Obama",
    "obama3.jpg": "Barack Obama",
    "astronaut.png": "Eileen Collins",
    "biden.jpg": "Joe Biden",
    "carphone_pristine.mp4": "the man of Carphone",
}
"""Whom each of the demonstration's files shows."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a face is in the full picture."""

    x: float
    y: float
    face_px: float
    """Its height."""

    def towards(self, other: Place, share: float) -> Place:
        """The place when this share of the way is gone."""
        return Place(*(a + share * (b - a) for a, b in zip(self._all(), other._all(), strict=True)))

    def _all(self) -> tuple[float, float, float]:
        return self.x, self.y, self.face_px


@dataclass(frozen=True, slots=True)
class Stay:
    """Somebody's face can be seen."""

    label: str
    enrolled: bool
    start_s: float
    end_s: float
    way: tuple[Place, Place] | None = None
    """Where it is at the beginning and at the end, in a straight line between; None where that is not known."""

    def place(self, at_s: float) -> Place | None:
        if self.way is None:
            return None
        share = (at_s - self.start_s) / max(1e-9, self.end_s - self.start_s)
        return self.way[0].towards(self.way[1], min(1.0, max(0.0, share)))

    def until(self, end_s: float) -> Stay:
        """What is left of it in a clip that ends at ``end_s``."""
        if self.end_s <= end_s:
            return self
        last = self.place(end_s)
        way = None if self.way is None or last is None else (self.way[0], last)
        return replace(self, end_s=end_s, way=way)


def scene_stays(scene: Scene, variant: int) -> list[Stay]:
    """Those of one of the bench's streams."""
    found = []
    for visit in scene.visits(variant):
        label = SHOWN[visit.file]
        first, last = (
            Place(x * scene.width, y * scene.height, px) for (x, y), px in zip(visit.way, visit.face_px, strict=True)
        )
        end_s = visit.start_s + visit.seconds
        found.append(Stay(label, label in ENROLLED, visit.start_s, end_s, (first, last)))
    return found


def recorded_stays(truth: Path) -> list[Stay]:
    """Those of a file as ``streamd replay --truth`` takes it. Raises UsageError."""
    return [Stay(p.label, p.enrolled, p.start_s, p.end_s) for p in read_truth(truth)]


def within(stays: Sequence[Stay], end_s: float) -> list[Stay]:
    """Those that begin before ``end_s``, cut there."""
    return [stay.until(end_s) for stay in stays if stay.start_s < end_s]
