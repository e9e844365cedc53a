from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from galleryparts import MODEL, face, near, unit

from streamd.errors import GalleryError, UsageError
from streamd.gallery.store import GalleryStore, Mark
from streamd.gallery.undo import drop_old_undo

State = dict[str, tuple[tuple[str, ...], frozenset[tuple[str, str]]]]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GalleryStore]:
    with GalleryStore(tmp_path / "gallery.sqlite", actor="anna") as opened:
        yield opened


def state(store: GalleryStore) -> State:
    return {p.name: (tuple(sorted(f.source for f in store.faces_of(p.id))), p.labels) for p in store.people()}


def two_people(store: GalleryStore) -> None:
    store.add_faces("Anna", [face(unit(1), "photo:a"), face(unit(2), "photo:b")])
    store.add_faces("Bert", [face(unit(3), "photo:c")])
    store.label("Anna", [("site", "hq")])


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.add_faces("Carla", [face(unit(4), "photo:d")]),
        lambda store: store.add_faces("Anna", [face(unit(4), "photo:d")]),
        lambda store: store.rename("Anna", "Anne"),
        lambda store: store.label("Anna", [("site", "depot")], remove=[("site", "hq")]),
        lambda store: store.remove_source("photo:a"),
        lambda store: store.merge("Anna", "Bert"),
        lambda store: store.split("Anna", "Anouk", [store.faces_of(store.person("Anna").id)[0].id]),
        lambda store: store.describe("Anna", notes="left-handed"),
    ],
    ids=["new person", "more faces", "rename", "label", "remove", "merge", "split", "notes"],
)
def test_every_change_can_be_undone_and_redone(store: GalleryStore, change: object) -> None:
    two_people(store)
    before = state(store)
    assert callable(change)
    change(store)
    after = state(store)
    undone = store.undo()
    assert state(store) == before
    assert store.person("Anna").notes == ""
    store.undo(store.version())  # what undid it
    assert state(store) == after
    assert undone.version < store.version()


def test_undoing_again_goes_further_back(store: GalleryStore) -> None:
    two_people(store)
    store.rename("Bert", "Berta")
    store.undo()
    assert "Bert" in state(store)
    store.undo()
    assert state(store)["Anna"][1] == frozenset()
    store.undo()
    assert list(state(store)) == ["Anna"]
    store.undo()
    assert state(store) == {}
    with pytest.raises(GalleryError, match="nothing to undo"):
        store.undo()


def test_a_face_that_came_back_is_the_same_and_is_noticed_by_readers(store: GalleryStore) -> None:
    store.add_faces("Anna", [face(unit(1), "photo:a"), face(unit(2), "photo:b")])
    store.remove_source("photo:a")
    mark = store.delta(MODEL, Mark()).mark
    store.undo()
    missed = store.delta(MODEL, mark)
    assert np.array_equal(missed.vectors, [unit(1)])
    assert store.chip_jpeg(int(missed.face_ids[0])) == b"jpeg"


def test_a_change_that_later_ones_rest_on_cannot_be_undone(store: GalleryStore) -> None:
    two_people(store)
    version = store.version()
    store.merge("Anna", "Bert")
    before = state(store)
    for earlier in range(1, version + 1):
        with pytest.raises(GalleryError, match="cannot be undone"):
            store.undo(earlier if earlier != 3 else 1)
    assert state(store) == before


def test_forgetting_cannot_be_undone_and_leaves_nothing_to_undo(store: GalleryStore) -> None:
    two_people(store)
    store.remove_source("photo:a")
    store.forget("Anna")
    with pytest.raises(GalleryError, match="gone for good"):
        store.undo(store.version())
    assert b"photo:a" not in store.path.read_bytes()


def test_a_merge_moves_faces_and_labels_and_readers_notice(store: GalleryStore) -> None:
    two_people(store)
    mark = store.delta(MODEL, Mark()).mark
    assert store.merge("Anna", "Bert") == 2
    assert state(store) == {"Bert": (("photo:a", "photo:b", "photo:c"), frozenset({("site", "hq")}))}
    missed = store.delta(MODEL, mark)
    assert len(missed.removed) == 2
    assert set(missed.person_ids) == {store.person("Bert").id}


@pytest.mark.parametrize(
    ("do", "said"),
    [
        (lambda s: s.merge("Anna", "Zoe"), "no person 'Zoe'"),
        (lambda s: s.split("Anna", "Bert", [1]), "a person 'Bert' already"),
        (lambda s: s.split("Anna", "Carla", [99]), "has no face 99"),
        (lambda s: s.split("Bert", "Carla", [3]), "no face left"),
        (lambda s: s.undo(99), "no version 99"),
    ],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(store: GalleryStore, do: object, said: str) -> None:
    two_people(store)
    before, version = state(store), store.version()
    assert callable(do)
    with pytest.raises(GalleryError, match=said):
        do(store)
    assert (state(store), store.version()) == (before, version)


def test_nobody_is_merged_with_themselves(store: GalleryStore) -> None:
    two_people(store)
    with pytest.raises(UsageError, match="same person"):
        store.merge("Anna", "Anna")


def test_the_log_says_who_did_it(store: GalleryStore) -> None:
    two_people(store)
    assert {change.actor for change in store.changes()} == {"anna"}
    assert store.faces_of(store.person("Bert").id)[0].added_by == "anna"


def test_what_is_too_old_is_final(store: GalleryStore) -> None:
    store.add_faces("Anna", [face(near(unit(1), 1), "photo:a")])
    with store.database.write() as connection:
        assert drop_old_undo(connection, 0.0) == 0
        assert drop_old_undo(connection, 2e10) == 2
    with pytest.raises(GalleryError, match="nothing to undo"):
        store.undo()


@pytest.mark.parametrize("text", ["x" * 2001, "a\x00b"])
def test_notes_that_cannot_be_are_refused(store: GalleryStore, text: str) -> None:
    two_people(store)
    with pytest.raises(UsageError, match="notes"):
        store.describe("Anna", notes=text)
