"""What is drawn over a camera's picture: the faces of one look, and where they are between two looks. Pure."""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from streamd.domain import Box
from streamd.errors import ProtocolError

State = Literal["known", "unknown", "deciding"]
STATES: tuple[State, ...] = get_args(State)

HOLD_S = 0.7
"""A box is shown this long after its look where no later look came."""
AHEAD_S = 0.15
"""Until the next look is known a box goes on for so long as it was going."""
KEPT = 32
"""Looks remembered: some seconds."""
LEAST_DELAY_S, MOST_DELAY_S = 0.06, 0.2
"""Pictures are shown this much after they were taken, so that the boxes of the next look are there."""
SLEW = 0.1
"""The delay changes by this many seconds a second: less than anybody sees."""
FORGET = 0.1
"""How fast a longer wait is forgotten, per look."""


@dataclass(frozen=True, slots=True)
class FaceMark:
    """A followed face, for people to look at."""

    track: str
    box: Box
    """In full-resolution pixels."""
    state: State
    name: str | None
    stranger: str | None
    reason: str
    """Name and similarity, the stranger's id, or why there is no verdict yet, in a few words."""

    def as_json(self) -> dict[str, Any]:
        box = [round(side, 1) for side in (self.box.x1, self.box.y1, self.box.x2, self.box.y2)]
        return {
            "track": self.track,
            "box": box,
            "state": self.state,
            "name": self.name,
            "stranger": self.stranger,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Overlay:
    """The faces of one look at a camera."""

    camera: str
    epoch: str
    seq: int
    at_s: float
    """Monotonic seconds at which the frame was taken."""
    wall_s: float
    size: tuple[int, int]
    """Width and height in full-resolution pixels."""
    faces: tuple[FaceMark, ...]

    def to_parts(self) -> list[bytes]:
        """Topic and body."""
        body = {
            "epoch": self.epoch,
            "seq": self.seq,
            "at": self.at_s,
            "wall": self.wall_s,
            "size": list(self.size),
            "faces": [face.as_json() for face in self.faces],
        }
        return [topic(self.camera), json.dumps(body, separators=(",", ":"), allow_nan=False).encode()]

    @classmethod
    def from_parts(cls, parts: list[bytes]) -> Overlay:
        """Raises ProtocolError on anything that ``to_parts`` did not make."""
        try:
            name, body = parts[0].decode(), json.loads(parts[1])
            width, height = body["size"]
            return cls(
                name.removesuffix("/"),
                str(body["epoch"]),
                int(body["seq"]),
                float(body["at"]),
                float(body["wall"]),
                (int(width), int(height)),
                tuple(_mark(face) for face in body["faces"]),
            )
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise ProtocolError(f"not an overlay: {type(error).__name__}: {error}") from error


def topic(camera: str) -> bytes:
    """What a camera's overlays begin with; no camera's is the beginning of another's."""
    return f"{camera}/".encode()


def _mark(face: dict[str, Any]) -> FaceMark:
    if face["state"] not in STATES:
        raise ValueError(f"state {face['state']!r}")
    box = Box(*map(float, face["box"]))
    return FaceMark(str(face["track"]), box, face["state"], face["name"], face["stranger"], str(face["reason"]))


class Timeline:
    """The looks at one camera, and what to draw at any moment."""

    def __init__(self) -> None:
        self._looks: deque[Overlay] = deque(maxlen=KEPT)

    @property
    def newest(self) -> Overlay | None:
        return self._looks[-1] if self._looks else None

    def add(self, overlay: Overlay) -> None:
        """A look; those of another run of the camera are forgotten, and one that comes out of order is left out."""
        if self._looks and self._looks[-1].epoch != overlay.epoch:
            self._looks.clear()
        if not self._looks or overlay.at_s > self._looks[-1].at_s:
            self._looks.append(overlay)

    def at(self, at_s: float) -> tuple[FaceMark, ...]:
        """The faces at a moment, each where it was on its way from the look before to the look after."""
        index = bisect_right(self._looks, at_s, key=lambda look: look.at_s)
        if index == 0:
            return ()
        before = self._looks[index - 1]
        if index < len(self._looks):
            return tuple(_between(before, self._looks[index], at_s))
        if at_s - before.at_s > HOLD_S:
            return ()
        return tuple(_beyond(self._looks[index - 2], before, at_s)) if index > 1 else before.faces


def _between(before: Overlay, after: Overlay, at_s: float) -> Iterator[FaceMark]:
    share = (at_s - before.at_s) / (after.at_s - before.at_s)
    later = {face.track: face for face in after.faces} if before.size == after.size else {}
    for face in before.faces:
        if goal := later.get(face.track):
            yield replace(face, box=_mixed(face.box, goal.box, share))
        elif share < 0.5 and at_s - before.at_s <= HOLD_S:
            yield face


def _beyond(prior: Overlay, last: Overlay, at_s: float) -> Iterator[FaceMark]:
    """After the last look: a little further on the way that each face was on."""
    apart_s = last.at_s - prior.at_s
    ahead_s = min(at_s - last.at_s, AHEAD_S)
    near = prior.size == last.size and apart_s <= HOLD_S
    earlier = {face.track: face for face in prior.faces} if near else {}
    for face in last.faces:
        origin = earlier.get(face.track)
        yield replace(face, box=_mixed(origin.box, face.box, 1 + ahead_s / apart_s)) if origin else face


def _mixed(one: Box, other: Box, share: float) -> Box:
    def mix(a: float, b: float) -> float:
        return a + (b - a) * share

    return Box(mix(one.x1, other.x1), mix(one.y1, other.y1), mix(one.x2, other.x2), mix(one.y2, other.y2))


class ShowDelay:
    """How long a picture is held back so that its boxes are known: as long as looks take of late, within bounds."""

    def __init__(self) -> None:
        self._needed_s = LEAST_DELAY_S
        self._delay_s = LEAST_DELAY_S
        self._before: Overlay | None = None
        self._changed_at_s = -math.inf

    def looked(self, overlay: Overlay, now_s: float) -> None:
        """A look became known: pictures since the look before had to wait for it."""
        before, self._before = self._before, overlay
        needed_s = LEAST_DELAY_S
        if before is not None and before.faces and overlay.faces and before.epoch == overlay.epoch:
            needed_s = now_s - before.at_s
        fading_s = self._needed_s + (needed_s - self._needed_s) * FORGET
        self._needed_s = min(MOST_DELAY_S, max(LEAST_DELAY_S, needed_s, fading_s))

    def now(self, now_s: float) -> float:
        """Seconds."""
        step_s = SLEW * min(1.0, max(0.0, now_s - self._changed_at_s))
        self._changed_at_s = now_s
        self._delay_s += min(step_s, max(-step_s, self._needed_s - self._delay_s))
        return self._delay_s
