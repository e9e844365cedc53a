from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from galleryparts import GREEN, RED, ColourEmbedder, SquareDetector, photo_bytes, write_photo

from streamd.cli import main
from streamd.gallery.enrolment import Enroller
from streamd.gallery.folder import FolderSync
from streamd.gallery.store import GalleryStore

pytestmark = pytest.mark.usefixtures("state")


@pytest.fixture
def anna(tmp_path: Path) -> Path:
    return write_photo(tmp_path / "photos" / "anna.png", RED)


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return write_photo(tmp_path / "photos" / "bert.png", GREEN)


Output = pytest.CaptureFixture[str]


def said(capsys: Output, *args: object) -> tuple[int, str]:
    """Exit code and standard output of one command."""
    capsys.readouterr()
    code = main([str(a) for a in args])
    return code, capsys.readouterr().out


def test_enrolling_prints_a_line_per_photo_and_a_sum(capsys: Output, anna: Path) -> None:
    code, out = said(capsys, "enroll", "Anna", anna, anna.with_name("none.jpg"))
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith(f"accepted  {anna}: face of 120 pixels")
    assert lines[1] == f"refused   {anna.with_name('none.jpg')}: no such file (unreadable)"
    assert lines[2] == "Anna: 1 of 2 photos enrolled"


def test_a_folder_is_every_photo_in_it(capsys: Output, anna: Path, bert: Path) -> None:
    (anna.parent / "notes.txt").write_text("not a photo")
    code, out = said(capsys, "enroll", "Anna", anna.parent, "--json")
    assert code == 0
    assert [Path(p["path"]).name for p in json.loads(out)["photos"]] == ["anna.png", "bert.png"]


def test_nothing_accepted_is_exit_69(capsys: Output, tmp_path: Path) -> None:
    crowd = tmp_path / "crowd.png"
    crowd.write_bytes(photo_bytes(RED, sides_px=(100, 100)))
    code, out = said(capsys, "enroll", "Anna", crowd)
    assert code == 69
    assert "(several_faces)" in out
    assert said(capsys, "person", "list", "--json")[1].strip() == "[]"


def test_a_dry_run_stores_nothing(capsys: Output, anna: Path) -> None:
    code, out = said(capsys, "enroll", "--dry-run", "Anna", anna)
    assert code == 0
    assert "1 of 1 photo would be enrolled" in out
    assert "the gallery is empty" in said(capsys, "person", "list")[1]


@pytest.mark.parametrize("name", ["a/b", " ", "x" * 81])
def test_a_name_that_cannot_be_is_exit_64(capsys: Output, anna: Path, name: str) -> None:
    assert main(["enroll", name, str(anna)]) == 64
    assert "person's name" in capsys.readouterr().err


def test_an_empty_folder_is_exit_64(capsys: Output, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["enroll", "Anna", str(tmp_path / "empty")]) == 64
    assert "no photos in" in capsys.readouterr().err


def test_people_are_listed_shown_renamed_and_forgotten(capsys: Output, anna: Path, bert: Path) -> None:
    said(capsys, "enroll", "Anna", anna)
    said(capsys, "enroll", "Bert", bert)
    assert [line.split()[:2] for line in said(capsys, "person", "list")[1].splitlines()] == [
        ["Anna", "1"],
        ["Bert", "1"],
    ]
    shown = json.loads(said(capsys, "person", "show", "Anna", "--json")[1])
    assert shown["faces"][0]["source"] == "photo:anna.png"
    assert said(capsys, "person", "rename", "Anna", "Anne") == (0, "Anna is now Anne\n")
    code, out = said(capsys, "person", "forget", "Anne")
    assert code == 0
    assert out.startswith("Anne is forgotten (")
    assert "1 embeddings and 1 crops deleted" in out
    assert [p["name"] for p in json.loads(said(capsys, "person", "list", "--json")[1])] == ["Bert"]


def test_nobody_of_that_name_is_exit_69(capsys: Output) -> None:
    assert main(["person", "forget", "Anna"]) == 69
    assert "there is no person 'Anna'" in capsys.readouterr().err


def synced(state: Path) -> GalleryStore:
    store = GalleryStore(state / "gallery.sqlite")
    enroller = Enroller(store, SquareDetector(), ColourEmbedder())
    sync = FolderSync(state / "gallery", store, enroller, wall_clock=lambda: 4e9)
    while sync.step().busy:
        pass
    return store


def test_renaming_takes_the_folder_along(capsys: Output, state: Path) -> None:
    write_photo(state / "gallery" / "Ana" / "1.png")
    synced(state).close()
    code, out = said(capsys, "person", "rename", "Ana", "Anna")
    assert code == 0
    assert f"their photos are now in {state / 'gallery' / 'Anna'}" in out
    with synced(state) as store:
        assert [(p.name, p.faces) for p in store.people()] == [("Anna", 1)]
        assert "faces.removed" not in [c.what for c in store.changes()]


def test_forgetting_names_the_photos_that_are_left(capsys: Output, state: Path) -> None:
    photo = write_photo(state / "gallery" / "Anna" / "1.png")
    synced(state).close()
    code, out = said(capsys, "person", "forget", "Anna")
    assert code == 0
    assert f"  {photo}" in out.splitlines()
    with synced(state) as store:
        assert store.people() == []


def test_the_status_counts_and_names_refused_photos(capsys: Output, state: Path, anna: Path) -> None:
    said(capsys, "enroll", "Anna", anna)
    crowd = state / "gallery" / "Bert" / "crowd.png"
    crowd.parent.mkdir(parents=True)
    crowd.write_bytes(photo_bytes(RED, sides_px=(100, 100)))
    synced(state).close()
    code, out = said(capsys, "gallery", "status")
    assert code == 0
    assert "people   1" in out
    assert "refused  Bert/crowd.png: several_faces" in out
    status = json.loads(said(capsys, "gallery", "status", "--json")[1])
    assert status["faces"] == {"colours@0123456789ab": 1}
    assert status["refused"] == {"several_faces": 1}


def test_the_log_tells_changes_in_order(capsys: Output, anna: Path) -> None:
    said(capsys, "enroll", "Anna", anna)
    said(capsys, "person", "rename", "Anna", "Anne")
    lines = [json.loads(line) for line in said(capsys, "gallery", "log", "--json")[1].splitlines()]
    assert [line["what"] for line in lines] == ["person.enrolled", "faces.added", "person.renamed"]
    assert len(said(capsys, "gallery", "log", "--after", 2)[1].splitlines()) == 1


def test_recognising_says_name_similarity_and_runner_up(capsys: Output, anna: Path, bert: Path) -> None:
    said(capsys, "enroll", "Anna", anna)
    said(capsys, "enroll", "Bert", bert)
    code, out = said(capsys, "recognize", anna)
    assert code == 0
    assert out.startswith(f"{anna}: Anna, similarity 1.00 (threshold 0.45, next Bert ")
    assert out.rstrip().endswith("box 30,60,150,180")


def test_a_stranger_is_unknown(capsys: Output, anna: Path, bert: Path) -> None:
    said(capsys, "enroll", "Anna", anna)
    face = json.loads(said(capsys, "recognize", "--json", bert)[1])[0]["faces"][0]
    assert face["name"] is None
    assert face["nearest"] == "Anna"
    assert face["similarity"] < face["threshold"]


def test_with_an_empty_gallery_everybody_is_unknown(capsys: Output, anna: Path) -> None:
    code, out = said(capsys, "recognize", anna)
    assert (code, out) == (0, f"{anna}: unknown, box 30,60,150,180\n")


def test_every_face_of_a_group_is_named(capsys: Output, tmp_path: Path) -> None:
    group = tmp_path / "group.png"
    group.write_bytes(photo_bytes(RED, sides_px=(120, 100, 80)))
    assert len(said(capsys, "recognize", group)[1].splitlines()) == 3


def test_photos_that_cannot_be_read_are_exit_69(capsys: Output, tmp_path: Path, anna: Path) -> None:
    missing = tmp_path / "none.jpg"
    assert said(capsys, "recognize", missing) == (69, f"{missing}: no such file\n")
    assert said(capsys, "recognize", missing, anna)[0] == 0


def test_two_photos_of_one_person_verify(capsys: Output, tmp_path: Path, anna: Path, bert: Path) -> None:
    other = write_photo(tmp_path / "photos" / "anna2.png", RED, seed=7)
    code, out = said(capsys, "verify", anna, other)
    assert code == 0
    assert out.startswith("the same person: similarity 0.")
    code, out = said(capsys, "verify", "--json", anna, bert)
    body = json.loads(out)
    assert (code, body["same"]) == (0, False)
    assert body["faces"][1]["box"] == [30, 60, 150, 180]


def test_verifying_without_a_face_is_exit_69(capsys: Output, tmp_path: Path, anna: Path) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("words")
    assert main(["verify", str(anna), str(text)]) == 69
    assert "text is not a photo" in capsys.readouterr().err


def test_a_damaged_gallery_is_exit_69(capsys: Output, state: Path) -> None:
    state.mkdir()
    (state / "gallery.sqlite").write_bytes(b"x" * 5000)
    assert main(["person", "list"]) == 69
    assert "the file is damaged" in capsys.readouterr().err


def test_a_folder_of_people_is_enrolled_in_one_run_and_again_without_harm(capsys: Output, tmp_path: Path) -> None:
    for name, colour in (("Zoë", RED), ("李小龍", GREEN)):
        for n in range(3):
            write_photo(tmp_path / "people" / name / f"{n}.png", colour, seed=n)
    write_photo(tmp_path / "people" / "Zoë" / "wrong.png", GREEN, seed=9)
    code, out = said(capsys, "enroll", "--people", tmp_path / "people")
    assert code == 0
    assert out.splitlines()[-1] == "2 people: 6 of 7 photos enrolled"
    assert "unlike the other photos given" in out
    code, out = said(capsys, "enroll", "--people", tmp_path / "people", "--json")
    assert code == 69
    assert {p["reason"] for person in json.loads(out) for p in person["photos"]} == {"duplicate", "closer_to_other"}


def test_what_a_folder_of_people_holds_besides_is_told(capsys: Output, tmp_path: Path) -> None:
    people = tmp_path / "people"
    for place in ("Zoë/1.png", "Zoë/2024/2.png", "Zoë/@eaDir/3.png", "Anna.png", "Zoë/.4.png"):
        write_photo(people / place, RED)
    (people / "Zoë" / "5.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    assert main(["enroll", "--people", str(people)]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[-1] == "1 people: 1 of 2 photos enrolled"
    assert "5.HEIC" in told.out
    assert told.err.count("passed over: ") == 2
    assert f"{people / 'Anna.png'} and all photos beside the folders" in told.err
    assert f"{people / 'Zoë' / '2024'}, a folder inside" in told.err


@pytest.mark.parametrize(
    "args", [["enroll"], ["enroll", "Anna"], ["enroll", "--people", "nowhere"], ["enroll", "Anna", "--people", "."]]
)
def test_what_is_missing_is_exit_64(capsys: Output, args: list[str]) -> None:
    assert main(args) == 64
    assert capsys.readouterr().err


def test_a_video_that_is_not_there_is_exit_69(capsys: Output, tmp_path: Path) -> None:
    assert main(["enroll", "Anna", str(tmp_path / "none.mp4")]) == 69
    assert "no such file" in capsys.readouterr().err


@pytest.fixture
def two_way(tmp_path: Path) -> Path:
    """The watched folder of a configuration that writes to it."""
    (tmp_path / "streamd.yaml").write_text("state_dir: state\ngallery: {write_folder: true}\n")
    return tmp_path / "state" / "gallery"


def sync_of(folder: Path, store: GalleryStore) -> FolderSync:
    return FolderSync(folder, store, Enroller(store, SquareDetector(), ColourEmbedder()), wall_clock=lambda: 4e9)


@pytest.mark.parametrize("name", ["Zoë", "李小龍", "محمد", "anna", "Anna.B", "🙂"])
def test_a_photo_enrolled_by_command_is_in_the_folder_and_known_to_it(
    capsys: Output, tmp_path: Path, two_way: Path, name: str
) -> None:
    photo = write_photo(tmp_path / "p.png", RED)
    assert said(capsys, "enroll", name, photo)[0] == 0
    assert (two_way / name / "p.png").read_bytes() == photo.read_bytes()
    with GalleryStore(tmp_path / "state" / "gallery.sqlite") as store:
        report = sync_of(two_way, store).step()
        assert (report.enrolled, report.refused, report.removed, report.busy) == ([], [], [], False)
        assert [f.source for f in store.faces_of(store.person(name).id)] == [f"folder:{name}/p.png"]
        shutil.rmtree(two_way / name)
        sync = sync_of(two_way, store)
        while sync.step().busy:
            pass
        assert store.people() == []


def test_photos_of_one_name_stand_side_by_side_and_go_with_the_person(
    capsys: Output, tmp_path: Path, two_way: Path
) -> None:
    for n in range(2):
        said(capsys, "enroll", "Anna", write_photo(tmp_path / str(n) / "p.png", RED, seed=n))
    assert sorted(p.name for p in (two_way / "Anna").iterdir()) == ["p-2.png", "p.png"]
    receipt = json.loads(said(capsys, "person", "forget", "Anna", "--json")[1])
    assert len(receipt["photos_deleted"]) == 2
    assert not (two_way / "Anna").exists()


def test_of_a_photo_for_which_there_is_no_room_nothing_stays_in_the_folder(
    capsys: Output, tmp_path: Path, two_way: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("streamd.gallery.folderwriter.os.fsync", full)
    assert main(["enroll", "Anna", str(write_photo(tmp_path / "p.png", RED))]) == 69
    assert "no space left" in capsys.readouterr().err
    assert list((two_way / "Anna").iterdir()) == [], "a hidden file there would outlive the person"


def test_a_name_too_long_for_a_folder_is_said_and_nothing_is_kept(
    capsys: Output, tmp_path: Path, two_way: Path
) -> None:
    assert main(["enroll", "🙂" * 70, str(write_photo(tmp_path / "p.png", RED))]) == 69
    assert "has 280 bytes" in capsys.readouterr().err
    assert said(capsys, "person", "list", "--json")[1].strip() == "[]"
