from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import ProtocolError
from streamd.events import SCHEMA, Event, EventType

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))
OBJECTS = st.dictionaries(TEXT, SCALARS, max_size=4)
EVENTS = st.builds(
    Event,
    type=st.sampled_from(EventType),
    camera=TEXT,
    at=TEXT,
    id=TEXT,
    seq=st.integers(0, 2**53),
    track=st.none() | TEXT,
    identity=st.none() | OBJECTS,
    runner_up=st.none() | OBJECTS,
    evidence=st.none() | OBJECTS,
    revises=st.none() | TEXT,
    quality=st.none() | st.floats(0, 1),
    box=st.none() | st.tuples(*[st.integers(-(2**31), 2**31)] * 4),
    frame=st.none() | OBJECTS,
    gallery_version=st.none() | st.integers(0, 2**53),
    model=st.none() | TEXT,
    latency_ms=st.none() | st.integers(0, 2**31),
    message=st.none() | TEXT,
)
FIELDS = ["type", "camera", "at", "id", "seq", "identity", "quality", "box", "frame", "latency_ms", "x"]


def _accepted(data: bytes) -> Event | None:
    try:
        return Event.from_json(data)
    except ProtocolError:
        return None


@given(EVENTS)
def test_every_event_reads_back_as_it_was(event: Event) -> None:
    assert Event.from_json(event.to_json()) == event


@given(EVENTS)
def test_every_event_is_one_line(event: Event) -> None:
    assert b"\n" not in event.to_json()


@given(st.binary(max_size=300))
def test_any_bytes_are_an_event_or_a_protocol_error(data: bytes) -> None:
    _accepted(data)


@given(st.dictionaries(st.sampled_from(FIELDS), VALUES), st.sampled_from([SCHEMA, "streamd.event/2", None]))
def test_any_object_is_an_event_or_a_protocol_error(body: dict[str, object], schema: str | None) -> None:
    event = _accepted(json.dumps({"schema": schema, **body}).encode())
    assert event is None or schema == SCHEMA


@given(EVENTS, st.sampled_from(FIELDS), VALUES)
def test_an_event_with_one_field_exchanged_is_refused_or_can_be_written_again(
    event: Event, field: str, value: object
) -> None:
    changed = _accepted(json.dumps({**json.loads(event.to_json()), field: value}).encode())
    if changed is not None:
        assert Event.from_json(changed.to_json()) == changed


@given(EVENTS, st.dictionaries(st.sampled_from(["zone", "colour", "schema_note"]), VALUES, min_size=1))
def test_fields_of_a_later_version_are_ignored(event: Event, more: dict[str, object]) -> None:
    assert Event.from_json(json.dumps({**json.loads(event.to_json()), **more}).encode()) == event
