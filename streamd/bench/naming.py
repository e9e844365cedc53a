"""How right names are, by the same rule for a daemon's events and for a loop's frames. Pure.

A name that is borne belongs to the stay whose face is where it was said, and is right if that person has this name.
Where nobody knows the places, it is right if somebody of this name is there at that moment. A name that was borne
already when the clip began again is right if somebody of this name comes while it is borne: a face that is away for
a few seconds keeps its track, and nothing is said when it is back.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields

from streamd.bench.stays import Stay
from streamd.truth import covered

TOLERANCE_S = 0.25
"""By which truth and a look at a frame may be apart."""
NEAR = 1.0
"""A name is a face's if it was said within this many face heights of its middle."""


@dataclass(frozen=True, slots=True)
class Borne:
    """A name, from when until when, and where it was said."""

    name: str
    from_s: float
    to_s: float
    centre: tuple[float, float] | None = None
    """Of the face, in the full picture's pixels, at ``from_s``; None where the name is from before."""


@dataclass(frozen=True, slots=True)
class Naming:
    """Sums, so that those of several clips can be added."""

    stays: int = 0
    """Of enrolled people."""
    named: int = 0
    """Of those, how many got the right name at least once."""
    seconds: float = 0.0
    """In which enrolled people were there."""
    named_s: float = 0.0
    """Of those, in which they bore the right name."""
    false_names: int = 0
    """Wrong names, each once for each stay (or for nobody), however often it was given."""
    false_s: float = 0.0
    """In which somebody, or nobody, bore a wrong name."""

    def __add__(self, other: Naming) -> Naming:
        return Naming(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def recall_stays(self) -> float | None:
        return self.named / self.stays if self.stays else None

    @property
    def recall_seconds(self) -> float | None:
        return self.named_s / self.seconds if self.seconds else None


def judge(borne: Sequence[Borne], stays: Sequence[Stay]) -> Naming:
    """The names given in one clip against who was there."""
    right: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)
    wrong: defaultdict[tuple[int | None, str], list[tuple[float, float]]] = defaultdict(list)
    for each in borne:
        owner = _owner(each, stays)
        if owner is not None and stays[owner].label == each.name:
            right[owner].append((each.from_s, each.to_s))
        else:
            wrong[owner, each.name].append((each.from_s, each.to_s))
    known = {number: stay for number, stay in enumerate(stays) if stay.enrolled}
    return Naming(
        stays=len(known),
        named=sum(bool(right[number]) for number in known),
        seconds=sum(stay.end_s - stay.start_s for stay in known.values()),
        named_s=sum(covered(stay.start_s, stay.end_s, right[number]) for number, stay in known.items()),
        false_names=len(wrong),
        false_s=sum(covered(-math.inf, math.inf, spans) for spans in wrong.values()),
    )


def _owner(borne: Borne, stays: Sequence[Stay]) -> int | None:
    """Whose name it is, by place; where places are unknown, somebody's of that name, or anybody's who is there."""
    until_s = borne.from_s if borne.centre is not None else borne.to_s
    there = {
        number: stay
        for number, stay in enumerate(stays)
        if stay.start_s - TOLERANCE_S <= until_s and borne.from_s <= stay.end_s + TOLERANCE_S
    }
    if borne.centre is not None and all(stay.way is not None for stay in there.values()):
        distances = {number: _distance(borne, stay) for number, stay in there.items()}
        nearest = min(distances, key=lambda number: distances[number], default=None)
        return nearest if nearest is not None and distances[nearest] <= NEAR else None
    namesakes = [number for number, stay in there.items() if stay.label == borne.name]
    return next(iter(namesakes or there), None)


def _distance(borne: Borne, stay: Stay) -> float:
    """In face heights."""
    place = stay.place(borne.from_s)
    if place is None or borne.centre is None:
        return math.inf
    return math.hypot(place.x - borne.centre[0], place.y - borne.centre[1]) / place.face_px
