"""Events as lines for people: time, camera, what happened, to whom, the figures, the number.

21:03:14  door        identified  Ann Smith       0.61 (needs 0.45)  412 ms  #118
"""

from __future__ import annotations

from datetime import date, datetime, tzinfo
from typing import Any

from streamd.events import Event, EventType

_WORDS = {
    EventType.FACE_APPEARED: "appeared",
    EventType.FACE_IDENTIFIED: "identified",
    EventType.FACE_UNKNOWN: "unknown",
    EventType.FACE_REVISED: "revised",
    EventType.FACE_MOVED: "moved",
    EventType.FACE_LEFT: "left",
    EventType.PERSON_ENROLLED: "enrolled",
    EventType.PERSON_FORGOTTEN: "forgotten",
}
_STATES = frozenset(
    {EventType.CAMERA_ONLINE, EventType.CAMERA_OFFLINE, EventType.GALLERY_ONLINE, EventType.GALLERY_OFFLINE}
)
_COLOURS = {
    EventType.FACE_IDENTIFIED: "32",
    EventType.FACE_UNKNOWN: "33",
    EventType.FACE_REVISED: "35",
    EventType.CAMERA_OFFLINE: "31",
    EventType.GALLERY_OFFLINE: "31",
    EventType.GALLERY_ONLINE: "36",
    EventType.CAMERA_ONLINE: "36",
}
_DIM = "2"
_CAMERA_WIDTH, _NAME_WIDTH, _FIGURES_WIDTH, _LATENCY_WIDTH = 10, 14, 17, 7


class EventLines:
    """Formats events one by one; a day's first line is preceded by the date, but for ``today``'s.

    Args:
        zone: time zone of the times shown; None is the machine's.
    """

    def __init__(self, *, colour: bool, today: date, zone: tzinfo | None = None) -> None:
        self._colour = colour
        self._day = today
        self._zone = zone
        self._camera_width = _CAMERA_WIDTH

    def lines(self, event: Event) -> list[str]:
        """One line, or two where a day begins."""
        when = _moment(event.at, self._zone)
        if when is None:
            return [self._line(event, event.at[:8])]
        head = [] if when.date() == self._day else [when.date().isoformat()]
        self._day = when.date()
        return [*head, self._line(event, f"{when:%H:%M:%S}")]

    def _line(self, event: Event, clock: str) -> str:
        self._camera_width = max(self._camera_width, len(event.camera))
        text = printable(f"{clock}  {event.camera:<{self._camera_width}}  {_account(event)}  #{event.seq}")
        if not self._colour:
            return text
        return f"\x1b[{_COLOURS.get(event.type, _DIM)}m{text}\x1b[0m"


def printable(text: str) -> str:
    """``text`` without what could steer a terminal: names come from folders, messages from cameras."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _account(event: Event) -> str:
    """What happened, in columns of a fixed width."""
    if event.type in _STATES:
        state = event.type.value.replace("gallery.", "gallery server ").replace(".", " ")
        return f"{state}: {event.message}" if event.message else state
    latency = "" if event.latency_ms is None else f"{event.latency_ms} ms"
    return (
        f"{_WORDS[event.type]:<10}  {_name(event):<{_NAME_WIDTH}}"
        f"  {_figures(event):<{_FIGURES_WIDTH}}  {latency:>{_LATENCY_WIDTH}}"
    )


def _name(event: Event) -> str:
    if event.identity:
        return str(event.identity.get("name") or event.identity.get("id") or "")
    if event.type is EventType.FACE_REVISED:
        return "to unknown"
    return event.stranger or ""


def _figures(event: Event) -> str:
    """How sure it is, or how long it lasted."""
    evidence, identity = event.evidence or {}, event.identity or {}
    if event.type is EventType.FACE_MOVED:
        return f"in {', '.join(event.zones)}" if event.zones else "in no zone"
    if event.type is EventType.FACE_LEFT:
        return _if_number("after {:.0f} s", evidence.get("seconds"))
    if identity:
        needed = _if_number(" (needs {:.2f})", identity.get("threshold"))
        return _if_number("{:.2f}", identity.get("similarity")) + needed
    return _if_number("best {:.2f}", evidence.get("best"))


def _if_number(form: str, value: Any) -> str:
    return form.format(value) if isinstance(value, int | float) else ""


def _moment(at: str, zone: tzinfo | None) -> datetime | None:
    """The time of an event; None where another program sent something else."""
    try:
        return datetime.fromisoformat(at).astimezone(zone)
    except (ValueError, OverflowError):
        return None
