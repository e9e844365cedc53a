from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from galleryparts import MODEL, OTHER_MODEL, eventually, face, near, unit

from streamd.config import GalleryConfig
from streamd.errors import GalleryError
from streamd.gallery import live
from streamd.gallery.hnsw import HnswIndex
from streamd.gallery.index import build_index
from streamd.gallery.live import LiveGallery
from streamd.gallery.store import GalleryStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GalleryStore]:
    with GalleryStore(tmp_path / "gallery.sqlite") as opened:
        yield opened


@pytest.fixture
def gallery(store: GalleryStore) -> Iterator[LiveGallery]:
    with LiveGallery(store.path, model_id=MODEL, config=GalleryConfig()) as opened:
        yield opened


def nearest(gallery: LiveGallery, name: str) -> str | None:
    matches = gallery.search(unit(name)[None])[0]
    return matches[0].name if matches and matches[0].similarity > 0.8 else None


def add(store: GalleryStore, *names: str, copies: int = 1) -> None:
    for name in names:
        store.add_faces(name, [face(near(unit(name), i), f"photo:{name}{i}") for i in range(copies)])


def test_an_empty_gallery_matches_nobody(gallery: LiveGallery) -> None:
    assert gallery.search(np.stack([unit(1), unit(2)])) == [[], []]
    assert gallery.search(np.zeros((0, 16), np.float32)) == []
    assert (gallery.people_count, gallery.faces_count) == (0, 0)


def test_somebody_new_is_found_after_a_refresh(gallery: LiveGallery, store: GalleryStore) -> None:
    add(store, "anna")
    assert nearest(gallery, "anna") is None
    before = gallery.version
    assert gallery.refresh()
    assert nearest(gallery, "anna") == "anna"
    assert gallery.version > before
    assert gallery.version == store.version()
    assert not gallery.refresh()


def test_what_was_there_is_found_at_once(store: GalleryStore) -> None:
    add(store, "anna", "bert")
    with LiveGallery(store.path, model_id=MODEL, config=GalleryConfig()) as gallery:
        assert nearest(gallery, "bert") == "bert"
        assert (gallery.people_count, gallery.faces_count) == (2, 2)


def test_people_old_and_new_are_one_ranking(store: GalleryStore) -> None:
    add(store, "anna", copies=3)
    with LiveGallery(store.path, model_id=MODEL, config=GalleryConfig()) as gallery:
        add(store, "bert")
        store.add_faces("anna", [face(unit("anna"), "photo:best")])
        gallery.refresh()
        matches = gallery.search(unit("anna")[None], people=2)[0]
        assert [m.name for m in matches] == ["anna", "bert"]
        assert matches[0].similarity == pytest.approx(1.0)
        assert gallery.faces_count == 5


def test_somebody_forgotten_is_not_found_after_a_refresh(store: GalleryStore) -> None:
    add(store, "anna", "bert", copies=2)
    with LiveGallery(store.path, model_id=MODEL, config=GalleryConfig()) as gallery:
        add(store, "cleo")
        gallery.refresh()
        store.forget("anna")
        store.forget("cleo")
        gallery.refresh()
        assert nearest(gallery, "anna") is None
        assert nearest(gallery, "cleo") is None
        assert nearest(gallery, "bert") == "bert"
        assert (gallery.people_count, gallery.faces_count) == (1, 2)


def test_a_new_name_is_used_after_a_refresh(gallery: LiveGallery, store: GalleryStore) -> None:
    add(store, "anna")
    gallery.refresh()
    store.rename("anna", "Anna Maria")
    gallery.refresh()
    assert nearest(gallery, "anna") == "Anna Maria"


def test_vectors_of_another_model_are_not_compared(store: GalleryStore, caplog: pytest.LogCaptureFixture) -> None:
    store.add_faces("anna", [face(unit("anna"), model_id=OTHER_MODEL)])
    with LiveGallery(store.path, model_id=MODEL, config=GalleryConfig()) as gallery:
        assert gallery.search(unit("anna")[None]) == [[]]
    assert f"holds faces of {OTHER_MODEL} (1) and none of {MODEL}" in caplog.text


def test_a_probe_that_is_not_a_number_is_refused(gallery: LiveGallery, store: GalleryStore) -> None:
    add(store, "anna")
    gallery.refresh()
    with pytest.raises(GalleryError, match="probe"):
        gallery.search(np.full((1, 16), np.nan, np.float32))


def test_a_grown_front_moves_into_a_new_large_index(store: GalleryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FRONT_MAX_FACES", 20)
    config = GalleryConfig(index="auto", hnsw_from=10)
    with LiveGallery(store.path, model_id=MODEL, config=config) as gallery:
        add(store, *(f"p{i}" for i in range(25)))
        gallery.refresh()
        eventually(lambda: isinstance(gallery._snapshot.everybody.large, HnswIndex))
        assert gallery._snapshot.everybody.front.size == 0
        assert gallery.faces_count == 25
        assert all(nearest(gallery, f"p{i}") == f"p{i}" for i in range(25))


def test_changes_made_while_an_index_is_built_are_not_lost(
    store: GalleryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, go_on, build = threading.Event(), threading.Event(), build_index

    def slow_build(*args: object, **kwargs: object) -> object:
        reached.set()
        go_on.wait(10)
        return build(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(live, "build_index", slow_build)
    add(store, *(f"p{i}" for i in range(10)))
    with LiveGallery(store.path, model_id=MODEL, config=GalleryConfig(index="hnsw")) as gallery:
        assert reached.wait(10)
        add(store, "late")
        store.forget("p3")
        gallery.refresh()
        store.forget("p4")
        add(store, "later")
        go_on.set()
        eventually(lambda: isinstance(gallery._snapshot.everybody.large, HnswIndex))
        gallery.refresh()
        found = {name: nearest(gallery, name) for name in ("p0", "p3", "p4", "late", "later")}
        assert found == {"p0": "p0", "p3": None, "p4": None, "late": "late", "later": "later"}
        assert gallery.faces_count == 10
        assert gallery.people_count == 10


def test_searches_go_on_while_the_gallery_changes(store: GalleryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FRONT_MAX_FACES", 8)
    add(store, "anna", copies=3)
    stop = threading.Event()
    wrong: list[object] = []
    config = GalleryConfig(index="auto", hnsw_from=15)
    with LiveGallery(store.path, model_id=MODEL, config=config) as gallery:

        def search() -> None:
            last = 0
            while not stop.is_set():
                version, name = gallery.version, nearest(gallery, "anna")
                if name != "anna" or version < last:
                    wrong.append((version, name))
                last = version

        searchers = [threading.Thread(target=search) for _ in range(1)]
        for thread in searchers:
            thread.start()
        for i in range(24):
            add(store, f"p{i}")
            if i % 3 == 0:
                store.remove_source(f"photo:p{i // 2}0")
            gallery.refresh()
        stop.set()
        for thread in searchers:
            thread.join()
    assert not wrong


def test_a_search_does_not_wait_for_a_refresh(gallery: LiveGallery, store: GalleryStore) -> None:
    add(store, "anna")
    gallery.refresh()
    answers: list[str | None] = []
    with gallery._changing:
        searcher = threading.Thread(target=lambda: answers.append(nearest(gallery, "anna")), daemon=True)
        searcher.start()
        searcher.join(5)
    assert answers == ["anna"]
