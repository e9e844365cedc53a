"""What became of every look at a face, so that a verdict, or its absence, can be explained. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from streamd.domain import Match, Quality

KEPT = 40
"""Embedded views that are written down; of more, those in the middle are left out."""


@dataclass(slots=True)
class Ledger:
    """Of one appearance."""

    faces: int = 0
    """Looks in which the face was found."""
    refused: Counter[str] = field(default_factory=Counter)
    """Looks that could not decide, by reason."""
    best: dict[str, float] = field(default_factory=dict)
    """For some reasons, how near the best look came."""
    views: list[dict[str, Any]] = field(default_factory=list)
    left_out: int = 0
    latest: tuple[str, Quality | None] | None = None
    """Why the last look at it did not count; None where it did."""

    def refuse(self, reason: str, quality: Quality | None = None) -> None:
        """A look that was not embedded."""
        self.refused[reason] += 1
        self.latest = reason, quality
        if quality is None:
            return
        if reason == "too_small":
            self._nearer(reason, quality.size_px)
        elif reason == "turned_away" and quality.yaw is not None:
            self._nearer(reason, -abs(quality.yaw))
        elif reason in ("low_quality", "blurred"):
            self._nearer(reason, quality.score if reason == "low_quality" else quality.sharpness)

    def view(self, after_s: float, quality: Quality, nearest: list[Match]) -> None:
        """A look that was embedded; it counts where ``quality`` has no reason against it."""
        self.latest = None if quality.reason is None else (quality.reason, quality)
        if quality.reason is not None:
            self.refused[quality.reason] += 1
        entry: dict[str, Any] = {"after_s": round(after_s, 2), "quality": round(quality.score, 3)}
        entry |= {"size_px": round(quality.size_px), "counted": quality.reason is None}
        if quality.yaw is not None:
            entry["yaw"] = round(quality.yaw)
        if quality.reason is not None:
            entry["reason"] = quality.reason
        for key, match in zip(("best", "runner_up"), nearest, strict=False):
            entry[key] = {"id": match.person_id, "name": match.name, "similarity": round(match.similarity, 4)}
        if len(self.views) >= KEPT:
            del self.views[KEPT // 2]
            self.left_out += 1
        self.views.append(entry)

    def as_json(self) -> dict[str, Any]:
        return {
            "faces": self.faces,
            "refused": dict(self.refused),
            "best": {reason: round(value, 3) for reason, value in self.best.items()},
            "views": list(self.views),
            "left_out": self.left_out,
        }

    def _nearer(self, reason: str, value: float) -> None:
        self.best[reason] = max(value, self.best.get(reason, value))
