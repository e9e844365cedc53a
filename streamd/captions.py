"""What is said of a face beside its box: its name, or why there is none, in a few words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from streamd.appearances import Appearance
from streamd.domain import Frame
from streamd.explaining import WORDS
from streamd.overlays import FaceMark, Overlay


def overlay(frame: Frame, appearances: Iterable[Appearance]) -> Overlay:
    """The faces that were found in this frame."""
    return Overlay(
        camera=frame.id.camera,
        epoch=frame.id.epoch,
        seq=frame.id.seq,
        at_s=frame.captured_at_s,
        wall_s=frame.captured_wall_s,
        size=frame.size,
        faces=tuple(_marks(appearances)),
    )


def _marks(appearances: Iterable[Appearance]) -> Iterator[FaceMark]:
    for appearance in appearances:
        if appearance.track.detection is not None:
            yield _mark(appearance)


def _mark(appearance: Appearance) -> FaceMark:
    box, told = appearance.track.box, appearance.told
    if told.identity is not None:
        latest = appearance.evidence.decision.identity or told.identity
        shown = latest if latest.person_id == told.identity.person_id else told.identity
        words = f"{shown.name} {shown.similarity:.2f}"
        return FaceMark(appearance.id, box, "known", shown.name, None, words)
    if appearance.muted:
        return FaceMark(appearance.id, box, "unknown", None, None, "ignored")
    if appearance.decided:
        return FaceMark(appearance.id, box, "unknown", None, appearance.stranger, appearance.stranger or "unknown")
    return FaceMark(appearance.id, box, "deciding", None, None, _undecided(appearance))


def _undecided(appearance: Appearance) -> str:
    refused, views = appearance.ledger.latest, len(appearance.evidence.views)
    if refused is not None and refused[0] not in ("no_picture", "decided"):
        name, quality = refused
        if name == "too_small" and quality is not None:
            return f"deciding: too small ({quality.size_px:.0f} px)"
        return f"deciding: {WORDS.get(name, name.replace('_', ' '))}"
    return f"deciding: {views} view{'s' if views != 1 else ''}" if views else "deciding"
