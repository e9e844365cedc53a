"""The event format is a promise: golden files, and docs/events.md against the code."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from streamd.client import PUBLISH, REPLAY
from streamd.events import SCHEMA, UNPUBLISHED, Event, EventType

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "events"
MANUAL = (ROOT / "docs" / "events.md").read_text()


def _table(heading: str) -> list[str]:
    """The code words in the first column of the table under a heading."""
    section = MANUAL.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `([^`]+)`", section, re.MULTILINE)


def _block(language: str, containing: str) -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", MANUAL, re.DOTALL)
    return str(next(block for block in blocks if containing in block))


@pytest.mark.parametrize("kind", [kind.value for kind in EventType])
def test_golden_event_reads_and_is_written_back_byte_for_byte(kind: str) -> None:
    data = (GOLDEN / f"{kind}.json").read_bytes().rstrip(b"\n")
    event = Event.from_json(data)
    assert event.type.value == kind
    assert event.to_json() == data


def test_every_field_occurs_in_a_golden_event() -> None:
    seen = {field for path in GOLDEN.glob("*.json") for field in json.loads(path.read_bytes())}
    assert seen == {"schema", *(field.name for field in dataclasses.fields(Event))} - UNPUBLISHED


def test_manual_lists_every_type_in_order() -> None:
    assert _table("Types") == [kind.value for kind in EventType]


def test_manual_lists_every_field() -> None:
    assert set(_table("Fields")) == {"schema", *(field.name for field in dataclasses.fields(Event))} - UNPUBLISHED


def test_manual_names_schema_and_default_endpoints() -> None:
    assert all(text in MANUAL for text in (SCHEMA, PUBLISH, REPLAY))


def test_manual_example_event_is_one() -> None:
    event = Event.from_json(_block("json", '"schema"').encode())
    assert event.topic == "event.door.face.identified"
