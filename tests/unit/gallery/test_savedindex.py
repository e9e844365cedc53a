from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from galleryparts import MODEL, OTHER_MODEL, eventually, face, near, unit

from streamd.config import GalleryConfig
from streamd.gallery.delta import Mark
from streamd.gallery.hnsw import EF_MIN, Graph, HnswIndex
from streamd.gallery.index import Entries
from streamd.gallery.live import LiveGallery
from streamd.gallery.savedindex import StaleIndex, drop_saved, index_files, load_index
from streamd.gallery.store import GalleryStore
from streamd.gallery.vault import Vault, write_new_key

HNSW = GalleryConfig(index="hnsw")
PEOPLE = 40


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GalleryStore]:
    with GalleryStore(tmp_path / "gallery.sqlite") as opened:
        fill(opened)
        yield opened


def fill(store: GalleryStore) -> None:
    for n in range(PEOPLE):
        store.add_faces(f"p{n}", [face(near(unit(n), i), f"photo:{n}-{i}") for i in range(2)])


def built(path: Path, config: GalleryConfig = HNSW) -> None:
    with LiveGallery(path, model_id=MODEL, config=config) as gallery:
        gallery.await_build()
        assert isinstance(gallery._snapshot.everybody.large, HnswIndex)


def opened(path: Path, config: GalleryConfig = HNSW) -> LiveGallery:
    return LiveGallery(path, model_id=MODEL, config=config)


def nearest(gallery: LiveGallery, n: int | str) -> str | None:
    found = gallery.search(unit(n)[None])[0]
    return found[0].name if found and found[0].similarity > 0.9 else None


def is_loaded(gallery: LiveGallery) -> bool:
    """Whether the large index was there at once, and not built."""
    return gallery._builder is None and isinstance(gallery._snapshot.everybody.large, HnswIndex)


def test_a_saved_index_answers_at_once_and_knows_what_came_and_went_since(store: GalleryStore) -> None:
    built(store.path)
    store.add_faces("late", [face(unit("late"), "photo:late")])
    store.rename("p1", "one")
    store.remove_source("photo:2-0")
    store.remove_source("photo:2-1")
    with opened(store.path) as gallery:
        assert is_loaded(gallery)
        assert [nearest(gallery, n) for n in (0, 1, 2, "late")] == ["p0", "one", None, "late"]
        assert gallery.faces_count == 2 * PEOPLE - 1
        assert gallery.version == store.version()


def test_what_is_saved_is_private_and_keeps_the_breadth_of_the_search(store: GalleryStore) -> None:
    built(store.path)
    assert len(index_files(store.path)) == 2
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in index_files(store.path))
    saved = load_index(store.path, MODEL, None)
    assert saved is not None
    saved.index.graph.set_ef(777)
    from streamd.gallery.savedindex import save_index

    save_index(store.path, MODEL, saved, None)
    again = load_index(store.path, MODEL, None)
    assert again is not None
    assert (again.index.graph.ef, again.index.graph._graph.ef) == (777, 777)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(bytes(data))


def edited(path: Path, **fields: object) -> None:
    head, _, body = path.read_bytes().partition(b"\n")
    path.write_bytes(json.dumps(json.loads(head) | fields).encode() + b"\n" + body)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda graph, rows: flip(graph, 500), "checksum of its graph"),
        (lambda graph, rows: cut(graph), "checksum of its graph"),
        (lambda graph, rows: graph.unlink(), "cannot be read"),
        (lambda graph, rows: flip(rows, -5), "checksum of its rows|cannot be read"),
        (lambda graph, rows: cut(rows), "cannot be read|checksum"),
        (lambda graph, rows: rows.write_bytes(b"\x00garbage\n" * 9), "cannot be read"),
        (lambda graph, rows: edited(rows, format="streamd.index/9"), "format is 'streamd.index/9'"),
        (lambda graph, rows: edited(rows, model="other@1"), "model is 'other@1'"),
        (lambda graph, rows: edited(rows, count=3), "cannot be read|checksum"),
        (lambda graph, rows: edited(rows, dim=8), "other embeddings|cannot be read"),
        (lambda graph, rows: edited(rows, mark={"version": 9999, "face_id": 80, "removed_id": 0}), "version 9999"),
        (lambda graph, rows: edited(rows, mark={"version": 1, "face_id": 2, "removed_id": 0}), "has 80 faces"),
    ],
)
def test_a_saved_index_that_disagrees_is_built_again(
    store: GalleryStore, damage: Callable[[Path, Path], None], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    import re

    built(store.path)
    graph, rows = index_files(store.path)
    damage(graph, rows)
    with caplog.at_level(logging.WARNING), opened(store.path) as gallery:
        assert nearest(gallery, 7) == "p7"
        gallery.await_build()
        assert nearest(gallery, 7) == "p7"
    assert re.search(rf"not used, and built again: .*({said})", caplog.text)
    with opened(store.path) as gallery:
        assert is_loaded(gallery)


def test_an_index_of_another_gallery_is_not_taken(tmp_path: Path, store: GalleryStore) -> None:
    built(store.path)
    files = {path.name: path.read_bytes() for path in index_files(store.path)}
    other = tmp_path / "other" / "gallery.sqlite"
    with GalleryStore(other) as elsewhere:
        for n in range(PEOPLE):
            vectors = [near(unit(-n - 1), i) for i in range(2)]
            elsewhere.add_faces(f"p{n}", [face(v, f"photo:{n}-{i}") for i, v in enumerate(vectors)])
        for name, data in files.items():
            (other.parent / name).write_bytes(data)
        with opened(other) as gallery:
            assert not is_loaded(gallery)
            assert nearest(gallery, -1) == "p0"


def test_an_encrypted_index_holds_no_vector_in_the_clear(tmp_path: Path) -> None:
    path, key = tmp_path / "gallery.sqlite", tmp_path / "key"
    write_new_key(key)
    config = GalleryConfig(index="hnsw", key_file=key)
    from streamd.gallery.vault import load_vault

    with GalleryStore(path, vault=load_vault(key)) as store:
        fill(store)
        built(path, config)
        with opened(path, config) as gallery:
            assert is_loaded(gallery)
            assert nearest(gallery, 3) == "p3"
        vectors = store.delta(MODEL, Mark()).vectors
    assert len(index_files(path)) == 2
    for file in tmp_path.iterdir():
        data = file.read_bytes()
        assert not any(vector.tobytes() in data for vector in vectors), file
    with pytest.raises(StaleIndex, match="sealed is True, not False"):
        load_index(path, MODEL, None)
    with pytest.raises(StaleIndex, match="cannot be read"):
        load_index(path, MODEL, Vault(bytes(32)))


def test_who_is_forgotten_while_an_index_is_built_is_not_saved(
    store: GalleryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streamd.gallery import live

    save = live.save_index

    def forget_first(*args: object) -> None:
        store.forget("p3")
        save(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(live, "save_index", forget_first)
    with opened(store.path) as gallery:
        gallery.await_build()
    assert index_files(store.path) == []


@pytest.mark.parametrize("fails_at", [1, 2])
def test_of_an_index_for_which_there_is_no_room_nothing_is_left(
    store: GalleryStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fails_at: int
) -> None:
    """Neither of its graph nor of its rows: where there is none the disk should not be filled by what is of no use."""
    calls = 0

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == fails_at:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("streamd.gallery.savedindex.os.fsync", full)
    built(store.path)
    assert "is not saved: [Errno 28]" in caplog.text
    assert [path for path in index_files(store.path) if path.suffix == ".part"] == []


def test_an_index_of_another_model_is_beside_it(store: GalleryStore) -> None:
    store.add_faces("p0", [face(unit(0), "photo:x", model_id=OTHER_MODEL)])
    built(store.path)
    with LiveGallery(store.path, model_id=OTHER_MODEL, config=HNSW) as other:
        other.await_build()
    assert len(index_files(store.path)) == 4
    assert drop_saved(store.path) == 4


def test_the_breadth_follows_from_the_recall_that_is_asked_for() -> None:
    chance = np.random.default_rng(0)
    vectors = chance.normal(size=(2000, 48)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert Graph.of(vectors, recall=0.5, threads=2).ef <= Graph.of(vectors, recall=1.0, threads=2).ef
    assert Graph.of(vectors[:100], recall=0.995, threads=1).ef == EF_MIN


def test_answers_are_checked_and_a_graph_that_finds_too_little_searches_more_broadly(
    store: GalleryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(store.path) as gallery:
        gallery.await_build()
        large = gallery._snapshot.everybody.large
        assert isinstance(large, HnswIndex)
        assert gallery.recall is None

        def look(times: int) -> None:
            for n in range(times):
                gallery.search(unit(n % PEOPLE)[None])
                gallery.check_recall()

        look(50 * 40)
        assert gallery.recall == 1.0
        assert large.ef == EF_MIN
        monkeypatch.setattr(Graph, "neighbours", lambda self, probes, count: np.zeros((len(probes), count), np.intp))
        look(50 * 40)
        assert large.ef > EF_MIN


def test_a_refresh_after_one_change_reads_only_what_changed(store: GalleryStore) -> None:
    mark = store.delta(MODEL, Mark()).mark
    store.rename("p1", "one")
    store.label("p2", [("site", "hq")])
    store.forget("p3")
    changes = store.delta(MODEL, mark, whole=False)
    assert sorted(changes.names.values()) == ["one", "p2"]
    assert len(changes.left) == 1
    before = {f"id-{n}": str(n) for n in range(3)}
    names, labels = changes.people_after(before | {next(iter(changes.left)): "p3"}, {})
    assert sorted(names.values()) == ["0", "1", "2", "one", "p2"]
    assert list(labels.values()) == [{("site", "hq")}]


def test_the_entries_of_an_index_are_checked_before_it_is_built() -> None:
    assert HnswIndex(Entries(np.stack([unit(1)]), np.arange(1), ["a"])).size == 1


def test_a_worker_takes_over_merges_imports_and_undone_changes(store: GalleryStore) -> None:
    with opened(store.path) as gallery:
        gallery.await_build()
        store.merge("p1", "p2")
        eventually(gallery.refresh)
        assert nearest(gallery, 1) == "p2"
        assert gallery.people_count == PEOPLE - 1
        store.undo()
        eventually(gallery.refresh)
        assert nearest(gallery, 1) == "p1"
        assert gallery.people_count == PEOPLE
