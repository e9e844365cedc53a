from __future__ import annotations

from pathlib import Path

import pytest

from streamd.errors import UsageError
from streamd.events import Event, EventType
from streamd.truth import Claim, Presence, claims, read_truth, score


def event(kind: str, track: str, name: str = "", *, seconds: float = 0.0, latency_ms: int | None = None) -> Event:
    identity = {"id": name, "name": name} if name else None
    evidence = {"seconds": seconds} if seconds else None
    at = "2026-01-01T00:00:00.000Z"
    return Event(EventType(kind), "c", at, "i", 1, track, identity, evidence=evidence, latency_ms=latency_ms)


def test_a_claim_lasts_until_the_face_was_last_seen() -> None:
    told = [
        (1.0, event("face.appeared", "a", latency_ms=200)),
        (1.5, event("face.identified", "a", "Ann")),
        (9.0, event("face.left", "a", "Ann", seconds=6.0)),
    ]
    assert claims(told) == [Claim("a", "Ann", 1.5, pytest.approx(6.8))]


def test_a_name_taken_back_ends_its_claim() -> None:
    told = [
        (1.0, event("face.identified", "a", "Ann", latency_ms=0)),
        (2.0, event("face.revised", "a", "Bob")),
        (3.0, event("face.revised", "a")),
        (5.0, event("face.left", "a", seconds=4.0)),
    ]
    assert claims(told) == [Claim("a", "Ann", 1.0, 2.0), Claim("a", "Bob", 2.0, 3.0)]


def test_seconds_are_counted_once_and_against_the_right_person() -> None:
    truth = [Presence("Ann", True, 0.0, 10.0), Presence("Bob", True, 0.0, 10.0), Presence("Eve", False, 0.0, 4.0)]
    made = [
        Claim("a", "Ann", 1.0, 9.0),
        Claim("b", "Ann", 5.0, 10.0),  # the same person on two tracks
        Claim("c", "Bob", 20.0, 21.0),  # long gone
    ]
    found = score(made, truth)
    assert found.recall == pytest.approx(9 / 20)
    assert found.precision == pytest.approx(13 / 14)
    assert (found.false_names, found.id_switches) == (1, 0)
    assert (found.presences, found.identified) == (2, 1)
    assert found.time_to_identity_p50_s == pytest.approx(1.0)


def test_a_track_that_changes_its_name_is_a_switch() -> None:
    made = [Claim("a", "Ann", 0.0, 1.0), Claim("a", "Bob", 1.0, 2.0), Claim("a", "Bob", 3.0, 4.0)]
    assert score(made, [Presence("Ann", True, 0, 4), Presence("Bob", True, 0, 4)]).id_switches == 1


def test_nothing_to_judge_is_not_perfection() -> None:
    found = score([], [])
    assert (found.precision, found.recall, found.time_to_identity_p95_s) == (None, None, None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("label,enrolled,start_s\nAnn,1,0\n", "no column end_s"),
        ("label,enrolled,start_s,end_s\nAnn,yes,0,1\n", "truth.csv:2: invalid literal"),
        ("label,enrolled,start_s,end_s\nAnn,1,3,1\n", r"ends \(1\) before it starts \(3\)"),
        ("label,enrolled,start_s,end_s\nAnn,1\n", "truth.csv:2"),
        ("", "no column label"),
    ],
)
def test_a_file_that_is_no_truth(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "truth.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=says):
        read_truth(path)


def test_further_columns_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    path.write_text("label,enrolled,first_frame,start_s,end_s\nAnn,0,7,0.5,1\n")
    assert read_truth(path) == [Presence("Ann", False, 0.5, 1.0)]
    with pytest.raises(UsageError, match="cannot be read"):
        read_truth(tmp_path / "none.csv")
