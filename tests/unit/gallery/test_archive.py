from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from galleryparts import MODEL, unit

from streamd.config import GalleryConfig
from streamd.errors import GalleryError
from streamd.gallery.archive import export_gallery, opened_archive
from streamd.gallery.audit import audit, mend
from streamd.gallery.importer import Imported, import_people
from streamd.gallery.rows import NewFace
from streamd.gallery.sharedwith import keep_shared
from streamd.gallery.signing import Signer
from streamd.gallery.store import GalleryStore, Mark
from streamd.gallery.strangers import Sighting, StrangerRecords
from streamd.gallery.vault import Vault

CHIP = cv2.imencode(".jpg", np.zeros((112, 112, 3), np.uint8))[1].tobytes()


def kept(number: int, *, dim: int = 16, source: str = "") -> NewFace:
    return NewFace(unit(number, dim), MODEL, CHIP, 0.8, source or f"photo:{number}.jpg", f"{number:064x}")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GalleryStore]:
    with GalleryStore(tmp_path / "here" / "gallery.sqlite") as opened:
        yield opened


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[GalleryStore]:
    with GalleryStore(tmp_path / "there" / "gallery.sqlite") as opened:
        yield opened


@pytest.fixture
def archive(tmp_path: Path, store: GalleryStore) -> Path:
    store.add_faces("Anna", [kept(1), kept(2)])
    store.add_faces("Бруно", [kept(3, source="folder:Бруно/x.jpg")], origin="folder")
    store.label("Anna", [("site", "hq")])
    store.describe("Anna", notes="left-handed", consent="2026-01-01")
    path = tmp_path / "people.streamd"
    export_gallery(store, path, Signer.of(tmp_path / "here"))
    return path


def take(
    archive: Path, into: GalleryStore, *, trusted: str = "", merge: bool = False, vault: Vault | None = None
) -> Imported:
    signer = trusted or Signer.of(archive.parent / "here").public_key
    with opened_archive(archive, into.path.parent, trusted={signer}, vault=vault) as (_, inside):
        return import_people(into, inside, merge=merge)


def test_people_arrive_whole_with_their_faces_labels_and_notes(archive: Path, elsewhere: GalleryStore) -> None:
    assert take(archive, elsewhere) == Imported(people=2, merged=0, faces=3, known=0)
    anna = elsewhere.person("Anna")
    assert (anna.faces, anna.notes, anna.consent) == (2, "left-handed", "2026-01-01")
    assert anna.labels == {("site", "hq")}
    delta = elsewhere.delta(MODEL, Mark())
    assert np.array_equal(delta.vectors, [unit(1), unit(2), unit(3)])
    assert audit(elsewhere) == []
    assert elsewhere.person("Бруно").origin == "command"
    assert list(elsewhere.path.parent.glob(".*")) == []


def test_a_gallery_with_people_needs_merge_and_merging_twice_adds_nothing(
    archive: Path, elsewhere: GalleryStore
) -> None:
    elsewhere.add_faces("Anna", [kept(9)])
    with pytest.raises(GalleryError, match="not empty: --merge"):
        take(archive, elsewhere)
    assert take(archive, elsewhere, merge=True) == Imported(people=1, merged=1, faces=3, known=0)
    assert elsewhere.person("Anna").faces == 3
    assert take(archive, elsewhere, merge=True) == Imported(people=0, merged=2, faces=0, known=3)


def test_an_import_can_be_undone(archive: Path, elsewhere: GalleryStore) -> None:
    elsewhere.add_faces("Zoe", [kept(9)])
    take(archive, elsewhere, merge=True)
    elsewhere.undo()
    assert [p.name for p in elsewhere.people()] == ["Zoe"]


def test_what_was_removed_or_forgotten_is_not_in_an_archive(tmp_path: Path, store: GalleryStore) -> None:
    store.add_faces("Anna", [kept(1), kept(2)])
    store.remove_source("photo:1.jpg")
    path = tmp_path / "a"
    export_gallery(store, path, Signer.of(tmp_path))
    assert unit(1).tobytes() not in path.read_bytes()
    assert unit(2).tobytes() in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600


def test_ids_of_those_who_are_no_more_are_not_in_an_archive(tmp_path: Path, store: GalleryStore) -> None:
    keep_shared(store, GalleryConfig(kind="pgvector", dsn="postgresql://nowhere/x"))
    for name in ("Anna", "Bert"):
        store.add_faces(name, [kept(1)])
    anna, bert = (store.person(name).id for name in ("Anna", "Bert"))
    records = StrangerRecords(store.database)
    for stranger in ("unknown-1", "unknown-2"):
        records.record(Sighting(stranger, "t", "door", 1.0, MODEL, []))
    records.merge("unknown-1", "unknown-2", noted=False)
    store.forget("Anna")
    path = tmp_path / "a"
    export_gallery(store, path, Signer.of(tmp_path))
    packed = path.read_bytes()
    assert bert.encode() in packed
    assert anna.encode() not in packed
    assert b"unknown-1" not in packed


def test_nothing_is_overwritten(archive: Path, store: GalleryStore) -> None:
    before = archive.read_bytes()
    with pytest.raises(GalleryError, match="exists already"):
        export_gallery(store, archive, Signer.of(archive.parent))
    assert archive.read_bytes() == before


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: flip(data, 520), "damaged|not a gallery archive"),
        (lambda data: flip(data, len(data) // 2), "damaged"),
        (lambda data: data[: len(data) // 2], "damaged"),
        (lambda data: data[:100], "damaged|not a gallery archive"),
        (lambda data: b"", "damaged|not a gallery archive"),
        (lambda data: b"PK\x03\x04" + bytes(5000), "damaged|not a gallery archive"),
    ],
    ids=["manifest", "faces", "half", "stub", "empty", "zip"],
)
def test_a_damaged_archive_is_refused_whole(
    archive: Path, elsewhere: GalleryStore, damage: Callable[[bytes], bytes], said: str
) -> None:
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(GalleryError, match=said):
        take(archive, elsewhere)
    assert elsewhere.people() == []
    assert elsewhere.version() == 0


def test_an_archive_of_a_stranger_is_refused_and_says_whose_it_is(archive: Path, elsewhere: GalleryStore) -> None:
    maker = Signer.of(archive.parent / "here").public_key
    with pytest.raises(GalleryError, match=f"made elsewhere, by {maker}"):
        take(archive, elsewhere, trusted=Signer.of(archive.parent / "there").public_key)


def test_an_archive_with_other_members_is_no_archive(archive: Path, elsewhere: GalleryStore, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    with tarfile.open(archive, "w") as tar:
        tar.add(tmp_path / "x", "../../escape")
    with pytest.raises(GalleryError, match="not a gallery archive"):
        take(archive, elsewhere)


def test_faces_of_an_encrypted_gallery_stay_sealed_on_the_way(tmp_path: Path, elsewhere: GalleryStore) -> None:
    key, path = Vault(bytes(32)), tmp_path / "sealed"
    with GalleryStore(tmp_path / "here" / "gallery.sqlite", vault=key) as store:
        store.add_faces("Anna", [kept(1)])
        assert export_gallery(store, path, Signer.of(tmp_path / "here")).encrypted
    assert unit(1).tobytes() not in path.read_bytes()
    for wrong in (None, Vault(bytes(31) + b"x")):
        with pytest.raises(GalleryError, match=f"archive {path} is encrypted.*: --key-file FILE opens it"):
            take(path, elsewhere, vault=wrong)
    take(path, elsewhere, vault=key)
    assert np.array_equal(elsewhere.delta(MODEL, Mark()).vectors, [unit(1)])


def test_embeddings_of_another_length_are_refused(archive: Path, elsewhere: GalleryStore) -> None:
    elsewhere.add_faces("Zoe", [kept(9, dim=8)])
    with pytest.raises(GalleryError, match="have 16 numbers, here they have 8"):
        take(archive, elsewhere, merge=True)


def test_an_audit_finds_what_is_wrong_and_mends_what_can_be(store: GalleryStore) -> None:
    store.add_faces("Anna", [kept(1), kept(2), kept(3)])
    assert audit(store) == []
    with store.database.write() as connection:
        connection.execute("UPDATE faces SET vector = zeroblob(64) WHERE id = 1")
        connection.execute("UPDATE faces SET chip = x'00' WHERE id = 2")
        connection.execute("INSERT INTO photos VALUES ('Anna/lost.jpg', 1, 1, ?, '')", (MODEL,))
        connection.execute("INSERT INTO people (id, name, origin, created_wall_s) VALUES ('1', 'a/b', 'command', 0)")
    said = [finding.message for finding in audit(store)]
    assert len(said) == 4
    assert "face 1 of 'Anna': an embedding of length 0, not 1" in said
    assert "face 2 of 'Anna': a crop that is no picture" in said
    assert "photo 'Anna/lost.jpg' counts as enrolled, but its face is not there" in said
    assert mend(store, audit(store)) == 3
    assert [finding.message for finding in audit(store)] == ["person 'a/b': not a name that streamd writes"]
    assert store.person("Anna").faces == 1
