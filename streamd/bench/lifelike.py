"""The daemon on repeated clips: what all its processes cost, and which names it gave at which moment of a clip."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from streamd.bench.daemon import running, write_config
from streamd.bench.naming import Borne
from streamd.configfile import load_config
from streamd.errors import UnavailableError
from streamd.events import Event
from streamd.journal import Journal
from streamd.truth import claims

WARM_UP_S = 8.0
_EVENTS = 100_000


@dataclass(frozen=True, slots=True)
class Lived:
    """A whole number of passes through the longest clip."""

    cpu_s: float
    seconds: float
    borne: list[list[Borne]]
    """By clip: the names of one whole pass, in the clip's time."""
    resident_mb: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What is played to it."""

    clips: Sequence[Path]
    """Each several times in a row, without a seam."""
    seconds: Sequence[float]
    """After which each of them begins again."""
    settings: Mapping[str, Any] = field(default_factory=dict)


def live(plan: Plan, gallery: Path, *, models: Path) -> Lived:
    """One camera a clip, in real time, twice through the longest: after a warm-up each clip is seen whole at least
    once. Raises UnavailableError where the daemon does not start, or a clip does not play.
    """
    cameras = {f"cam{number:02}": clip for number, clip in enumerate(plan.clips)}
    # The log has the moment of each camera's first frame, from which its place in the clip follows.
    settings = {**plan.settings, "log.level": "info", "log.format": "json"}
    with tempfile.TemporaryDirectory(prefix="streamd-bench-") as name:
        folder = Path(name)
        config = write_config(folder, cameras, gallery, models=models, settings=settings)
        with running(config, folder) as daemon:
            time.sleep(WARM_UP_S)
            began_s, before_s, from_wall_s = time.monotonic(), daemon.cpu_s(), time.time()
            time.sleep(2 * max(plan.seconds))
            used_s, seconds = daemon.cpu_s() - before_s, time.monotonic() - began_s
            resident = daemon.scrape().total("streamd_process_resident_bytes") / 1e6
        first_s = first_frames(daemon.log.read_text(errors="replace"))
        if lost := sorted(cameras.keys() - first_s.keys()):
            raise UnavailableError(f"{cameras[lost[0]]}: was not played")
        with Journal(load_config(config).journal_file, read_only=True) as journal:
            events = [Event.from_json(row.body) for row in journal.since(0, _EVENTS)]
    borne = []
    for camera, length_s in zip(cameras, plan.seconds, strict=True):
        own = [event for event in events if event.camera == camera]
        borne.append(one_pass(told(own, first_s[camera]), length_s, not_before_s=from_wall_s - first_s[camera]))
    return Lived(used_s, seconds, borne, round(resident, 1))


def first_frames(log: str) -> dict[str, float]:
    """When each camera's first frame came, in Unix seconds."""
    found: dict[str, float] = {}
    for line in log.splitlines():
        if not line.startswith("{"):
            continue
        row = json.loads(line)
        role, _, camera = row["role"].partition("@")
        if role == "capture" and row["logger"] == "streamd.reading" and row["level"] == "info":
            found.setdefault(camera, _wall_s(row["at"]))
    return found


def told(events: Sequence[Event], first_wall_s: float) -> list[Borne]:
    """The names of one camera's events, from the decision until the face was last seen; seconds since its first
    frame."""
    timed = [(_wall_s(event.at) - first_wall_s, event) for event in events]
    centres = {
        (event.track, at_s): ((event.box[0] + event.box[2]) / 2, (event.box[1] + event.box[3]) / 2)
        for at_s, event in timed
        if event.box is not None
    }
    return [
        Borne(claim.name, claim.from_s, claim.to_s, centres.get((claim.track, claim.from_s))) for claim in claims(timed)
    ]


def one_pass(borne: Sequence[Borne], length_s: float, *, not_before_s: float) -> list[Borne]:
    """The names of the first whole pass that begins after ``not_before_s``, in the clip's own time."""
    start_s = length_s * math.ceil(max(0.0, not_before_s) / length_s)
    inside = [b for b in borne if b.from_s < start_s + length_s and b.to_s > start_s]
    return [_shifted(b, start_s, length_s) for b in inside]


def _shifted(borne: Borne, start_s: float, length_s: float) -> Borne:
    from_s, to_s = borne.from_s - start_s, min(length_s, borne.to_s - start_s)
    # A name from the pass before was given elsewhere.
    return replace(borne, from_s=max(0.0, from_s), to_s=to_s, centre=borne.centre if from_s >= 0 else None)


def _wall_s(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()
