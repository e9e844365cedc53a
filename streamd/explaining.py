"""Why a face got its name, or none: an appearance's account in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamd.events import Event, EventType

WORDS = {
    "low_quality": "of low quality",
    "too_small": "too small",
    "turned_away": "turned away",
    "blurred": "blurred",
    "bright": "too bright",
    "cut_off": "cut off by the edge of the picture",
    "dark": "too dark",
    "doubtful": "perhaps somebody else's",
    "low_contrast": "without contrast",
    "no_landmarks": "without eyes, nose and mouth to be found",
    "outside_zones": "outside the zones",
    "unclear": "unclear to the model",
}
Account = Mapping[str, Any]


def reason(events: Sequence[Event], account: Account | None) -> str:
    """One sentence.

    Args:
        events: Of one appearance, in order.
        account: ``ledger.Ledger.as_json``, with what was ``needed``; None where it was not kept.
    """
    last = next((e for e in reversed(events) if e.type is not EventType.FACE_MOVED), None)
    if last is None:
        return "nothing is known of this appearance"
    if last.message:
        return last.message
    if last.identity is not None:
        return _named(last)
    if account is None:
        return "it was not looked at to the end: no account of its views is kept yet"
    counted = [view for view in account.get("views", ()) if view.get("counted")]
    if not counted:
        return _refused(account)
    return _unlike(counted, account, last)


def _named(event: Event) -> str:
    identity = event.identity or {}
    similarity, threshold = identity.get("similarity"), identity.get("threshold")
    if not isinstance(similarity, int | float) or not isinstance(threshold, int | float):
        return f"{identity.get('name')} was named later, by hand"
    words = f"{identity.get('name')} with a similarity of {similarity:.2f}, where {threshold:.2f} is needed"
    runner_up = event.runner_up or {}
    if isinstance(runner_up.get("similarity"), int | float):
        words += f"; next is {runner_up.get('name')} with {runner_up['similarity']:.2f}"
    return words


def _refused(account: Account) -> str:
    """No view was good enough: ``11 faces, 9 too small (31 px, need 40), 2 turned away (64 degrees)``."""
    needed, best = account.get("needed", {}), account.get("best", {})
    words = []
    for name, count in sorted(account.get("refused", {}).items(), key=lambda item: -item[1]):
        words.append(f"{count} {_in_words(name, best, needed)}")
    faces = account.get("faces", 0)
    return ", ".join([f"{faces} face{'s' if faces != 1 else ''}", *words])


def _in_words(name: str, best: Mapping[str, float], needed: Mapping[str, float]) -> str:
    if name == "too_small":
        return f"too small ({best.get(name, 0):.0f} px, need {needed.get('min_face_px', 0):.0f})"
    if name == "turned_away":
        return f"turned away ({-best[name]:.0f} degrees)" if name in best else "turned away"
    if name == "low_quality":
        return f"of low quality ({best.get(name, 0):.2f}, need {needed.get('min_quality', 0):.2f})"
    return WORDS.get(name, name)


def _unlike(counted: Sequence[Mapping[str, Any]], account: Account, last: Event) -> str:
    needed = account.get("needed", {})
    views = f"{len(counted)} good view{'s' if len(counted) != 1 else ''}"
    if not needed.get("people", 1):
        return f"{views}, and nobody is enrolled who is searched for here"
    best = max((v["best"] for v in counted if "best" in v), key=lambda match: match["similarity"], default=None)
    if (last.evidence or {}).get("ambiguous") and best is not None:
        return f"{views}, similar to {best['name']} and to somebody else: a margin of {needed['margin']:.2f} is needed"
    if best is None:
        return f"{views}, and nobody was found who is similar"
    similarity = (last.evidence or {}).get("best", best["similarity"])
    threshold = needed.get("threshold", 0.0)
    if len(counted) < needed.get("min_views", 0) and similarity >= threshold:
        return f"{views}, like {best['name']}, where a name needs {needed['min_views']:.0f}"
    return f"{views}; the most similar is {best['name']} with {similarity:.2f}, where {threshold:.2f} is needed"


def table(account: Account) -> list[str]:
    """The views, a line each."""
    lines = [f"{'after':>8}  {'size':>6}  {'yaw':>4}  {'quality':>7}  {'most similar':<24}  {'next':<24}"]
    for view in account.get("views", ()):
        yaw = "" if view.get("yaw") is None else f"{view['yaw']:.0f}"
        verdict = "counted" if view.get("counted") else f"not counted: {WORDS.get(view.get('reason', ''), 'refused')}"
        lines.append(
            f"{view['after_s']:>6.2f} s  {view['size_px']:>3.0f} px  {yaw:>4}  {view['quality']:>7.2f}"
            f"  {_match(view.get('best')):<24}  {_match(view.get('runner_up')):<24}  {verdict}"
        )
    if left_out := account.get("left_out"):
        lines.append(f"  ... {left_out} more views are left out")
    return lines


def _match(match: Mapping[str, Any] | None) -> str:
    return f"{str(match['name'])[:17]} {match['similarity']:.2f}" if match else "-"
