"""What several operations answer."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from streamd.events import Event, timestamp
from streamd.gateway.operations import Answer


class EventAnswer(Answer):
    """A ``streamd.event/1``; docs/events.md tells of every field."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    schema_: str = Field(alias="schema")
    seq: int
    type: str
    id: str
    camera: str
    at: str
    track: str | None = None
    identity: dict[str, Any] | None = None
    stranger: str | None = None
    snapshot: dict[str, Any] | None = None
    revised: dict[str, Any] | None = None
    """What a later event says instead: its ``seq`` and ``at``, and ``identity`` or ``stranger``."""

    @model_serializer(mode="wrap")
    def _without_nothing(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What does not apply is left out, as in every event."""
        return {key: value for key, value in write(self).items() if value is not None}


def event_body(event: Event, revised: Event | None = None) -> dict[str, Any]:
    """An event as JSON values, with what became of it later."""
    import json

    body: dict[str, Any] = json.loads(event.to_json())
    if revised is not None:
        later: dict[str, Any] = {"seq": revised.seq, "at": revised.at}
        if revised.identity is not None:
            later["identity"] = dict(revised.identity)
        elif revised.stranger is not None:
            later["stranger"] = revised.stranger
        body["revised"] = later
    return body


def at(wall_s: float) -> str:
    return timestamp(wall_s)
