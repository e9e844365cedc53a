"""Parts of a camera's view: where faces count, where they do not, and how long somebody stood there. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from streamd.domain import Box
from streamd.zoneconfig import Point, ZoneConfig


def contains(polygon: Sequence[Point], x: float, y: float) -> bool:
    """Whether a point lies in a polygon; both in shares of the view (crossing number, Shimrat 1962)."""
    inside = False
    for (x1, y1), (x2, y2) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        if (y1 > y) != (y2 > y) and x < x1 + (y - y1) * (x2 - x1) / (y2 - y1):
            inside = not inside
    return inside


class Zones:
    """The zones of one camera."""

    def __init__(self, zones: Mapping[str, ZoneConfig]) -> None:
        self._included = {name: zone for name, zone in zones.items() if zone.kind == "include"}
        self._excluded = [zone for zone in zones.values() if zone.kind == "exclude"]

    @property
    def any_included(self) -> bool:
        """Whether faces count in some places only."""
        return bool(self._included)

    def ignores(self, box: Box, size: tuple[int, int]) -> bool:
        """Whether a face is where faces are not followed."""
        return any(contains(zone.points, *_centre(box, size)) for zone in self._excluded)

    def around(self, box: Box, size: tuple[int, int]) -> dict[str, float]:
        """The zones that a face stands in, each with the seconds that it must stay.

        Args:
            box: In pixels of the picture.
            size: Width and height of the picture.
        """
        x, y = _centre(box, size)
        return {name: zone.dwell_s for name, zone in self._included.items() if contains(zone.points, x, y)}


def _centre(box: Box, size: tuple[int, int]) -> tuple[float, float]:
    x, y = box.centre
    return x / size[0], y / size[1]


@dataclass(slots=True)
class Stay:
    """Where one face is, and since when."""

    entered_s: dict[str, float] = field(default_factory=dict)
    now: tuple[str, ...] = ()
    """Zones in which it has stayed for long enough, in alphabetical order."""
    counted: bool = False
    """Whether it has been in a zone once."""

    def look(self, around: Mapping[str, float], at_s: float) -> None:
        """The face was seen in these zones (``Zones.around``)."""
        self.entered_s = {name: self.entered_s.get(name, at_s) for name in around}
        self.now = tuple(sorted(name for name, since in self.entered_s.items() if at_s - since >= around[name]))
        self.counted = self.counted or bool(self.now)
