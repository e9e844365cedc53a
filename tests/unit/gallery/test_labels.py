from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from galleryparts import ColourEmbedder, SquareDetector, face, unit, write_photo

from streamd.config import Config
from streamd.domain import Scope
from streamd.errors import GalleryError, UsageError
from streamd.gallery.enrolment import Enroller
from streamd.gallery.folder import FolderSync
from streamd.gallery.labels import MAX_PER_PERSON, admitted, by_key, parse_label, parse_removal, parse_scope
from streamd.gallery.schema import MIGRATIONS
from streamd.gallery.store import GalleryStore
from streamd.traces import erase_traces


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GalleryStore]:
    with GalleryStore(tmp_path / "gallery.sqlite") as opened:
        opened.add_faces("Anna", [face(unit(1))])
        opened.add_faces("Bert", [face(unit(2))])
        yield opened


def labels(store: GalleryStore, name: str = "Anna") -> dict[str, list[str]]:
    return by_key(store.person(name).labels)


@pytest.mark.parametrize("text", ["site=hq", "a=b=c", "night_shift-2=Zoë's team", "1=x", "site=" + "x" * 80])
def test_a_label_is_a_key_and_any_text(text: str) -> None:
    key, value = parse_label(text)
    assert f"{key}={value}" == text


@pytest.mark.parametrize(
    "text", ["site", "", "=hq", "Site=hq", "si te=hq", "-a=b", "a" * 33 + "=b", "a=", "a= b", "a=\n", "a=" + "x" * 81]
)
def test_what_cannot_be_a_label_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="label"):
        parse_label(text)


def test_values_typed_in_two_ways_are_one() -> None:
    assert parse_label("team=Zoe\u0308") == parse_label("team=Zo\u00eb")


def test_a_removal_names_a_key_or_one_value_of_it() -> None:
    assert parse_removal("group") == ("group", None)
    assert parse_removal("group=night") == ("group", "night")


def test_a_key_may_have_several_values(store: GalleryStore) -> None:
    store.label("Anna", [("group", "night"), ("site", "hq")])
    store.label("Anna", [("group", "day")])
    assert labels(store) == {"group": ["day", "night"], "site": ["hq"]}
    assert labels(store, "Bert") == {}
    assert [by_key(p.labels) for p in store.people()] == [{"group": ["day", "night"], "site": ["hq"]}, {}]


def test_one_value_or_all_of_a_key_are_removed(store: GalleryStore) -> None:
    store.label("Anna", [("group", "night"), ("group", "day"), ("group", "late"), ("site", "hq")])
    store.label("Anna", remove=[("group", "day")])
    assert labels(store) == {"group": ["late", "night"], "site": ["hq"]}
    store.label("Anna", remove=[("group", None)])
    assert labels(store) == {"site": ["hq"]}


def test_a_label_is_exchanged_in_one_version(store: GalleryStore) -> None:
    store.label("Anna", [("site", "hq")])
    before = store.version()
    store.label("Anna", [("site", "depot")], remove=[("site", None)])
    assert labels(store) == {"site": ["depot"]}
    assert [(c.what, c.detail) for c in store.changes(after=before)] == [
        ("person.labelled", "+site=depot -site=hq"),
    ]


def test_labels_that_are_there_already_change_nothing(store: GalleryStore) -> None:
    store.label("Anna", [("site", "hq")])
    before = store.version()
    store.label("Anna", [("site", "hq")])
    store.label("Anna", [("site", "hq")], remove=[("site", "hq")])
    assert store.version() == before


def test_removing_what_is_not_there_is_refused_and_nothing_is_changed(store: GalleryStore) -> None:
    store.label("Anna", [("site", "hq")])
    with pytest.raises(GalleryError, match="'Anna' has no label 'stie'; they have: site=hq"):
        store.label("Anna", [("group", "night")], remove=[("stie", None)])
    assert labels(store) == {"site": ["hq"]}


def test_too_many_labels_are_refused(store: GalleryStore) -> None:
    store.label("Anna", [("n", str(i)) for i in range(MAX_PER_PERSON)])
    with pytest.raises(GalleryError, match=f"would have {MAX_PER_PERSON + 1} labels"):
        store.label("Anna", [("one", "more")])


def test_nobody_cannot_be_labelled(store: GalleryStore) -> None:
    with pytest.raises(GalleryError, match="there is no person 'Ana' in the gallery; did you mean 'Anna'"):
        store.label("Ana", [("site", "hq")])


def test_a_new_name_keeps_the_labels(store: GalleryStore) -> None:
    store.label("Anna", [("site", "hq")])
    store.rename("Anna", "Anne")
    assert labels(store, "Anne") == {"site": ["hq"]}


def test_forgetting_erases_the_labels_and_the_log_of_them(tmp_path: Path) -> None:
    path = tmp_path / "gallery.sqlite"
    with GalleryStore(path) as store:
        store.add_faces("Anna", [face(unit(1))])
        store.label("Anna", [("ward", "oncology")])
        store.label("Anna", [("ward", "cardiology")], remove=[("ward", None)])
        assert b"ology" in content(path)
        erasure = store.forget("Anna")
        assert erase_traces(Config(state_dir=tmp_path), store, erasure, final=True).is_gone
        assert b"ology" not in content(path)
        store.add_faces("Anna", [face(unit(1))])
        assert labels(store) == {}


def content(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.glob(path.name + "*"))


def test_a_file_from_before_there_were_labels_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "gallery.sqlite"
    with sqlite3.connect(path) as old:
        for statement in MIGRATIONS[0]:
            old.execute(statement)
        old.execute("INSERT INTO people VALUES ('p1', 'Anna', 'command', 0)")
        old.execute("PRAGMA user_version = 1")
    old.close()
    with GalleryStore(path) as store:
        assert labels(store) == {}
        store.label("Anna", [("site", "hq")])
        assert labels(store) == {"site": ["hq"]}


def test_people_of_the_folder_keep_their_labels_through_its_changes(tmp_path: Path) -> None:
    folder = tmp_path / "faces"
    first = write_photo(folder / "Ana" / "1.png")
    with GalleryStore(tmp_path / "gallery.sqlite") as store:
        sync = FolderSync(folder, store, Enroller(store, SquareDetector(), ColourEmbedder()), wall_clock=lambda: 4e9)

        def settle() -> None:
            while sync.step().busy:
                pass

        settle()
        store.label("Ana", [("site", "hq")])
        write_photo(folder / "Ana" / "2.png", seed=3)
        settle()
        first.unlink()
        settle()
        (folder / "Ana").rename(folder / "Anna")
        settle()
        assert (store.person("Anna").faces, labels(store)) == (1, {"site": ["hq"]})
        write_photo(folder / "Anna" / "2.png", seed=4)
        settle()
        assert labels(store) == {"site": ["hq"]}


def test_a_scope_asks_for_one_value_of_every_key() -> None:
    people = {
        "anna": {("site", "hq"), ("group", "night")},
        "bert": {("site", "depot"), ("group", "night"), ("group", "day")},
        "cleo": {("site", "hq")},
        "dora": set[tuple[str, str]](),
    }
    assert admitted(parse_scope(["site=hq"]), people) == {"anna", "cleo"}
    assert admitted(parse_scope(["site=hq", "site=depot"]), people) == {"anna", "bert", "cleo"}
    assert admitted(parse_scope(["site=hq", "site=depot", "group=day"]), people) == {"bert"}
    assert admitted(parse_scope(["site=moon"]), people) == set()


def test_equal_scopes_are_equal_however_they_are_written() -> None:
    assert Scope.of({"b": ["2", "1", "2"], "a": ["x"], "c": []}) == Scope.of({"a": ["x"], "b": ["1", "2"]})
    assert not Scope.of({"a": []})
    assert str(Scope.of({"site": ["hq", "depot"], "group": ["x"]})) == "group=x site=depot|hq"
