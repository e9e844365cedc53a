from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from galleryparts import BLUE, GREEN, RED, Blank, ColourEmbedder, SquareDetector, photo_bytes, write_photo

from streamd.config import Config
from streamd.errors import UsageError
from streamd.gallery.audit import audit
from streamd.gallery.enrolment import Enroller
from streamd.gallery.erasures import erasures_under_way
from streamd.gallery.folder import FolderSync, SyncReport
from streamd.gallery.folderrecords import FolderRecords
from streamd.gallery.names import person_name
from streamd.gallery.rows import RENAMED
from streamd.gallery.store import GalleryStore
from streamd.peoplechanges import merge_people, rename_person, undo_change
from streamd.traces import erase_traces


class Clock:
    """Wall time, moved on by hand, ahead of every file."""

    def __init__(self) -> None:
        self.ahead_s = 60.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


class Bench:
    """A folder, a gallery, and one way to keep them in step."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "gallery"
        self.folder.mkdir()
        self.store = GalleryStore(root / "state" / "gallery.sqlite")
        self.clock = Clock()
        self.sync = self.restarted()

    def restarted(self, model_id: str = "colours@0123456789ab") -> FolderSync:
        enroller = Enroller(self.store, SquareDetector(), ColourEmbedder(model_id))
        self.sync = FolderSync(self.folder, self.store, enroller, wall_clock=self.clock)
        return self.sync

    def settle(self) -> SyncReport:
        """Step until there is nothing to do at once; everything that was done."""
        whole = SyncReport()
        for _ in range(200):
            step = self.sync.step()
            for name in ("enrolled", "refused", "removed", "moved"):
                getattr(whole, name).extend(getattr(step, name))
            whole.waiting = step.waiting
            if not step.busy:
                return whole
        raise AssertionError("never idle")

    def photo(self, path: str, colour: tuple[int, int, int] = RED, *, seed: int = 0) -> Path:
        return write_photo(self.folder / path, colour, seed=seed)

    def renames(self) -> list[int]:
        """Versions at which somebody got another name."""
        query = "SELECT version FROM changes WHERE what = ?"
        with self.store.database.read() as connection:
            return [int(row[0]) for row in connection.execute(query, (RENAMED,))]

    def people(self) -> dict[str, int]:
        return {p.name: p.faces for p in self.store.people()}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.store.close()


def test_a_new_photo_becomes_a_person(bench: Bench) -> None:
    bench.photo("Anna/1.png")
    report = bench.settle()
    assert report.enrolled == ["Anna/1.png"]
    assert bench.people() == {"Anna": 1}
    assert not bench.settle().enrolled


def test_one_step_enrols_one_photo(bench: Bench) -> None:
    for i in range(3):
        bench.photo(f"Anna/{i}.png", RED, seed=i)
    step = bench.sync.step()
    assert len(step.enrolled) == 1
    assert step.busy
    bench.settle()
    assert bench.people() == {"Anna": 3}


@pytest.mark.parametrize("name", ["Zoë", "李小龍", "محمد", "O'Neil, Anna-Marie"])
def test_people_may_be_called_anything(bench: Bench, name: str) -> None:
    bench.photo(f"{name}/portrait.png")
    bench.settle()
    assert bench.people() == {name: 1}


def test_a_deleted_photo_takes_its_face_along(bench: Bench) -> None:
    first = bench.photo("Anna/1.png", RED)
    bench.photo("Anna/2.png", GREEN)
    bench.settle()
    first.unlink()
    assert bench.settle().removed == ["Anna/1.png"]
    assert bench.people() == {"Anna": 1}


def test_a_person_goes_with_their_folder(bench: Bench) -> None:
    bench.photo("Anna/1.png", RED)
    bench.photo("Bert/1.png", GREEN)
    bench.settle()
    shutil.rmtree(bench.folder / "Anna")
    bench.settle()
    assert bench.people() == {"Bert": 1}


def test_the_last_person_may_be_deleted_too(bench: Bench) -> None:
    bench.photo("Anna/1.png")
    bench.settle()
    shutil.rmtree(bench.folder / "Anna")
    bench.settle()
    assert bench.people() == {}


def test_a_person_of_the_command_line_stays_without_photos(bench: Bench, tmp_path: Path) -> None:
    enroller = Enroller(bench.store, SquareDetector(), ColourEmbedder())
    list(enroller.enroll("Anna", [write_photo(tmp_path / "x.png", BLUE)]))
    bench.photo("Anna/1.png")
    bench.settle()
    assert bench.people() == {"Anna": 2}
    shutil.rmtree(bench.folder / "Anna")
    bench.settle()
    assert bench.people() == {"Anna": 1}


def test_a_changed_photo_replaces_its_face(bench: Bench) -> None:
    bench.photo("Anna/1.png", RED)
    bench.settle()
    before = bench.store.person("Anna")
    old_face = bench.store.faces_of(before.id)[0]
    bench.photo("Anna/1.png", GREEN)
    assert bench.settle().enrolled == ["Anna/1.png"]
    assert bench.store.person("Anna").id == before.id
    (face,) = bench.store.faces_of(before.id)
    assert face.source_sha256 != old_face.source_sha256


def test_a_touched_photo_is_still_one_face(bench: Bench) -> None:
    path = bench.photo("Anna/1.png")
    bench.settle()
    os.utime(path, ns=(1, 1))
    bench.settle()
    assert bench.people() == {"Anna": 1}


def test_a_photo_replaced_by_a_bad_one_teaches_nothing_any_more(bench: Bench) -> None:
    path = bench.photo("Anna/1.png")
    bench.settle()
    path.write_bytes(photo_bytes(RED, sides_px=(100, 100)))
    assert bench.settle().refused == [("Anna/1.png", "several_faces")]
    assert bench.people() == {"Anna": 0}


def test_a_photo_may_be_exchanged_for_a_better_one_and_who_it_shows_stays_who_they_are(bench: Bench) -> None:
    path = bench.photo("Anna/1.png", RED)
    bench.settle()
    before = bench.store.person("Anna")
    path.unlink()
    bench.settle()
    bench.restarted()
    bench.settle()
    assert bench.people() == {"Anna": 0}
    bench.photo("Anna/2.png", GREEN)
    bench.settle()
    assert replace(bench.store.person("Anna"), faces=0) == replace(before, faces=0)
    assert bench.people() == {"Anna": 1}
    assert erasures_under_way(bench.store.database) == []


@pytest.mark.parametrize("watched", [True, False], ids=["watched", "after a restart"])
def test_who_goes_with_their_folder_is_to_be_erased_everywhere(bench: Bench, watched: bool) -> None:
    bench.photo("Anna/1.png", RED)
    bench.photo("Bert/1.png", GREEN)
    bench.settle()
    shutil.rmtree(bench.folder / "Anna")
    if not watched:
        bench.restarted()
    bench.settle()
    assert [erasure.name for erasure in erasures_under_way(bench.store.database)] == ["Anna"]


def test_an_empty_folder_may_be_deleted_later(bench: Bench) -> None:
    path = bench.photo("Anna/1.png", RED)
    bench.settle()
    path.unlink()
    bench.settle()
    path.parent.rmdir()
    bench.settle()
    assert bench.people() == {}


def test_another_folder_under_the_same_path_makes_nobody_forgotten(bench: Bench) -> None:
    bench.photo("Anna/1.png", RED)
    bench.photo("Bert/1.png", GREEN)
    bench.settle()
    bench.folder.rename(bench.folder.with_name("before"))
    bench.photo("Bert/1.png", GREEN)
    bench.settle()
    bench.restarted()
    bench.settle()
    assert bench.people() == {"Anna": 0, "Bert": 1}
    assert erasures_under_way(bench.store.database) == []


def test_a_directory_renamed_to_the_name_of_somebody_else_gives_them_its_photos(bench: Bench, tmp_path: Path) -> None:
    enroller = Enroller(bench.store, SquareDetector(), ColourEmbedder())
    list(enroller.enroll("Anna", [write_photo(tmp_path / "x.png", BLUE)]))
    bench.photo("Ana/1.png", GREEN)
    bench.settle()
    (bench.folder / "Ana").rename(bench.folder / "Anna")
    bench.settle()
    assert bench.people() == {"Anna": 2}


def test_a_renamed_directory_renames_the_person(bench: Bench) -> None:
    for i, colour in enumerate((RED, GREEN)):
        bench.photo(f"Ana/{i}.png", colour)
    bench.settle()
    before = bench.store.person("Ana")
    faces = [f.id for f in bench.store.faces_of(before.id)]
    (bench.folder / "Ana").rename(bench.folder / "Anna")
    report = bench.settle()
    assert report.moved == [("Ana", "Anna")]
    assert not report.enrolled
    after = bench.store.person("Anna")
    assert after.id == before.id
    assert [f.id for f in bench.store.faces_of(after.id)] == faces
    (bench.folder / "Anna" / "0.png").unlink()
    bench.settle()
    assert bench.people() == {"Anna": 1}


def test_a_renamed_photo_stays_the_same_face(bench: Bench) -> None:
    path = bench.photo("Anna/1.png")
    bench.settle()
    before = bench.store.person("Anna")
    version = bench.store.version()
    path.rename(path.with_name("portrait.png"))
    report = bench.settle()
    assert not report.enrolled
    assert not report.removed
    assert bench.store.person("Anna") == before
    assert bench.store.version() == version


def test_a_directory_renamed_to_somebody_who_is_there_joins_them(bench: Bench) -> None:
    bench.photo("Ana/1.png", RED)
    bench.photo("Anna/2.png", GREEN)
    bench.settle()
    shutil.move(bench.folder / "Ana" / "1.png", bench.folder / "Anna" / "1.png")
    (bench.folder / "Ana").rmdir()
    bench.settle()
    assert bench.people() == {"Anna": 2}


def test_a_refused_photo_is_said_once_and_not_tried_again(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    (bench.folder / "Anna").mkdir()
    (bench.folder / "Anna" / "crowd.png").write_bytes(photo_bytes(RED, sides_px=(100, 100)))
    assert bench.settle().refused == [("Anna/crowd.png", "several_faces")]
    bench.restarted()
    assert bench.settle() == SyncReport()
    assert caplog.text.count("2 faces of similar size") == 1
    assert bench.people() == {}


def test_a_photo_of_which_the_embedder_makes_nothing_keeps_no_other_from_its_turn(bench: Bench) -> None:
    bench.sync._enroller = Enroller(bench.store, SquareDetector(), Blank())
    bench.photo("Anna/1.png", GREEN)
    bench.photo("Bert/1.png", RED)
    report = bench.settle()
    assert report.refused == [("Anna/1.png", "unclear")]
    assert bench.people() == {"Bert": 1}


def test_a_refused_photo_that_was_mended_is_tried_again(bench: Bench) -> None:
    (bench.folder / "Anna").mkdir()
    (bench.folder / "Anna" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert bench.settle().refused == [("Anna/1.png", "unreadable")]
    bench.photo("Anna/1.png")
    assert bench.settle().enrolled == ["Anna/1.png"]


def test_a_photo_still_being_written_is_left_alone(bench: Bench) -> None:
    bench.clock.ahead_s = 0.0
    path = bench.photo("Anna/1.png")
    os.utime(path)
    report = bench.sync.step()
    assert (report.enrolled, report.waiting, report.busy) == ([], 1, False)
    bench.clock.ahead_s = 0.5
    assert bench.sync.step().enrolled == ["Anna/1.png"]


def test_half_a_photo_is_waited_for_and_then_refused(bench: Bench) -> None:
    path = bench.photo("Anna/1.png")
    whole = path.read_bytes()
    path.write_bytes(whole[:500])
    bench.clock.ahead_s = 1.0
    report = bench.sync.step()
    assert (report.refused, report.waiting) == ([], 1)
    bench.clock.ahead_s = 3.0
    assert bench.sync.step().refused == [("Anna/1.png", "unreadable")]
    path.write_bytes(whole)
    bench.clock.ahead_s = 4.0
    assert bench.settle().enrolled == ["Anna/1.png"]


def test_a_waiting_photo_does_not_hold_up_the_others(bench: Bench) -> None:
    bench.photo("Anna/old.png", RED)
    young = bench.photo("Anna/a-young.png", GREEN)
    now = time.time() + bench.clock.ahead_s
    os.utime(young, (now, now))
    report = bench.sync.step()
    assert report.enrolled == ["Anna/old.png"]
    assert report.waiting == 1


def test_a_photo_from_the_future_is_enrolled(bench: Bench) -> None:
    path = bench.photo("Anna/1.png")
    os.utime(path, (time.time() + 1e6,) * 2)
    assert bench.settle().enrolled == ["Anna/1.png"]


@pytest.mark.parametrize("vanish", ["deleted", "empty mount point"])
def test_a_vanished_folder_forgets_nobody(bench: Bench, caplog: pytest.LogCaptureFixture, vanish: str) -> None:
    bench.photo("Anna/1.png", RED)
    bench.photo("Bert/1.png", GREEN)
    bench.settle()
    aside = bench.folder.with_name("aside")
    bench.folder.rename(aside)
    if vanish == "empty mount point":
        bench.folder.mkdir()
    for _ in range(3):
        assert bench.settle() == SyncReport()
    bench.restarted()
    assert bench.settle() == SyncReport()
    assert bench.people() == {"Anna": 1, "Bert": 1}
    assert "its people stay in the gallery" in caplog.text
    if bench.folder.exists():
        bench.folder.rmdir()
    aside.rename(bench.folder)
    assert bench.settle() == SyncReport()
    assert bench.people() == {"Anna": 1, "Bert": 1}


@pytest.mark.parametrize("vanish", ["deleted", "empty mount point"])
def test_photos_of_somebody_forgotten_stay_unwanted_while_the_folder_is_away(bench: Bench, vanish: str) -> None:
    bench.photo("Anna/1.png")
    bench.settle()
    bench.store.forget("Anna")
    bench.settle()
    aside = bench.folder.rename(bench.folder.with_name("aside"))
    if vanish == "empty mount point":
        bench.folder.mkdir()
    for _ in range(2):
        bench.restarted()
        assert bench.settle() == SyncReport()
    if bench.folder.exists():
        bench.folder.rmdir()
    aside.rename(bench.folder)
    bench.restarted()
    assert bench.settle() == SyncReport()
    assert bench.people() == {}


def test_a_folder_that_cannot_be_listed_loses_nobody(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.photo("Anna/1.png", RED)
    bench.photo("Bert/1.png", GREEN)
    bench.settle()
    scandir = os.scandir

    def failing(path: Path) -> Iterator[os.DirEntry[str]]:
        if Path(path).name == "Anna":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing)
    bench.restarted()
    bench.settle()
    assert bench.people() == {"Anna": 1, "Bert": 1}


def test_a_missing_folder_is_made(bench: Bench) -> None:
    bench.folder.rmdir()
    bench.settle()
    assert bench.folder.is_dir()
    bench.photo("Anna/1.png")
    bench.settle()
    assert bench.people() == {"Anna": 1}


def test_a_link_out_of_the_folder_is_not_followed(bench: Bench, tmp_path: Path) -> None:
    outside = write_photo(tmp_path / "outside" / "1.png")
    (bench.folder / "Anna").mkdir()
    (bench.folder / "Anna" / "1.png").symlink_to(outside)
    (bench.folder / "Bert").symlink_to(outside.parent)
    assert bench.settle() == SyncReport()
    assert bench.people() == {}


def test_a_link_within_the_folder_is_followed(bench: Bench) -> None:
    (bench.folder / ".originals").mkdir()
    original = write_photo(bench.folder / ".originals" / "1.png")
    (bench.folder / "Anna").mkdir()
    (bench.folder / "Anna" / "1.png").symlink_to(original)
    bench.settle()
    assert bench.people() == {"Anna": 1}


@pytest.mark.parametrize(
    "place",
    [
        lambda folder: folder / "loose.png",
        lambda folder: folder / ".hidden" / "1.png",
        lambda folder: folder / "Anna" / ".1.png.part",
        lambda folder: folder / "Anna" / "deeper" / "1.png",
        lambda folder: folder / "Anna" / "notes.txt",
        lambda folder: folder / ("x" * 81) / "1.png",
        lambda folder: Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9")) / "1.png",
    ],
)
def test_other_files_are_ignored(bench: Bench, place: Callable[[Path], Path]) -> None:
    write_photo(place(bench.folder))
    assert bench.settle() == SyncReport()


@pytest.mark.parametrize("path", ["Anna/2024/1.png", "1.png"])
def test_photos_that_lie_elsewhere_are_told_of_once(bench: Bench, caplog: pytest.LogCaptureFixture, path: str) -> None:
    for place in (path, "Anna/@eaDir/1.png", "Anna/2.png"):
        bench.photo(place)
    bench.settle()
    bench.settle()
    assert bench.people() == {"Anna": 1}
    (line,) = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert "is ignored" in line
    assert ("2024" in line) == ("2024" in path)


def test_a_kind_of_photo_that_cannot_be_read_is_refused_not_ignored(bench: Bench) -> None:
    (bench.folder / "Anna").mkdir()
    (bench.folder / "Anna" / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    assert bench.settle().refused == [("Anna/IMG_1.HEIC", "unreadable")]


def test_the_same_photo_twice_is_one_face_until_the_first_goes(bench: Bench) -> None:
    first = bench.photo("Anna/1.png")
    bench.photo("Anna/2.png")
    report = bench.settle()
    assert report.refused == [("Anna/2.png", "duplicate")]
    first.unlink()
    assert bench.settle().enrolled == ["Anna/2.png"]
    assert bench.people() == {"Anna": 1}


def test_photos_of_somebody_forgotten_are_not_enrolled_again(bench: Bench) -> None:
    path = bench.photo("Anna/1.png")
    bench.settle()
    erasure = bench.store.forget("Anna")
    assert erase_traces(Config(state_dir=bench.store.path.parent), bench.store, erasure, final=True).is_gone
    assert erasure.photos == ("Anna/1.png",)
    assert bench.settle() == SyncReport()
    bench.restarted()
    assert bench.settle() == SyncReport()
    database = b"".join(f.read_bytes() for f in bench.store.path.parent.iterdir())
    assert b"Anna" not in database
    path.unlink()
    bench.settle()
    assert FolderRecords(bench.store.database).dismissed() == {}
    bench.photo("Anna/1.png", GREEN)
    assert bench.settle().enrolled == ["Anna/1.png"]


def test_another_embedder_reads_every_photo_again(bench: Bench) -> None:
    bench.photo("Anna/1.png")
    bench.settle()
    bench.restarted("other@000000000000")
    assert bench.settle().enrolled == ["Anna/1.png"]
    assert bench.store.faces_by_model() == {"other@000000000000": 1}


def test_photos_removed_while_nobody_watched_are_removed_after_a_restart(bench: Bench) -> None:
    bench.photo("Anna/1.png", RED)
    bench.photo("Bert/1.png", GREEN)
    bench.settle()
    shutil.rmtree(bench.folder / "Bert")
    bench.restarted()
    assert bench.settle().removed == ["Bert/1.png"]
    assert bench.people() == {"Anna": 1}


def test_an_idle_step_lists_no_directory_twice(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("Anna", "Bert", "Cleo"):
        (bench.folder / name).mkdir()
    bench.settle()
    listed: list[str] = []
    scandir = os.scandir

    def counting(path: Path) -> Iterator[os.DirEntry[str]]:
        listed.append(Path(path).name)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counting)
    bench.settle()
    assert listed == [bench.folder.name]


def test_another_name_moves_a_folder_whose_name_came_from_a_mac(bench: Bench) -> None:
    config = Config(state_dir=bench.folder.parent)
    assert config.gallery_folder == bench.folder
    bench.photo("Jose\u0301/1.png", RED, seed=1)  # decomposed
    bench.settle()
    moved = rename_person(config, bench.store, "Jos\u00e9", "Pepe")
    assert moved is not None
    assert moved.moved
    bench.settle()
    bench.photo("Pepe/2.png", RED, seed=2)
    bench.settle()
    assert bench.people() == {"Pepe": 2}
    _, (back,) = undo_change(config, bench.store, next(iter(bench.renames())))
    assert back.moved
    bench.settle()
    assert bench.people() == {"Jos\u00e9": 2}


def test_another_name_moves_both_spellings_of_a_folder(bench: Bench) -> None:
    config = Config(state_dir=bench.folder.parent)
    bench.photo("Jos\u00e9/1.png", RED, seed=1)
    bench.photo("Jose\u0301/1.png", RED, seed=2)
    bench.settle()
    rename_person(config, bench.store, "Jos\u00e9", "Pepe")
    bench.settle()
    assert bench.people() == {"Pepe": 2}
    assert sorted(str(p.relative_to(bench.folder)) for p in bench.folder.rglob("*.png")) == [
        "Pepe/1-2.png",
        "Pepe/1.png",
    ]


def test_a_name_is_refused_whose_folder_is_there_in_another_spelling(bench: Bench) -> None:
    config = Config(state_dir=bench.folder.parent)
    bench.photo("Anna/1.png")
    bench.settle()
    (bench.folder / "Jose\u0301").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        rename_person(config, bench.store, "Anna", "Jos\u00e9")
    assert bench.people() == {"Anna": 1}


@pytest.mark.parametrize(
    ("name", "into"), [("Jose\u0301", "Anna"), ("Anna", "Jose\u0301"), ("Jose\u0301", "Rene\u0301")]
)
def test_a_merge_moves_the_photos_of_a_folder_whose_name_came_from_a_mac(bench: Bench, name: str, into: str) -> None:
    config = Config(state_dir=bench.folder.parent)
    bench.photo(f"{name}/1.png", RED, seed=1)
    bench.photo(f"{into}/1.png", GREEN, seed=2)
    bench.settle()
    assert merge_people(config, bench.store, name, into).photos == 1
    assert [p.name for p in bench.folder.iterdir()] == [into]
    bench.settle()
    assert bench.people() == {person_name(into): 2}


def test_a_merge_that_is_taken_back_gives_back_the_photos(bench: Bench) -> None:
    config = Config(state_dir=bench.folder.parent)
    bench.photo("Anna/1.png", RED, seed=1)
    bench.photo("Bert/1.png", GREEN, seed=2)
    bench.settle()
    merge_people(config, bench.store, "Anna", "Bert")
    bench.settle()
    for photos, people in (
        (["Anna/1.png", "Bert/1.png"], {"Anna": 1, "Bert": 1}),
        (["Bert/1-2.png", "Bert/1.png"], {"Bert": 2}),
        (["Anna/1.png", "Bert/1.png"], {"Anna": 1, "Bert": 1}),
    ):
        _, moves = undo_change(config, bench.store, bench.store.version())  # and that again
        assert len(moves) == 1
        report = bench.settle()
        assert (report.enrolled, report.refused, report.removed) == ([], [], [])
        assert sorted(p.relative_to(bench.folder).as_posix() for p in bench.folder.rglob("*.png")) == photos
        assert bench.people() == people
        assert audit(bench.store) == []
    assert bench.store.forget("Anna").photos == ("Anna/1.png",)
    assert audit(bench.store) == []
    bench.settle()
    assert bench.people() == {"Bert": 1}


def test_a_photo_stays_where_it_is_if_another_lies_where_a_merge_had_taken_it_from(bench: Bench) -> None:
    config = Config(state_dir=bench.folder.parent)
    bench.photo("Anna/1.png", RED, seed=1)
    bench.photo("Bert/1.png", GREEN, seed=2)
    bench.settle()
    merge_people(config, bench.store, "Anna", "Bert")
    bench.photo("Anna/1.png", BLUE, seed=3)
    assert undo_change(config, bench.store, None)[1] == []
    bench.settle()
    photos = sorted(p.relative_to(bench.folder).as_posix() for p in bench.folder.rglob("*.png"))
    assert photos == ["Anna/1.png", "Bert/1-2.png", "Bert/1.png"]
    assert audit(bench.store) == []
