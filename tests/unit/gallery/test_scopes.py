from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from galleryparts import MODEL, OTHER_MODEL, eventually, face, near, unit

from streamd.config import GalleryConfig
from streamd.domain import Match, Population, Scope
from streamd.gallery import hnsw, live, snapshot
from streamd.gallery.hnsw import HnswIndex
from streamd.gallery.index import ExactIndex
from streamd.gallery.live import LiveGallery
from streamd.gallery.store import GalleryStore

HQ, DEPOT, MOON = (Scope.of({"site": [site]}) for site in ("hq", "depot", "moon"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GalleryStore]:
    """Anna and Bert at hq, Cleo at the depot, Dora without a label; two faces each."""
    with GalleryStore(tmp_path / "gallery.sqlite") as opened:
        add(opened, "anna", "hq")
        add(opened, "bert", "hq")
        add(opened, "cleo", "depot")
        add(opened, "dora", None)
        yield opened


@pytest.fixture
def gallery(store: GalleryStore) -> Iterator[LiveGallery]:
    with LiveGallery(store.path, model_id=MODEL, config=GalleryConfig()) as opened:
        yield opened


def add(store: GalleryStore, name: str, site: str | None) -> None:
    store.add_faces(name, [face(near(unit(name), i), f"photo:{name}{i}") for i in range(2)])
    if site:
        store.label(name, [("site", site)])


def names(matches: list[list[Match]]) -> list[str]:
    return [m.name for m in matches[0]]


def found(gallery: LiveGallery, scope: Scope | None, *, probe: str = "cleo") -> set[str]:
    return set(names(gallery.search(unit(probe)[None], people=9, scope=scope)))


def test_only_people_in_scope_are_found(gallery: LiveGallery) -> None:
    assert found(gallery, HQ) == {"anna", "bert"}
    assert found(gallery, DEPOT) == {"cleo"}
    assert found(gallery, Scope.of({"site": ["hq", "depot"]})) == {"anna", "bert", "cleo"}
    assert found(gallery, MOON) == set()


def test_no_scope_and_an_empty_one_are_everybody(gallery: LiveGallery) -> None:
    assert found(gallery, None) == found(gallery, Scope()) == {"anna", "bert", "cleo", "dora"}


def test_the_runner_up_comes_from_within_the_scope(gallery: LiveGallery) -> None:
    probe = near(unit("anna"), 5)[None]
    inside = gallery.search(probe, people=2, scope=HQ)[0]
    assert [m.name for m in inside] == ["anna", "bert"]
    assert inside[0] == gallery.search(probe, people=1)[0][0]


def test_labels_count_from_the_next_refresh_on(gallery: LiveGallery, store: GalleryStore) -> None:
    assert found(gallery, HQ) == {"anna", "bert"}
    store.label("dora", [("site", "hq")])
    store.label("anna", [("site", "depot")], remove=[("site", "hq")])
    assert found(gallery, HQ) == {"anna", "bert"}
    assert gallery.refresh()
    assert found(gallery, HQ) == {"bert", "dora"}
    assert found(gallery, DEPOT) == {"anna", "cleo"}


def test_people_who_come_and_go_come_and_go_in_a_scope(gallery: LiveGallery, store: GalleryStore) -> None:
    assert found(gallery, HQ) == {"anna", "bert"}
    add(store, "emil", "hq")
    store.forget("anna")
    store.rename("bert", "Bertram")
    gallery.refresh()
    assert found(gallery, HQ) == {"Bertram", "emil"}
    assert found(gallery, DEPOT) == {"cleo"}


def test_a_refresh_leaves_scopes_ready(
    gallery: LiveGallery, store: GalleryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery.population(HQ)
    add(store, "emil", "hq")
    gallery.refresh()
    monkeypatch.setattr(snapshot, "admitted", lambda *_: pytest.fail("made while a search waits"))
    assert found(gallery, HQ) == {"anna", "bert", "emil"}


def test_what_a_scope_copies_is_copied_once(gallery: LiveGallery, store: GalleryStore) -> None:
    before = gallery._snapshot.view(HQ).large
    add(store, "emil", "hq")
    gallery.refresh()
    assert gallery._snapshot.view(HQ).large is before
    store.label("anna", remove=[("site", None)])
    gallery.refresh()
    assert gallery._snapshot.view(HQ).large is not before


def test_scopes_kept_ready_are_bounded(gallery: LiveGallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "MOST_SCOPES", 2)
    for site in ("hq", "depot", "moon", "hq", "mars"):
        gallery.population(Scope.of({"site": [site]}))
    assert len(gallery._snapshot._views) == 2
    assert found(gallery, DEPOT) == {"cleo"}


def test_the_population_is_counted_within_the_scope(gallery: LiveGallery) -> None:
    assert gallery.population() == Population(people=4, faces=8)
    assert gallery.population(HQ) == Population(people=2, faces=4)
    assert gallery.population(MOON) == Population(people=0, faces=0)


def test_the_population_follows_what_comes_and_goes(gallery: LiveGallery, store: GalleryStore) -> None:
    add(store, "emil", "hq")
    store.add_faces("anna", [face(near(unit("anna"), 9), "photo:anna9")])
    store.remove_source("photo:bert0")
    gallery.refresh()
    assert gallery.population(HQ) == Population(people=3, faces=6)
    store.remove_source("photo:bert1")  # Bert stays, without a face to be found by
    gallery.refresh()
    assert gallery.population(HQ) == Population(people=2, faces=5)
    assert gallery.population() == Population(people=4, faces=9)
    store.add_faces("bert", [face(unit("bert"), "photo:new")])
    gallery.refresh()
    assert gallery.population(HQ) == Population(people=3, faces=6)


def test_people_with_faces_of_another_model_alone_are_not_counted(gallery: LiveGallery, store: GalleryStore) -> None:
    store.add_faces("emil", [face(unit("emil", 8), model_id=OTHER_MODEL)])
    store.label("emil", [("site", "hq")])
    gallery.refresh()
    assert gallery.people_count == 5
    assert gallery.population() == Population(people=4, faces=8)
    assert gallery.population(HQ) == Population(people=2, faces=4)


def best_of_others(gallery: LiveGallery, store: GalleryStore, name: str) -> float:
    delta = store.delta(MODEL, live.Mark())
    own = np.array([delta.names[p] == name for p in delta.person_ids])
    return float((delta.vectors[own].astype(np.float64) @ delta.vectors[~own].T.astype(np.float64)).max())


@pytest.mark.parametrize("kind", ["exact", "hnsw"])
def test_the_nearest_other_is_the_most_similar_face_of_anybody_else(store: GalleryStore, kind: str) -> None:
    add(store, "cleo's sister", None)
    store.add_faces("cleo's sister", [face(near(unit("cleo"), 3, spread=0.6), "photo:sister")])
    with LiveGallery(store.path, model_id=MODEL, config=GalleryConfig(index=kind)) as gallery:  # type: ignore[arg-type]
        for name in ("anna", "cleo", "cleo's sister"):
            nearest = gallery.nearest_other(store.person(name).id)
            assert nearest == pytest.approx(best_of_others(gallery, store, name), abs=1e-6)
        add(store, "emil", "hq")
        store.remove_source("photo:sister")
        gallery.refresh()
        for name in ("anna", "cleo", "emil"):
            nearest = gallery.nearest_other(store.person(name).id)
            assert nearest == pytest.approx(best_of_others(gallery, store, name), abs=1e-6)


def test_nobody_else_is_no_similarity(tmp_path: Path) -> None:
    with GalleryStore(tmp_path / "one.sqlite") as store:
        add(store, "anna", None)
        with LiveGallery(store.path, model_id=MODEL, config=GalleryConfig()) as gallery:
            assert gallery.nearest_other(store.person("anna").id) is None
            assert gallery.nearest_other("nobody") is None


def test_the_nearest_other_is_searched_once_per_version(
    gallery: LiveGallery, store: GalleryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    cleo = store.person("cleo").id
    first = gallery.nearest_other(cleo)
    with monkeypatch.context() as patch:
        patch.setattr(snapshot.View, "nearest_other", lambda *_: pytest.fail("searched again"))
        assert gallery.nearest_other(cleo) == first
    store.add_faces("twin", [face(unit("cleo"), "photo:twin")])
    gallery.refresh()
    assert (gallery.nearest_other(cleo) or 0) > 0.95


def test_a_large_scope_shares_the_graph_and_a_small_one_copies(
    store: GalleryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hnsw, "EXACT_SCOPE_FACES", 3)
    with LiveGallery(store.path, model_id=MODEL, config=GalleryConfig(index="hnsw")) as gallery:
        eventually(lambda: isinstance(gallery._snapshot.everybody.large, HnswIndex))
        assert isinstance(gallery._snapshot.view(HQ).large, HnswIndex)
        assert isinstance(gallery._snapshot.view(DEPOT).large, ExactIndex)
        assert (found(gallery, HQ), found(gallery, DEPOT)) == ({"anna", "bert"}, {"cleo"})
        assert gallery.population(HQ) == Population(people=2, faces=4)
        add(store, "emil", "hq")
        store.forget("bert")
        gallery.refresh()
        assert (found(gallery, HQ), found(gallery, DEPOT)) == ({"anna", "emil"}, {"cleo"})


def test_scoped_searches_go_on_while_labels_change(gallery: LiveGallery, store: GalleryStore) -> None:
    stop = threading.Event()
    wrong: list[set[str]] = []

    def search() -> None:
        while not stop.is_set():
            seen = found(gallery, HQ)
            if not {"anna"} <= seen <= {"anna", "bert", "dora"}:
                wrong.append(seen)

    searcher = threading.Thread(target=search)
    searcher.start()
    for _ in range(15):
        store.label("dora", [("site", "hq")])
        gallery.refresh()
        store.label("dora", remove=[("site", None)])
        gallery.refresh()
    stop.set()
    searcher.join()
    assert not wrong
