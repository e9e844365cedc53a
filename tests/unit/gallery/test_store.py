from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from galleryparts import MODEL, OTHER_MODEL, face, near, unit

from streamd.config import Config
from streamd.errors import GalleryError, UsageError
from streamd.gallery.database import Database, _words
from streamd.gallery.names import person_name
from streamd.gallery.schema import MIGRATIONS
from streamd.gallery.store import GalleryStore, Mark
from streamd.traces import erase_traces


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GalleryStore]:
    with GalleryStore(tmp_path / "gallery.sqlite") as opened:
        yield opened


def people(store: GalleryStore) -> dict[str, int]:
    return {p.name: p.faces for p in store.people()}


def test_faces_come_back_with_their_person(store: GalleryStore) -> None:
    vector = unit(1)
    ids = store.add_faces("Anna", [face(vector, "photo:a.jpg"), face(near(vector, 2), "photo:b.jpg")])
    assert people(store) == {"Anna": 2}
    kept = store.faces_of(store.person("Anna").id)
    assert [f.id for f in kept] == ids
    assert [f.source for f in kept] == ["photo:a.jpg", "photo:b.jpg"]
    delta = store.delta(MODEL, Mark())
    assert np.array_equal(delta.vectors[0], vector)
    assert delta.vectors.dtype == np.float32
    assert store.chip_jpeg(ids[0]) == b"jpeg"


def test_every_change_raises_the_version(store: GalleryStore) -> None:
    seen = [store.version()]
    face_id = store.add_faces("Anna", [face(unit(1), "photo:a")])[0]
    seen.append(store.version())
    store.add_faces("Anna", [face(unit(2), "photo:b")])
    seen.append(store.version())
    store.rename("Anna", "Anne")
    seen.append(store.version())
    store.remove_face(face_id)
    seen.append(store.version())
    store.remove_source("photo:b")
    seen.append(store.version())
    store.forget("Anne")
    seen.append(store.version())
    assert seen == sorted(set(seen))
    whats = [c.what for c in store.changes()]
    assert whats[0] == "person.enrolled"
    assert whats[-1] == "person.forgotten"


def test_what_changes_nothing_leaves_the_version_alone(store: GalleryStore) -> None:
    store.add_faces("Anna", [face(unit(1))])
    before = store.version()
    assert not store.remove_face(999)
    assert store.remove_source("photo:unknown") == 0
    with pytest.raises(GalleryError, match="no person 'Bert'"):
        store.forget("Bert")
    assert store.version() == before


def test_a_name_is_one_person_however_its_accents_are_written(store: GalleryStore) -> None:
    store.add_faces(unicodedata.normalize("NFD", "Zoë"), [face(unit(1), "photo:a")])
    store.add_faces(unicodedata.normalize("NFC", "Zoë"), [face(unit(2), "photo:b")])
    assert people(store) == {"Zoë": 2}


@pytest.mark.parametrize(
    "name", ["", " ", "a/b", "a\\b", "..", "tab\there", "nul\0", "\x1b[31m", "x" * 81, " a", "\ud800"]
)
def test_names_that_cannot_be_are_refused(store: GalleryStore, name: str) -> None:
    with pytest.raises(UsageError, match="person's name"):
        store.add_faces(name, [face(unit(1))])
    assert people(store) == {}


@pytest.mark.parametrize("name", ["Zoë", "李小龍", "محمد", "Анна-Мария O'Neil", "x" * 80, "می\u200cخواهم"])
def test_names_in_any_script_are_taken(name: str) -> None:
    assert person_name(name) == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize(
    ("vector", "said"),
    [
        (np.full(16, np.nan, np.float32), "length nan"),
        (np.full(16, np.inf, np.float32), "length inf"),
        (np.zeros(16, np.float32), "length 0, not 1"),
        (unit(1) * np.float32(1.5), "length 1.5, not 1"),
        (unit(1).reshape(4, 4), r"shape \(4, 4\)"),
        (unit(1, 8), "has 8 numbers, others of .* have 16"),
    ],
)
def test_a_vector_that_cannot_be_one_is_refused_and_nothing_is_kept(
    store: GalleryStore, vector: np.ndarray, said: str
) -> None:
    store.add_faces("Anna", [face(unit(0))])
    before = store.version()
    with pytest.raises(GalleryError, match=said):
        store.add_faces("Bert", [face(unit(5)), face(vector)])
    assert people(store) == {"Anna": 1}
    assert store.version() == before


def test_another_model_may_have_another_dimension(store: GalleryStore) -> None:
    store.add_faces("Anna", [face(unit(0)), face(unit(0, 8), model_id=OTHER_MODEL)])
    assert store.faces_by_model() == {MODEL: 1, OTHER_MODEL: 1}
    assert store.delta(OTHER_MODEL, Mark()).vectors.shape == (1, 8)


def test_a_reader_is_told_only_what_it_missed(store: GalleryStore) -> None:
    first = store.add_faces("Anna", [face(unit(1), "photo:a"), face(unit(2), "photo:b")])
    seen = store.delta(MODEL, Mark())
    store.remove_face(first[0])
    third = store.add_faces("Bert", [face(unit(3), "photo:c")])
    missed = store.delta(MODEL, seen.mark)
    assert missed.face_ids.tolist() == third
    assert missed.removed == {first[0]}
    assert sorted(missed.names.values()) == ["Anna", "Bert"]
    assert not store.delta(MODEL, missed.mark).removed


def test_renaming_to_a_name_that_is_taken_is_refused(store: GalleryStore) -> None:
    store.add_faces("Anna", [face(unit(1))])
    store.add_faces("Bert", [face(unit(2))])
    with pytest.raises(GalleryError, match="there is a person 'Bert' already"):
        store.rename("Anna", "Bert")
    assert people(store) == {"Anna": 1, "Bert": 1}


def test_a_misspelt_name_is_answered_with_the_nearest(store: GalleryStore) -> None:
    store.add_faces("Annabelle", [face(unit(1))])
    with pytest.raises(GalleryError, match="did you mean 'Annabelle'"):
        store.person("Anabelle")


def test_forgetting_leaves_no_trace_in_any_file(tmp_path: Path) -> None:
    path = tmp_path / "gallery.sqlite"
    vector = unit("secret")
    with GalleryStore(path) as store, GalleryStore(path) as reader:
        store.add_faces("Hieronymus", [face(vector, "photo:hieronymus-1.jpg")])
        store.rename("Hieronymus", "Hieronyma")
        store.add_faces("Bert", [face(unit(2), "photo:bert.jpg")])
        assert traces(path, b"ieronym", vector.tobytes()) == 2
        assert reader.version() > 0
        erasure = store.forget("Hieronyma")
        assert erase_traces(Config(state_dir=tmp_path), store, erasure, final=True).is_gone
        assert traces(path, b"ieronym", vector.tobytes()) == 0
        assert people(reader) == {"Bert": 1}


def traces(path: Path, *needles: bytes) -> int:
    content = b"".join(file.read_bytes() for file in path.parent.glob(path.name + "*"))
    return sum(needle in content for needle in needles)


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "gallery.sqlite"
    with GalleryStore(path) as store:
        store.add_faces("Anna", [face(unit(1))])
        modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_file_of_a_newer_streamd_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "gallery.sqlite"
    GalleryStore(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(GalleryError, match=r"newer streamd.*update streamd"):
        GalleryStore(path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gallery.sqlite"
    path.write_bytes(b"this is a diary, not a database" * 100)
    with pytest.raises(GalleryError, match=r"gallery\.sqlite: the file is damaged"):
        GalleryStore(path)
    assert path.read_bytes().startswith(b"this is a diary")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gallery.sqlite"
    with GalleryStore(path) as store:
        for i in range(50):
            store.add_faces(f"P{i}", [face(unit(i), f"photo:{i}")])
        store.database.erase_free_space()
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(GalleryError, match="the file is damaged"):
        GalleryStore(path)


def test_a_place_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(GalleryError, match=r"file/gallery\.sqlite: .*(not a directory|file exists)"):
        GalleryStore(tmp_path / "file" / "gallery.sqlite")
    with pytest.raises(GalleryError, match="is a directory"):
        GalleryStore(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder_says_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(GalleryError, match="permission denied"):
        GalleryStore(tmp_path / "gallery.sqlite")


def test_a_full_disk_says_so_and_keeps_what_was_there(store: GalleryStore) -> None:
    store.add_faces("Anna", [face(unit(1))])
    with store.database.read() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
    limit_pages(store.database, pages)
    with pytest.raises(GalleryError, match="no space left on the disk"):
        store.add_faces("Bert", [face(unit(i), "photo:" + "b" * 5000) for i in range(50)])
    assert people(store) == {"Anna": 1}
    limit_pages(store.database, pages + 1000)
    store.add_faces("Bert", [face(unit(2), "photo:b")])
    assert people(store) == {"Anna": 1, "Bert": 1}


def test_no_room_for_the_index_of_the_log_is_a_full_disk_too() -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    assert _words(error, Path("gallery.sqlite")).startswith("no space left on the disk")


def limit_pages(database: Database, pages: int) -> None:
    with database.read() as connection:
        connection.execute(f"PRAGMA max_page_count = {pages}")


def test_a_file_held_by_another_writer_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamd.gallery.database.BUSY_TIMEOUT_S", 0.1)
    path = tmp_path / "gallery.sqlite"
    refused = pytest.raises(GalleryError, match="another process has been writing")
    with GalleryStore(path) as one, GalleryStore(path) as other, one.database.write(), refused:
        other.add_faces("Anna", [face(unit(1))])


def test_two_writers_at_once_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamd.gallery.database.BUSY_TIMEOUT_S", 60.0)
    path = tmp_path / "gallery.sqlite"
    GalleryStore(path).close()

    def write(name: str) -> None:
        with GalleryStore(path) as own:
            for i in range(30):
                own.add_faces(name, [face(unit(f"{name}{i}"), f"photo:{name}{i}")])

    threads = [threading.Thread(target=write, args=(name,)) for name in ("Anna", "Bert", "Cleo")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with GalleryStore(path) as store:
        assert people(store) == {"Anna": 30, "Bert": 30, "Cleo": 30}
        assert store.version() == 93


@pytest.mark.parametrize("attempt", range(10))
def test_many_may_open_a_new_file_at_once(attempt: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times: the collision that this guards against happens in one of some dozens."""
    monkeypatch.setattr("streamd.gallery.database.BUSY_TIMEOUT_S", 60.0)
    path = tmp_path / "gallery.sqlite"
    failures: list[Exception] = []

    def first() -> None:
        try:
            GalleryStore(path).close()
        except GalleryError as error:
            failures.append(error)

    threads = [threading.Thread(target=first) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


_WRITER = """
import sys
from pathlib import Path
from galleryparts import face, unit
from streamd.gallery.store import GalleryStore
store = GalleryStore(Path(sys.argv[1]))
print("ready", flush=True)
for i in range(100_000):
    store.add_faces(f"P{i}", [face(unit(f"{i}-{n}"), f"photo:{i}-{n}") for n in range(3)])
    print(i, flush=True)
"""


@pytest.mark.parametrize("after", [0, 1, 7, 20])
def test_a_writer_killed_at_any_moment_leaves_whole_people_only(tmp_path: Path, after: int) -> None:
    path = tmp_path / "gallery.sqlite"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert child.stdout is not None
    for _ in range(after + 1):
        assert child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    reported = [line for line in child.stdout if line.strip().isdigit()]
    child.wait()
    child.stdout.close()
    with GalleryStore(path) as store:
        assert set(people(store).values()) <= {3}
        assert len(people(store)) >= after + len(reported)
        assert store.version() == 2 * len(people(store))
        store.add_faces("next", [face(unit("next"))])


def test_what_one_of_two_connections_writes_is_seen_elsewhere_after_others_came_and_went(tmp_path: Path) -> None:
    path = tmp_path / "gallery.sqlite"
    look = (
        "import sys; from pathlib import Path; from streamd.gallery.store import GalleryStore;"
        "print(len(GalleryStore(Path(sys.argv[1])).people()))"
    )

    def seen_elsewhere() -> int:
        return int(subprocess.run([sys.executable, "-c", look, str(path)], capture_output=True, check=True).stdout)

    with GalleryStore(path) as first, GalleryStore(path) as second:
        first.add_faces("Anna", [face(unit(1))])
        assert seen_elsewhere() == 1
        second.add_faces("Bert", [face(unit(2))])
        first.add_faces("Carla", [face(unit(3))])
        assert seen_elsewhere() == 3
