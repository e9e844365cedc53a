"""Who is where, as it follows from the events. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from streamd.events import Event, EventType

NOBODY = "nobody"
_FORGET_AFTER_S = 24 * 3600.0
"""A face whose departure was never told is taken to have left by then."""


@dataclass(slots=True)
class Face:
    """One track on a camera."""

    camera: str
    at_s: float
    person_id: str | None = None
    name: str | None = None
    stranger: str | None = None


@dataclass(slots=True)
class Person:
    """Somebody with a name."""

    name: str
    seen_s: float = float("-inf")
    camera: str | None = None
    home: bool = False


@dataclass(slots=True)
class Changes:
    """What is different after an event."""

    cameras: set[str] = field(default_factory=set)
    people: set[str] = field(default_factory=set)
    forgotten: set[str] = field(default_factory=set)


class WhoIsThere:
    """Cameras, the faces before them, and people at home or away."""

    def __init__(self, away_after_s: float) -> None:
        self.people: dict[str, Person] = {}
        self.online: dict[str, bool] = {}
        self._away_after_s = away_after_s
        self._faces: dict[str, Face] = {}

    def take(self, event: Event) -> Changes:
        """The next event."""
        changes, at_s = Changes(), seconds(event.at)
        if event.type in (EventType.CAMERA_ONLINE, EventType.CAMERA_OFFLINE):
            self.online[event.camera] = event.type is EventType.CAMERA_ONLINE
            changes.cameras.add(event.camera)
        elif event.type is EventType.PERSON_FORGOTTEN and event.identity:
            self._forget(str(event.identity.get("id")), changes)
        elif event.type is EventType.PERSON_ENROLLED and event.identity:
            self._know(event.identity, changes)
        elif event.track is not None:
            self._face(event, event.track, at_s, changes)
        return changes

    def grow_old(self, now_wall_s: float) -> set[str]:
        """People who have been away for long enough since."""
        for track in [t for t, face in self._faces.items() if now_wall_s - face.at_s > _FORGET_AFTER_S]:
            del self._faces[track]
        present = {face.person_id for face in self._faces.values()}
        gone = {
            person_id
            for person_id, person in self.people.items()
            if person.home and person_id not in present and now_wall_s - person.seen_s >= self._away_after_s
        }
        for person_id in gone:
            self.people[person_id].home = False
        return gone

    def camera_state(self, camera: str) -> dict[str, Any]:
        """Who is before a camera, for people and for programs."""
        faces = [face for face in self._faces.values() if face.camera == camera]
        names = sorted({face.name for face in faces if face.name})
        others = len([face for face in faces if face.name is None])
        words = [*names, *([f"{others} unknown"] if others else [])]
        return {
            "state": ", ".join(words)[:250] or NOBODY,
            "count": len(faces),
            "names": names,
            "unknown": others,
            "strangers": sorted({face.stranger for face in faces if face.stranger}),
        }

    def _face(self, event: Event, track: str, at_s: float, changes: Changes) -> None:
        if event.type is EventType.FACE_REVISED and event.box is None and track not in self._faces:
            return  # a past appearance got its name later
        changes.cameras.add(event.camera)
        if event.type is EventType.FACE_LEFT:
            face = self._faces.pop(track, None)
            if face is not None and face.person_id in self.people:
                self.people[face.person_id].seen_s = at_s
            return
        face = self._faces.setdefault(track, Face(event.camera, at_s))
        face.at_s = at_s
        if event.type is EventType.FACE_APPEARED:
            return
        identity = event.identity or {}
        face.person_id, face.name = identity.get("id"), identity.get("name")
        face.stranger = event.stranger
        if face.person_id is not None and face.name is not None:
            person = self._know(identity, changes)
            person.seen_s, person.camera, person.home = at_s, event.camera, True
            changes.people.add(face.person_id)

    def _know(self, identity: Mapping[str, Any], changes: Changes) -> Person:
        person_id, name = str(identity.get("id")), str(identity.get("name") or identity.get("id"))
        person = self.people.setdefault(person_id, Person(name))
        person.name = name
        changes.people.add(person_id)
        return person

    def _forget(self, person_id: str, changes: Changes) -> None:
        self.people.pop(person_id, None)
        changes.forgotten.add(person_id)
        for face in self._faces.values():
            if face.person_id == person_id:
                face.person_id = face.name = None
                changes.cameras.add(face.camera)


def seconds(at: str) -> float:
    """Unix seconds of an event's time; 0 where another program sent something else."""
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError:
        return 0.0
