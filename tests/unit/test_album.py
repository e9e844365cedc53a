from __future__ import annotations

import errno
import os
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from publisherprocess import an_event, eventually

from streamd.album import Album, Scene, days, tidy
from streamd.appearances import Appearance
from streamd.config import RecognitionConfig, SnapshotsConfig
from streamd.domain import Bgr, Box, Decision, Frame, FrameId, Identity, Track, Verdict
from streamd.events import EventType
from streamd.gallery.vault import Vault
from streamd.metrics import Metrics
from streamd.recognition import Evidence, Policy

RNG = np.random.default_rng(3)
PICTURE = Bgr(RNG.integers(0, 255, (360, 640, 3), np.uint8))
FRAME = Frame(FrameId("door", "e", 1), 1.0, 1.0, PICTURE.pixels, PICTURE)
ANN, STRANGER = Box(100, 100, 180, 200), Box(400, 100, 480, 200)


def someone(box: Box, person: str | None = None) -> Appearance:
    made = Appearance(f"door-e-{person}", Track(1, box, 0.0, 1.0, 3), Evidence(Policy.of(RecognitionConfig())))
    if person is not None:
        made.told = Decision(Verdict.KNOWN, Identity(person, person.title(), 0.6, 0.4, 0.3))
    return made


def album(folder: Path, *, vault: Vault | None = None, **config: object) -> Album:
    return Album(folder, SnapshotsConfig(**config), vault=vault, metrics=Metrics())  # type: ignore[arg-type]


def event(kind: EventType = EventType.FACE_IDENTIFIED, number: int = 1) -> object:
    return replace(an_event(number, kind=kind), track="door-e-1", id=f"{number:032x}")


def test_the_best_face_is_kept_once_and_named_by_each_event(tmp_path: Path) -> None:
    made, ann = album(tmp_path), someone(ANN, "ann")
    with made.running():
        made.look(ann, PICTURE, ANN, 0.5)
        made.look(ann, PICTURE, STRANGER, 0.4)  # worse
        first = made.illustrate(event(), ann, Scene(FRAME, [ann]))  # type: ignore[arg-type]
        second = made.illustrate(event(EventType.FACE_LEFT, 2), ann, Scene(FRAME, [ann]))  # type: ignore[arg-type]
    assert first.snapshot is not None
    assert first.snapshot == second.snapshot
    path = tmp_path / first.snapshot["face"]
    kept = cv2.imread(str(path))
    assert kept is not None
    assert kept.shape[:2] == (170, 136)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_in_the_frame_everybody_is_blurred_who_is_not_enrolled(tmp_path: Path) -> None:
    """Also who is found and not followed."""
    made, ann = album(tmp_path, frames="blurred", faces=False), someone(ANN, "ann")
    with made.running():
        told = made.illustrate(event(), ann, Scene(FRAME, [ann], [STRANGER]))  # type: ignore[arg-type]
    assert told.snapshot is not None
    assert told.snapshot["people"] == ["ann"]
    frame = np.asarray(cv2.imread(str(tmp_path / told.snapshot["frame"])), np.int16)

    def detail(box: Box) -> float:
        cut = frame[round(box.y1) : round(box.y2), round(box.x1) : round(box.x2)]
        return float(np.abs(np.diff(cut, axis=1)).mean())

    assert detail(STRANGER) < detail(ANN) / 5


def test_pictures_are_encrypted_where_the_gallery_is(tmp_path: Path) -> None:
    vault = Vault(bytes(32))
    made, ann = album(tmp_path, vault=vault), someone(ANN, "ann")
    with made.running():
        made.look(ann, PICTURE, ANN, 0.5)
        told = made.illustrate(event(), ann, Scene(FRAME, [ann]))  # type: ignore[arg-type]
    assert told.snapshot is not None
    data = (tmp_path / told.snapshot["face"]).read_bytes()
    assert not data.startswith(b"\xff\xd8")
    assert vault.open(data).startswith(b"\xff\xd8")


def test_a_disk_that_refuses_is_told_once_and_events_go_on_without_pictures(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    made = album(tmp_path / "file", frames="full", faces=False)
    ann = someone(ANN, "ann")
    with made.running():
        made.illustrate(event(), ann, Scene(FRAME, [ann]))  # type: ignore[arg-type]
        eventually(lambda: "pictures are not kept" in caplog.text and made._failed_at_s > float("-inf"))
        assert made.illustrate(event(number=2), ann, Scene(FRAME, [ann])).snapshot is None  # type: ignore[arg-type]
    assert caplog.text.count("pictures are not kept") == 1


def test_of_a_picture_for_which_there_is_no_room_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path, target: Path) -> None:
        assert path.exists()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    made, ann = album(tmp_path, frames="full", faces=False), someone(ANN, "ann")
    with made.running():
        made.illustrate(event(), ann, Scene(FRAME, [ann]))  # type: ignore[arg-type]
        eventually(lambda: "pictures are not kept" in caplog.text)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_old_pictures_and_the_oldest_of_too_many_are_deleted(tmp_path: Path) -> None:
    now_s = time.time()
    for age, day in ((100, "2026-03-01"), (50, "2026-03-02"), (10, "2026-03-02"), (1, "2026-03-03")):
        path = tmp_path / day / f"{age}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * 1000)
        os.utime(path, (now_s - age, now_s - age))
    assert tidy(tmp_path, older_than_wall_s=now_s - 60, max_bytes=2500) == 2
    assert sorted(p.name for p in tmp_path.rglob("*.jpg")) == ["1.jpg", "10.jpg"]
    assert not (tmp_path / "2026-03-01").exists()
    assert tidy(tmp_path / "nowhere", older_than_wall_s=0, max_bytes=0) == 0


def test_tidying_holds_no_list_of_all_pictures(tmp_path: Path) -> None:
    day, pictures = tmp_path / "2026-03-01", 2000
    day.mkdir()
    for number in range(pictures):
        (day / f"door-e-{number}-0123abcd-face.jpg").touch()
    tracemalloc.start()
    try:
        assert tidy(tmp_path, older_than_wall_s=0, max_bytes=1e6) == 0
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most_bytes < 200 * pictures


def test_what_is_no_folder_of_a_day_is_left_alone(tmp_path: Path) -> None:
    """As where the folder is a disk of its own."""
    foreign = tmp_path / "lost+found" / "picture.jpg"
    foreign.parent.mkdir()
    foreign.write_bytes(b"x")
    os.utime(foreign, (1.0, 1.0))
    (tmp_path / "empty").mkdir()
    old = tmp_path / "2026-03-01" / "old.jpg"
    old.parent.mkdir()
    old.write_bytes(b"x")
    os.utime(old, (1.0, 1.0))
    assert tidy(tmp_path, older_than_wall_s=1000.0, max_bytes=0) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "lost+found"]
    assert foreign.exists()
    for name in ("2026-03-02", "2026-02-28"):
        (tmp_path / name).mkdir()
    assert [day.name for day in days(tmp_path)] == ["2026-02-28", "2026-03-02"]
