from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

from publisherprocess import an_event

from streamd.journal import Entry, Journal
from streamd.leftovers import LATE_S, SETTLED_S, Leftovers

TOLD_S = 1_790_000_000.0


def written(folder: Path, name: str, *, at_s: float) -> str:
    path = folder / "2026-09-21" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"jpeg")
    os.utime(path, (at_s, at_s))
    return str(path.relative_to(folder))


def test_pictures_that_no_event_names_go_and_all_others_stay(tmp_path: Path) -> None:
    pictures, journal = tmp_path / "snapshots", tmp_path / "journal.sqlite"
    later_s = TOLD_S + LATE_S + 100
    told = written(pictures, "front-door-3fa1-1-aaaaaaaa-face.jpg", at_s=later_s)
    earlier = written(pictures, "front-door-3fa1-0-ffffffff-face.jpg", at_s=TOLD_S - 5)
    others = written(pictures, "front-3fa1-1-bbbbbbbb-face.jpg", at_s=later_s)
    sealed_of_another = written(pictures, "yard-3fa1-1-cccccccc-face.jpg.sealed.part", at_s=later_s)
    for name, at_s in (
        ("front-door-3fa1-2-dddddddd-face.jpg", later_s),
        ("front-door-3fa1-3-dddddddd-frame.jpg.sealed", later_s),
        ("front-door-3fa1-0-eeeeeeee-face.jpg.part", TOLD_S - 5),
    ):
        written(pictures, name, at_s=at_s)
    first = an_event(1, camera="front-door", wall_s=TOLD_S)
    second = replace(an_event(2, camera="front-door", wall_s=later_s), snapshot={"face": told})
    with Journal(journal) as opened:
        opened.append([Entry("w", "e", n, event) for n, event in enumerate((first, second), start=1)])
    assert cleared(Leftovers(pictures, journal, {"front-door"})) == 2
    assert left(pictures) == {told, earlier, others, sealed_of_another}


def test_pictures_of_events_that_wait_for_room_are_no_leftovers(tmp_path: Path) -> None:
    """Nor are those that are written of the same camera meanwhile."""
    pictures, journal = tmp_path / "snapshots", tmp_path / "journal.sqlite"
    later_s = TOLD_S + LATE_S + 100
    waits = written(pictures, "door-3fa1-1-aaaaaaaa-face.jpg", at_s=later_s)
    written(pictures, "door-3fa1-2-bbbbbbbb-face.jpg", at_s=later_s)
    with Journal(journal) as opened:
        opened.append([Entry("w", "e", 1, an_event(1, camera="door", wall_s=TOLD_S))])
        found = Leftovers(pictures, journal, {"door"})
        for now_s in (0.0, 1000.0):
            assert found.look(now_s, journal_works=False) == 0
        fresh = written(pictures, "door-77b0-1-cccccccc-face.jpg", at_s=later_s)
        assert found.look(1000.0, journal_works=True) == 0
        assert found.look(1000.0 + SETTLED_S - 1, journal_works=True) == 0
        told = replace(an_event(2, camera="door", wall_s=later_s), snapshot={"face": waits})
        opened.append([Entry("w", "e", 2, told)])
        assert found.look(1000.0 + SETTLED_S, journal_works=False) == 1
    assert left(pictures) == {waits, fresh}


def cleared(found: Leftovers) -> int:
    found.look(0.0, journal_works=True)
    return found.look(math.inf, journal_works=True)


def left(pictures: Path) -> set[str]:
    return {str(path.relative_to(pictures)) for path in pictures.rglob("*") if path.is_file()}


def test_without_a_journal_only_what_is_half_written_goes(tmp_path: Path) -> None:
    kept = written(tmp_path, "door-3fa1-1-aaaaaaaa-face.jpg", at_s=TOLD_S)
    written(tmp_path, "door-3fa1-1-bbbbbbbb-face.jpg.part", at_s=TOLD_S)
    assert cleared(Leftovers(tmp_path, tmp_path / "none", {"door"})) == 0
    assert left(tmp_path) == {kept}
    assert cleared(Leftovers(tmp_path / "nowhere", tmp_path / "none", {"door"})) == 0
