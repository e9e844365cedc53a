"""What streamd tells the world: ``streamd.event/1``, one JSON object per change of state.

A worker or a capture makes an event without a number; the journal gives it ``seq``, contiguous from 1, and only
then is it published, under the topic ``event.<camera>.<type>``. The format is guarded by golden files in
``tests/golden``: fields may be added, never renamed or removed.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypedDict

from streamd.errors import ProtocolError

SCHEMA = "streamd.event/1"
UNPUBLISHED = frozenset({"account"})
"""Fields that no subscriber gets."""
MAX_BYTES = 256 * 1024
"""Larger messages are not events of ours."""


class EventType(StrEnum):
    CAMERA_ONLINE = "camera.online"
    CAMERA_OFFLINE = "camera.offline"
    FACE_APPEARED = "face.appeared"
    FACE_IDENTIFIED = "face.identified"
    FACE_UNKNOWN = "face.unknown"
    FACE_REVISED = "face.revised"
    FACE_MOVED = "face.moved"
    FACE_LEFT = "face.left"
    PERSON_ENROLLED = "person.enrolled"
    PERSON_FORGOTTEN = "person.forgotten"
    GALLERY_ONLINE = "gallery.online"
    GALLERY_OFFLINE = "gallery.offline"


class PersonFields(TypedDict, total=False):
    """Somebody who was named, or came next."""

    id: str
    name: str
    similarity: float
    threshold: float
    """What the similarity had to reach."""
    margin: float
    """Similarity above the next best person's."""
    probability: float


class EvidenceFields(TypedDict, total=False):
    """What a verdict rests on."""

    views: int
    best: float
    """Highest similarity of an unknown."""
    ambiguous: bool
    seconds: float
    """In view, in ``face.left``."""


class FrameFields(TypedDict, total=False):
    """The picture that decided."""

    epoch: str
    seq: int
    size: list[int]
    at: str


class SnapshotFields(TypedDict, total=False):
    """Pictures: paths in the folder of snapshots."""

    face: str
    frame: str
    people: list[str]
    """Ids of those who are known in the frame."""


@dataclass(frozen=True, slots=True)
class Event:
    """One change of state. Fields that do not apply are None and left out of the JSON."""

    type: EventType
    camera: str
    """Camera, or ``-`` for events of the gallery."""
    at: str
    """When it was decided: RFC 3339, UTC, milliseconds."""
    id: str
    """Unique for ever; a message seen twice has the same id."""
    seq: int = 0
    """Place in the journal, contiguous from 1; 0 before the journal has it."""
    track: str | None = None
    """The appearance, one for all its events: ``<camera>-<epoch>-<n>``."""
    identity: PersonFields | None = None
    """``id name similarity threshold margin probability`` of the person named."""
    runner_up: PersonFields | None = None
    """``id name similarity`` of the next best person."""
    evidence: EvidenceFields | None = None
    """``views`` looked at, ``best`` similarity of an unknown, ``ambiguous`` between two people, ``seconds`` present
    (in ``face.left``)."""
    revises: str | None = None
    """Id of the event that this one corrects."""
    stranger: str | None = None
    """Of somebody without a name who is recognised when seen again: ``unknown-7f3a``."""
    zones: list[str] | None = None
    """Of the camera, in which the face is; None where the camera has none."""
    quality: float | None = None
    """Of the best view, 0..1."""
    box: tuple[int, int, int, int] | None = None
    """x1, y1, x2, y2 in full-resolution pixels."""
    frame: FrameFields | None = None
    """``epoch seq size at`` of the frame that decided; ``at`` is when it was captured."""
    gallery_version: int | None = None
    model: str | None = None
    snapshot: SnapshotFields | None = None
    """``face`` and ``frame``: pictures, paths in the folder of snapshots; ``people``: ids of those who are known in
    the frame."""
    account: dict[str, Any] | None = None
    """What every look at the face said; on its way to the journal only, which keeps it apart."""
    latency_ms: int | None = None
    """From the first frame that showed the face to the decision."""
    message: str | None = None
    """For people: why a camera, or the server of a shared gallery, is offline. Never holds credentials."""

    @property
    def topic(self) -> str:
        return f"event.{self.camera}.{self.type.value}"

    def numbered(self, seq: int) -> Event:
        return replace(self, seq=seq)

    def to_json(self) -> bytes:
        """One line of UTF-8 JSON, ``schema seq type id camera at`` first."""
        body: dict[str, Any] = {
            "schema": SCHEMA,
            "seq": self.seq,
            "type": self.type.value,
            "id": self.id,
            "camera": self.camera,
            "at": self.at,
        }
        for name in _OPTIONAL:
            value = getattr(self, name)
            if value is not None:
                body[name] = list(value) if isinstance(value, tuple) else value
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Event:
        """Read what ``to_json`` wrote; unknown further fields are ignored.

        Raises:
            ProtocolError: not an event, or of a version that this program does not know.
        """
        if len(data) > MAX_BYTES:
            raise ProtocolError(f"event of {len(data)} bytes: more than {MAX_BYTES}")
        try:
            body = json.loads(data, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise ProtocolError(f"event is not JSON: {error}") from error
        if not isinstance(body, dict):
            raise ProtocolError(f"event is not an object: {type(body).__name__}")
        if body.get("schema") != SCHEMA:
            raise ProtocolError(f"event schema {body.get('schema')!r}: this program reads {SCHEMA}")
        try:
            return cls(
                type=EventType(body["type"]),
                camera=_typed(body, "camera", str),
                at=_typed(body, "at", str),
                id=_typed(body, "id", str),
                seq=_typed(body, "seq", int),
                **{name: _optional(body, name) for name in _OPTIONAL if body.get(name) is not None},
            )
        except (KeyError, ValueError, TypeError) as error:
            raise ProtocolError(f"event lacks or misuses a field: {error}") from error


_OPTIONAL_TYPES: dict[str, type | tuple[type, ...]] = {
    "track": str,
    "identity": dict,
    "runner_up": dict,
    "evidence": dict,
    "revises": str,
    "stranger": str,
    "zones": list,
    "quality": (int, float),
    "box": list,
    "frame": dict,
    "gallery_version": int,
    "model": str,
    "snapshot": dict,
    "account": dict,
    "latency_ms": int,
    "message": str,
}
_OPTIONAL = tuple(_OPTIONAL_TYPES)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _typed(body: dict[str, Any], name: str, kind: type) -> Any:
    value = body[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{name} is {type(value).__name__}, not {kind.__name__}")
    return value


def _optional(body: dict[str, Any], name: str) -> Any:
    value = body[name]
    if not isinstance(value, _OPTIONAL_TYPES[name]) or isinstance(value, bool):
        raise TypeError(f"{name} is {type(value).__name__}")
    if name == "box":
        box = tuple(body[name])
        if len(box) != 4 or not all(isinstance(v, int) for v in box):
            raise TypeError("box is not four integers")
        return box
    return value


def timestamp(wall_s: float) -> str:
    """Unix seconds as RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_id() -> str:
    return uuid.uuid4().hex
