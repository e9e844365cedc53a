"""Zones and masks as the configuration has them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from streamd.configtypes import Seconds, Section, Share

Point = tuple[Share, Share]
Polygon = Annotated[tuple[Point, ...], Field(min_length=3, max_length=100)]


class ZoneConfig(Section):
    """A part of the view."""

    points: Polygon
    """Corners as ``[x, y]`` in shares of the view: ``[0, 0]`` is top left, ``[1, 1]`` bottom right."""
    kind: Literal["include", "exclude"] = "include"
    """With zones of the kind ``include``, only faces count whose middle was in one; with ``exclude``, faces there are
    not followed."""
    dwell_s: Seconds = 0.0
    """How long a face must stay in an ``include`` zone before it is in it."""
