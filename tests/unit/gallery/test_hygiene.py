from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from galleryparts import GREEN, RED, ColourEmbedder, SquareDetector, photo_bytes, write_photo

from streamd.commands.enroll_footage import enroll_footage
from streamd.config import CaptureConfig, Config
from streamd.errors import PhotoRefused, SourceRejected
from streamd.gallery.enrolment import Enroller, PhotoResult
from streamd.gallery.examiner import PhotoExaminer
from streamd.gallery.footage import Footage, Shot, best_views, look_through
from streamd.gallery.hygiene import Bars, largest_group
from streamd.gallery.store import GalleryStore
from streamd.sources.images import ImageFrame
from streamd.sources.opening import open_source

BARS = Bars(ColourEmbedder.scores)
SAME_MARK = 180
"""Two seeds so far apart make photos that differ in one pixel outside the face."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GalleryStore]:
    with GalleryStore(tmp_path / "state" / "gallery.sqlite") as opened:
        yield opened


@pytest.fixture
def enroller(store: GalleryStore) -> Enroller:
    return Enroller(store, SquareDetector(), ColourEmbedder())


def enroll(enroller: Enroller, name: str, *photos: Path, force: bool = False) -> list[PhotoResult]:
    return list(enroller.enroll(name, photos, force=force))


def reasons(results: list[PhotoResult]) -> list[str]:
    return [result.reason for result in results]


def test_a_photo_of_the_same_moment_is_refused(tmp_path: Path, enroller: Enroller) -> None:
    first, again = write_photo(tmp_path / "a.png"), write_photo(tmp_path / "b.png", seed=SAME_MARK)
    other = write_photo(tmp_path / "c.png", seed=1)
    assert reasons(enroll(enroller, "Anna", first, again, other)) == ["enrolled", "near_duplicate", "enrolled"]
    assert reasons(enroll(enroller, "Anna", write_photo(tmp_path / "d.png", seed=1 + SAME_MARK))) == ["near_duplicate"]


def test_a_photo_unlike_the_persons_others_is_refused_unless_forced(tmp_path: Path, enroller: Enroller) -> None:
    enroll(enroller, "Anna", write_photo(tmp_path / "a.png"), write_photo(tmp_path / "b.png", seed=1))
    wrong = write_photo(tmp_path / "wrong.png", GREEN)
    (result,) = enroll(enroller, "Anna", wrong)
    assert result.reason == "unlike"
    assert "unlike the other photos of 'Anna'" in result.message
    assert reasons(enroll(enroller, "Anna", wrong, force=True)) == ["enrolled"]


def test_a_photo_of_somebody_else_is_refused_and_says_of_whom(tmp_path: Path, enroller: Enroller) -> None:
    enroll(enroller, "Anna", write_photo(tmp_path / "a.png"))
    (result,) = enroll(enroller, "Bert", write_photo(tmp_path / "b.png", seed=1))
    assert result.reason == "closer_to_other"
    assert "looks like 'Anna'" in result.message
    assert reasons(enroll(enroller, "Bert", write_photo(tmp_path / "c.png", seed=2), force=True)) == ["enrolled"]


def test_one_wrong_photo_among_many_is_refused_wherever_it_stands(
    tmp_path: Path, store: GalleryStore, enroller: Enroller
) -> None:
    wrong = write_photo(tmp_path / "wrong.png", GREEN)
    right = [write_photo(tmp_path / f"{n}.png", seed=n) for n in range(4)]
    assert reasons(enroll(enroller, "Anna", wrong, *right)) == ["unlike"] + ["enrolled"] * 4
    assert store.person("Anna").faces == 4


def test_in_the_folder_one_earlier_photo_proves_nothing(
    tmp_path: Path, store: GalleryStore, enroller: Enroller
) -> None:
    def take(path: Path) -> None:
        source = f"folder:{path.name}"
        store.add_faces("Anna", [enroller.face_of(path, name="Anna", source=source)])

    take(write_photo(tmp_path / "wrong.png", GREEN))
    take(write_photo(tmp_path / "1.png", seed=1))
    take(write_photo(tmp_path / "2.png", seed=2))
    with pytest.raises(PhotoRefused, match="unlike"):
        take(write_photo(tmp_path / "blue.png", (250, 130, 130)))


def test_the_largest_group_hangs_together() -> None:
    x, y = np.eye(2, dtype=np.float32)
    middle = (x + 0.3 * y) / np.linalg.norm(x + 0.3 * y)
    assert largest_group(np.stack([y, x, middle, x]), 0.9) == {1, 2, 3}
    assert largest_group(np.stack([x, y]), 0.9) == {0}


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    folder = tmp_path / "frames"
    folder.mkdir()
    for n in range(12):
        (folder / f"{n:03}.png").write_bytes(photo_bytes(RED, seed=n // 4 * 2))
    return folder


def look(folder: Path, *, seconds: float = 60.0) -> Footage:
    source = open_source(str(folder), CaptureConfig(loop=False, pace="fast", image_fps=4))
    return look_through(source, PhotoExaminer(SquareDetector(), ColourEmbedder()), seconds=seconds)


def test_a_film_gives_its_different_views_and_no_two_of_one_moment(frames: Path) -> None:
    footage = look(frames)
    assert footage.frames == 12
    views = best_views(footage, BARS, wanted=8, origin="film")
    assert len(views) == 3
    assert len(best_views(footage, BARS, wanted=2, origin="film")) == 2


def test_nobody_is_enrolled_from_behind_a_cameras_mask(frames: Path, enroller: Enroller) -> None:
    left_out = [[0, 0], [1, 0], [1, 1], [0, 1]]
    for masks, reason in ((None, "enrolled"), ([left_out], "no_face")):
        door = {"url": str(frames), "capture": {"image_fps": 10}} | ({"masks": masks} if masks else {})
        config = Config.model_validate({"cameras": {"door": door}})
        args = argparse.Namespace(seconds=5.0, views=1, force=False, dry_run=False)
        results = enroll_footage(args, config, enroller, name="Anna", given="door")
        assert [result.reason for result in results] == [reason]


def test_only_so_many_seconds_are_looked_at(frames: Path) -> None:
    assert look(frames, seconds=1.0).frames == 4


def test_a_film_without_time_stamps_is_looked_through(frames: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFrame, "media_s", property(lambda frame: 0.0, lambda frame, told: None))
    assert look(frames, seconds=1.0).frames == 4


def test_a_film_of_two_people_is_refused(frames: Path) -> None:
    for n in range(6):
        (frames / f"{n:03}.png").write_bytes(photo_bytes(GREEN, seed=n))
    with pytest.raises(PhotoRefused, match="more than one person"):
        best_views(look(frames), BARS, wanted=8, origin="film")


def test_a_film_of_a_crowd_is_refused(frames: Path) -> None:
    for n in range(6):
        (frames / f"{n:03}.png").write_bytes(photo_bytes(GREEN, sides_px=(100, 100)))
    with pytest.raises(PhotoRefused, match="several people at once"):
        best_views(look(frames), BARS, wanted=8, origin="film")


def test_a_film_without_a_face_says_what_was_wrong(frames: Path) -> None:
    blank = cv2.imencode(".png", np.zeros((100, 100, 3), np.uint8))[1].tobytes()
    for path in frames.iterdir():
        path.write_bytes(blank)
    with pytest.raises(PhotoRefused, match=r"no good view of a face in 12 frames \(no_face 12\)"):
        best_views(look(frames), BARS, wanted=8, origin="film")


def test_a_film_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceRejected, match="no such file"):
        look(tmp_path / "none.mp4")


def test_the_best_view_comes_first() -> None:
    examiner = PhotoExaminer(SquareDetector(), ColourEmbedder())
    from dataclasses import replace

    from streamd.vision.photos import decode_photo

    face = examiner.one_face(decode_photo(photo_bytes(RED)), origin="x")
    poor = replace(face, quality=replace(face.quality, score=0.4))
    assert best_views(Footage([Shot(poor, 0.0), Shot(face, 1.0)]), BARS, wanted=1, origin="x")[0].at_s == 1.0
