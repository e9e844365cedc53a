from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from galleryparts import GREEN, RED, write_photo

from streamd.cli import main

Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that somebody holds is given up soon."""
    monkeypatch.setattr("streamd.journalfile.BUSY_TIMEOUT_S", 0.2)


@pytest.fixture
def enrolled(state: Path, tmp_path: Path, capsys: Output) -> Path:
    said(capsys, "enroll", "Anna", write_photo(tmp_path / "anna.png", RED))
    said(capsys, "enroll", "Bert", write_photo(tmp_path / "bert.png", GREEN))
    return state


def said(capsys: Output, *args: object) -> tuple[int, str]:
    capsys.readouterr()
    code = main([str(a) for a in args])
    return code, capsys.readouterr().out


def names(capsys: Output) -> list[str]:
    return [p["name"] for p in json.loads(said(capsys, "person", "list", "--json")[1])]


def test_a_backup_is_restored_as_it_says_after_a_power_cut_too(enrolled: Path, capsys: Output, tmp_path: Path) -> None:
    file, kept = enrolled / "gallery.sqlite", tmp_path / "kept"
    out = said(capsys, "gallery", "backup", tmp_path / "the copy.sqlite")[1]
    with closing(sqlite3.connect(file)) as reader:
        reader.execute("SELECT count(*) FROM sqlite_master").fetchone()  # while it is open the log stays
        said(capsys, "person", "rename", "Bert", "Ben")
        shutil.copytree(enrolled, kept)
    shutil.rmtree(enrolled)
    kept.rename(enrolled)
    assert Path(f"{file}-wal").exists()
    subprocess.run(out.splitlines()[1], shell=True, check=True, timeout=60)
    assert names(capsys) == ["Anna", "Bert"]
    assert said(capsys, "gallery", "audit")[0] == 0


def test_undo_takes_the_newest_change_back(enrolled: Path, capsys: Output) -> None:
    code, out = said(capsys, "gallery", "undo")
    assert (code, out) == (0, "version 3 undone: person.enrolled, faces.added\n")
    assert names(capsys) == ["Anna"]
    assert main(["gallery", "undo", "77"]) == 69
    assert "no version 77" in capsys.readouterr().err


def test_undoing_a_rename_moves_the_photos_back(enrolled: Path, capsys: Output) -> None:
    write_photo(enrolled / "gallery" / "Anna" / "x.png", RED)
    said(capsys, "person", "rename", "Anna", "Anne")
    code, out = said(capsys, "gallery", "undo")
    assert code == 0
    assert f"their photos are now in {enrolled / 'gallery' / 'Anna'}" in out
    assert (enrolled / "gallery" / "Anna" / "x.png").exists()


def test_an_audit_says_that_all_is_well_or_what_is_not(enrolled: Path, capsys: Output) -> None:
    assert said(capsys, "gallery", "audit") == (0, "everything is consistent\n")
    assert json.loads(said(capsys, "gallery", "audit", "--json")[1]) == {"clean": True, "mended": 0, "findings": []}


def test_people_move_by_archive(enrolled: Path, capsys: Output, tmp_path: Path) -> None:
    file = tmp_path / "people.streamd"
    code, out = said(capsys, "gallery", "export", file)
    assert code == 0
    assert "2 people, 2 faces" in out
    assert "NOT encrypted" in out
    said(capsys, "person", "forget", "Anna")
    assert said(capsys, "gallery", "import", file)[0] == 69
    code, out = said(capsys, "gallery", "import", file, "--merge")
    assert (code, out) == (0, "1 people added, 1 merged, 1 faces, 1 were here already\n")
    assert names(capsys) == ["Anna", "Bert"]


def test_a_backup_is_a_gallery(enrolled: Path, capsys: Output, tmp_path: Path) -> None:
    from streamd.gallery.store import GalleryStore

    code, out = said(capsys, "gallery", "backup", tmp_path / "copy.sqlite")
    assert code == 0
    assert str(enrolled / "gallery.sqlite") in out
    with GalleryStore(tmp_path / "copy.sqlite") as copy:
        assert [p.name for p in copy.people()] == ["Anna", "Bert"]
    assert said(capsys, "gallery", "backup", tmp_path / "copy.sqlite")[0] == 69


def test_a_gallery_is_encrypted_and_decrypted(enrolled: Path, capsys: Output, tmp_path: Path) -> None:
    key, config = tmp_path / "key", tmp_path / "streamd.yaml"
    assert said(capsys, "gallery", "new-key", key)[0] == 0
    code, out = said(capsys, "gallery", "rekey", "--to", key)
    assert code == 0
    assert out.startswith("2 faces encrypted\n")
    assert f"gallery.key_file: {key}" in out
    assert main(["person", "list"]) == 69
    assert "is encrypted: set gallery.key_file" in capsys.readouterr().err
    config.write_text(f"state_dir: state\ngallery: {{key_file: {key}}}\n")
    assert names(capsys) == ["Anna", "Bert"]
    assert json.loads(said(capsys, "gallery", "status", "--json")[1])["encrypted"] is True
    assert said(capsys, "gallery", "rekey", "--plain")[0] == 0
    config.write_text("state_dir: state\n")
    assert names(capsys) == ["Anna", "Bert"]
    assert main(["gallery", "rekey", "--plain"]) == 64


def test_people_are_merged_and_split(enrolled: Path, capsys: Output) -> None:
    for person, file in (("Anna", "x.png"), ("Bert", "x.png"), ("Bert", "y.png")):
        write_photo(enrolled / "gallery" / person / file, RED)
    code, out = said(capsys, "person", "merge", "Bert", "Anna")
    assert code == 0
    assert out.startswith("Bert is Anna now: 1 face went over")
    assert names(capsys) == ["Anna"]
    assert sorted(p.name for p in (enrolled / "gallery" / "Anna").iterdir()) == ["x-2.png", "x.png", "y.png"]
    assert not (enrolled / "gallery" / "Bert").exists()
    faces = json.loads(said(capsys, "person", "show", "Anna", "--json")[1])["faces"]
    code, out = said(capsys, "person", "split", "Anna", "Berta", "--faces", faces[1]["id"])
    assert (code, out) == (0, "Berta has 1 face of Anna\n")
    assert names(capsys) == ["Anna", "Berta"]


def test_notes_and_consent_are_kept_and_shown(enrolled: Path, capsys: Output) -> None:
    assert said(capsys, "person", "note", "Anna", "--notes", "left-handed", "--consent", "signed 2026-01-01")[0] == 0
    out = said(capsys, "person", "show", "Anna")[1]
    assert "notes: left-handed" in out
    assert "consent: signed 2026-01-01" in out
    assert main(["person", "note", "Anna"]) == 64


def test_forgetting_gives_a_receipt_and_leaves_no_trace(enrolled: Path, capsys: Output) -> None:
    from streamd.gallery.delta import Mark
    from streamd.gallery.store import GalleryStore

    said(capsys, "person", "label", "Anna", "site=hq")
    said(capsys, "person", "note", "Anna", "--notes", "Anna is tall")
    said(capsys, "person", "rename", "Anna", "Annabel")
    with GalleryStore(enrolled / "gallery.sqlite") as store:
        face = store.faces_of(store.person("Annabel").id)[0]
        crop = store.chip_jpeg(face.id)
        delta = store.delta(face.model_id, Mark())
        vector = delta.vectors[list(delta.face_ids).index(face.id)].tobytes()
        other = store.chip_jpeg(store.faces_of(store.person("Bert").id)[0].id)
        # SQLite does not keep it in one piece, and all JPEG files begin alike.
        pieces = [p for at in range(0, len(crop) - 64, 64) if (p := crop[at : at + 64]) not in other]
        held = b"".join(p.read_bytes() for p in enrolled.glob("gallery.sqlite*"))
        assert any(piece in held for piece in pieces)
    code, out = said(capsys, "person", "forget", "Annabel", "--json")
    receipt = json.loads(out)
    assert code == 0
    assert (receipt["forgotten"], receipt["faces"], receipt["erased"]) == ("Annabel", 1, True)
    for path in enrolled.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert b"Anna" not in data, path
            assert not any(piece in data for piece in pieces), path
            assert vector not in data, path


def test_photos_in_the_folder_go_only_when_asked(enrolled: Path, capsys: Output) -> None:
    from galleryparts import ColourEmbedder, SquareDetector

    from streamd.gallery.enrolment import Enroller
    from streamd.gallery.folder import FolderSync
    from streamd.gallery.store import GalleryStore

    photo = write_photo(enrolled / "gallery" / "Carla" / "x.png", (250, 250, 130))
    with GalleryStore(enrolled / "gallery.sqlite") as store:
        enroller = Enroller(store, SquareDetector(), ColourEmbedder())
        FolderSync(enrolled / "gallery", store, enroller, wall_clock=lambda: photo.stat().st_mtime + 60).step()
    receipt = json.loads(said(capsys, "person", "forget", "Carla", "--photos", "--json")[1])
    assert receipt["photos_deleted"] == [str(photo)]
    assert not photo.parent.exists()


def test_forgetting_that_could_not_be_finished_is_no_success_and_is_taken_up_again(
    enrolled: Path, capsys: Output
) -> None:
    from streamd.journal import Journal

    with Journal(enrolled / "journal.sqlite"):
        pass
    with closing(sqlite3.connect(enrolled / "journal.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        code, out = said(capsys, "person", "forget", "Anna")
        assert code == 69
        assert "not done yet" in out
    code, out = said(capsys, "person", "forget", "Anna")
    assert code == 0
    assert "Anna is forgotten" in out
    assert all(b"Anna" not in path.read_bytes() for path in enrolled.glob("*.sqlite*"))


def test_forgetting_a_stranger_that_could_not_be_finished_is_taken_up_again(enrolled: Path, capsys: Output) -> None:
    from streamd.gallery.store import GalleryStore
    from streamd.gallery.strangers import Sighting, StrangerRecords
    from streamd.journal import Journal

    with GalleryStore(enrolled / "gallery.sqlite") as store:
        StrangerRecords(store.database).record(Sighting("unknown-7f3a", "t", "door", 1.0, "m", []))
    with Journal(enrolled / "journal.sqlite"):
        pass
    with closing(sqlite3.connect(enrolled / "journal.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        code, out = said(capsys, "unknown", "forget", "unknown-7f3a")
        assert code == 69
        assert "not done yet" in out
    code, out = said(capsys, "unknown", "forget", "unknown-7f3a", "--json")
    assert (code, json.loads(out)) == (0, {"forgotten": "unknown-7f3a", "events": 0, "undone": []})
    assert main(["unknown", "forget", "unknown-7f3a"]) == 69
    assert "there is no unknown 'unknown-7f3a'" in capsys.readouterr().err
