"""How right the names were: events compared with who was there. Pure but for reading the file.

A *claim* is a stretch of time during which a track bore a name, from the event that gave it to the moment when the face
was last seen, or when the name was taken back.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

from streamd.errors import UsageError
from streamd.events import Event, EventType

TOLERANCE_S = 0.25
"""By which truth and a look at a frame may be apart."""
_COLUMNS = ("label", "enrolled", "start_s", "end_s")


@dataclass(frozen=True, slots=True)
class Presence:
    """Somebody's face could be seen."""

    label: str
    enrolled: bool
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Claim:
    track: str
    name: str
    from_s: float
    to_s: float


@dataclass(frozen=True, slots=True)
class Score:
    """None where nothing was there to be judged."""

    precision: float | None
    """Of the seconds in which somebody bore a name, the share in which that person was there."""
    recall: float | None
    """Of the seconds in which enrolled people were there, the share in which they bore their name."""
    false_names: int
    """Names given while that person was not there."""
    id_switches: int
    """Tracks' changes from one name to another."""
    time_to_identity_p50_s: float | None
    time_to_identity_p95_s: float | None
    presences: int
    """Of enrolled people."""
    identified: int
    """Of those, how many got the right name."""


def read_truth(path: Path) -> list[Presence]:
    """A CSV file with the columns label, enrolled (0 or 1), start_s, end_s; others are ignored. Raises UsageError."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [c for c in _COLUMNS if c not in (reader.fieldnames or [])]
            if missing:
                raise UsageError(f"{path}: no column {', '.join(missing)}; needed are {', '.join(_COLUMNS)}")
            return [_presence(row, f"{path}:{reader.line_num}") for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: cannot be read as CSV ({error})") from error


def _presence(row: dict[str, str], where: str) -> Presence:
    try:
        found = Presence(row["label"], bool(int(row["enrolled"])), float(row["start_s"]), float(row["end_s"]))
    except (TypeError, ValueError) as error:
        raise UsageError(f"{where}: {error}") from error
    if not found.start_s <= found.end_s:
        raise UsageError(f"{where}: ends ({found.end_s:g}) before it starts ({found.start_s:g})")
    return found


def claims(told: Iterable[tuple[float, Event]]) -> list[Claim]:
    """Who bore which name when; the events in order, with their times."""
    found: list[Claim] = []
    names: dict[str, tuple[str, float]] = {}
    started: dict[str, float] = {}
    for at_s, event in told:
        track = event.track
        if track is None:
            continue
        started.setdefault(track, at_s - (event.latency_ms or 0) / 1000)
        if event.type in (EventType.FACE_IDENTIFIED, EventType.FACE_REVISED, EventType.FACE_UNKNOWN):
            if track in names:
                name, from_s = names.pop(track)
                found.append(Claim(track, name, from_s, at_s))
            if event.identity is not None:
                names[track] = (str(event.identity["name"]), at_s)
        elif event.type is EventType.FACE_LEFT and track in names:
            name, from_s = names.pop(track)
            seen_s = started[track] + float((event.evidence or {}).get("seconds", 0.0))
            found.append(Claim(track, name, from_s, max(from_s, seen_s)))
    return found


def score(made: Sequence[Claim], truth: Sequence[Presence]) -> Score:
    """Claims of one file against its truth."""
    spans: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for there in truth:
        spans[there.label].append((there.start_s - TOLERANCE_S, there.end_s + TOLERANCE_S))
    claimed_s = sum(c.to_s - c.from_s for c in made)
    right_s = sum(covered(c.from_s, c.to_s, spans[c.name]) for c in made)
    named: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for claim in made:
        named[claim.name].append((claim.from_s, claim.to_s))
    enrolled = [p for p in truth if p.enrolled]
    there_s = sum(p.end_s - p.start_s for p in enrolled)
    found_s = sum(covered(p.start_s, p.end_s, named[p.label]) for p in enrolled)
    waits = [w for p in enrolled if (w := _wait(p, named[p.label])) is not None]
    return Score(
        precision=right_s / claimed_s if claimed_s else None,
        recall=found_s / there_s if there_s else None,
        false_names=sum(not any(a <= c.from_s <= b for a, b in spans[c.name]) for c in made),
        id_switches=_switches(made),
        time_to_identity_p50_s=_quantile(waits, 50),
        time_to_identity_p95_s=_quantile(waits, 95),
        presences=len(enrolled),
        identified=len(waits),
    )


def covered(start_s: float, end_s: float, spans: Sequence[tuple[float, float]]) -> float:
    """Seconds between start and end that lie in any of the spans."""
    total_s, until_s = 0.0, start_s
    for a, b in sorted(spans):
        a, b = max(a, until_s), min(b, end_s)
        if b > a:
            total_s += b - a
            until_s = b
    return total_s


def _wait(there: Presence, spans: Sequence[tuple[float, float]]) -> float | None:
    """Seconds until the name; none where it came already, None where it never did."""
    begun = [a for a, b in spans if a <= there.end_s + TOLERANCE_S and b >= there.start_s - TOLERANCE_S]
    return max(0.0, min(begun) - there.start_s) if begun else None


def _switches(made: Sequence[Claim]) -> int:
    last: dict[str, str] = {}
    switches = 0
    for claim in made:
        switches += last.get(claim.track, claim.name) != claim.name
        last[claim.track] = claim.name
    return switches


def _quantile(values: Sequence[float], percent: int) -> float | None:
    if len(values) < 2:
        return values[0] if values else None
    return quantiles(values, n=100, method="inclusive")[percent - 1]
