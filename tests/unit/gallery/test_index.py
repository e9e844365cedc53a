from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import hnswlib
import numpy as np
import pytest
from galleryparts import near, unit
from numpy.typing import NDArray

from streamd.errors import GalleryError
from streamd.gallery.hnsw import HnswIndex
from streamd.gallery.index import Entries, ExactIndex, Index, build_index

Build = Callable[[Entries], Index]
both = pytest.mark.parametrize("build", [ExactIndex, HnswIndex])


def entries(*people: tuple[str, int]) -> Entries:
    """Faces numbered from 100, the n of each person near one another."""
    vectors, names = [], []
    for name, faces in people:
        vectors += [near(unit(name), i) for i in range(faces)]
        names += [name] * faces
    return Entries(np.stack(vectors), np.arange(100, 100 + len(names)), names)


def probe(name: str) -> NDArray[np.float32]:
    return unit(name).reshape(1, -1)


@both
def test_a_person_with_many_photos_is_one_candidate(build: Build) -> None:
    index = build(entries(("anna", 40), ("bert", 1), ("cleo", 2)))
    hits = index.search(probe("anna"), 3)[0]
    assert hits[0].person_id == "anna"
    assert sorted(h.person_id for h in hits) == ["anna", "bert", "cleo"]
    assert hits == sorted(hits, key=lambda h: -h.similarity)


@both
def test_the_hit_is_the_persons_nearest_face(build: Build) -> None:
    given = entries(("anna", 10), ("bert", 10))
    index = build(given)
    hit = index.search(given.vectors[13][None], 1)[0][0]
    assert (hit.person_id, hit.face_id) == ("bert", 113)
    assert hit.similarity == pytest.approx(1.0)


@both
def test_more_people_than_there_are_gives_those_there_are(build: Build) -> None:
    index = build(entries(("anna", 2), ("bert", 1)))
    assert len(index.search(probe("anna"), 50)[0]) == 2


@both
def test_hidden_faces_are_never_found(build: Build) -> None:
    index = build(entries(("anna", 3), ("bert", 30)))
    hits = index.search(probe("anna"), 2, hidden={100, 101, 999})[0]
    assert hits[0].face_id == 102
    assert [h.person_id for h in index.search(probe("anna"), 2, hidden={100, 101, 102})[0]] == ["bert"]
    assert index.search(probe("anna"), 2, hidden=set(range(100, 133))) == [[]]


@both
def test_probes_are_answered_in_their_order(build: Build) -> None:
    index = build(entries(("anna", 3), ("bert", 3), ("cleo", 3)))
    found = index.search(np.concatenate([probe(n) for n in ("cleo", "anna", "bert")]), 1)
    assert [hits[0].person_id for hits in found] == ["cleo", "anna", "bert"]


@both
def test_no_probe_gives_no_answer(build: Build) -> None:
    assert build(entries(("anna", 1))).search(np.zeros((0, 16), np.float32), 2) == []


@both
def test_a_probe_that_is_not_a_number_is_refused(build: Build) -> None:
    index = build(entries(("anna", 1)))
    with pytest.raises(GalleryError, match="length nan"):
        index.search(np.full((1, 16), np.nan, np.float32), 1)


@both
def test_a_probe_of_another_dimension_is_refused(build: Build) -> None:
    with pytest.raises(GalleryError, match="dimension 8 in a gallery of dimension 16"):
        build(entries(("anna", 1))).search(unit(1, 8)[None], 1)


@both
def test_the_index_knows_its_faces(build: Build) -> None:
    index = build(entries(("anna", 2)))
    assert [index.owner(face_id) for face_id in (99, 100, 101, 102)] == [None, "anna", "anna", None]


def test_a_gallery_vector_that_is_not_a_number_is_refused() -> None:
    vectors = np.stack([unit(1), unit(2)])
    vectors[1, 3] = np.nan
    with pytest.raises(GalleryError, match="embedding 1 of 2 has length nan"):
        Entries(vectors, np.arange(2), ["a", "b"])


def test_an_empty_gallery_finds_nobody() -> None:
    index = build_index("auto", Entries(np.zeros((0, 0), np.float32), np.zeros(0, np.int64), []), hnsw_from=1)
    assert index.search(probe("anna"), 2) == [[]]


@pytest.mark.parametrize(
    ("kind", "hnsw_from", "expected"),
    [("auto", 4, ExactIndex), ("auto", 3, HnswIndex), ("exact", 1, ExactIndex), ("hnsw", 1000, HnswIndex)],
)
def test_the_index_is_chosen_by_size(kind: str, hnsw_from: int, expected: type) -> None:
    assert type(build_index(kind, entries(("anna", 3)), hnsw_from=hnsw_from)) is expected  # type: ignore[arg-type]


def test_probes_beyond_one_block_are_all_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamd.gallery.index._BLOCK_BYTES", 4 * 6 * 2)
    index = ExactIndex(entries(("anna", 3), ("bert", 3)))
    names = ["anna", "bert", "bert", "anna", "bert"]
    found = index.search(np.concatenate([probe(n) for n in names]), 1)
    assert [hits[0].person_id for hits in found] == names


# What hnswlib does, seen bare; each of these is why HnswIndex is written as it is.


def bare(capacity: int) -> hnswlib.Index:
    graph = hnswlib.Index(space="ip", dim=16)
    graph.init_index(max_elements=capacity, ef_construction=100, M=16)
    return graph


def test_hnswlib_forgets_ef_when_saved_so_indexes_are_not_saved(tmp_path: Path) -> None:
    graph = bare(10)
    graph.add_items(np.stack([unit(i) for i in range(10)]))
    graph.set_ef(300)
    graph.save_index(str(tmp_path / "graph"))
    loaded = hnswlib.Index(space="ip", dim=16)
    loaded.load_index(str(tmp_path / "graph"))
    assert loaded.ef == 10
    assert HnswIndex(entries(("anna", 3)))._graph.ef >= 128


def test_hnswlib_raises_for_k_above_the_live_count_and_we_do_not_ask() -> None:
    graph = bare(10)
    graph.add_items(np.stack([unit(i) for i in range(3)]))
    with pytest.raises(RuntimeError):
        graph.knn_query(probe("a"), k=4)
    assert len(HnswIndex(entries(("anna", 1), ("bert", 1), ("cleo", 1))).search(probe("a"), 4)[0]) == 3


def test_hnswlib_counts_deleted_elements_and_we_build_anew() -> None:
    graph = bare(3)
    graph.add_items(np.stack([unit(i) for i in range(3)]), np.arange(3))
    graph.mark_deleted(0)
    with pytest.raises(RuntimeError):
        graph.add_items(unit(4)[None], np.array([4]))
    ours = HnswIndex(entries(("anna", 3)))._graph._graph
    assert ours.get_max_elements() == ours.get_current_count() == 3


def test_hnswlib_takes_nan_for_a_neighbour_and_we_refuse_it() -> None:
    graph = bare(3)
    graph.add_items(np.stack([unit(1), np.full(16, np.nan, np.float32)]))
    assert np.isnan(graph.knn_query(probe("a"), k=2)[1]).any()
    with pytest.raises(GalleryError):
        HnswIndex(Entries(np.full((1, 16), np.nan, np.float32), np.arange(1), ["a"]))


def test_where_the_graph_finds_too_little_every_face_is_compared(caplog: pytest.LogCaptureFixture) -> None:
    given = entries(("anna", 3), ("bert", 3))
    index = HnswIndex(given)

    class Disconnected:
        def knn_query(self, *_: object, **__: object) -> None:
            raise RuntimeError("Cannot return the results in a contiguous 2D array")

        get_items = index._graph._graph.get_items

    index._graph._graph = Disconnected()
    assert index.search(probe("bert"), 2) == ExactIndex(given).search(probe("bert"), 2)
    assert "comparing with every face" in caplog.text
