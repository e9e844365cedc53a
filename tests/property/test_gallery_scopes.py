"""Whatever was done to a gallery: a search within a scope is a search of a gallery of only those people."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from unittest.mock import patch

import numpy as np
import pytest
from galleryparts import MODEL, face, near, unit
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.config import GalleryConfig
from streamd.domain import Scope
from streamd.errors import GalleryError
from streamd.gallery.delta import Mark
from streamd.gallery.labels import admitted
from streamd.gallery.live import LiveGallery
from streamd.gallery.store import GalleryStore

NAMES = [f"p{i}" for i in range(5)]
LABELS = [("site", "hq"), ("site", "depot"), ("group", "night")]
SCOPES = [
    Scope(),
    Scope.of({"site": ["hq"]}),
    Scope.of({"site": ["hq", "depot"]}),
    Scope.of({"site": ["hq"], "group": ["night"]}),
]
PROBES = np.stack([near(unit(name), 77, spread=0.3) for name in NAMES])

name, label = st.sampled_from(NAMES), st.sampled_from(LABELS)
action = st.one_of(
    st.tuples(st.just("face"), name, st.integers(0, 3)),
    st.tuples(st.just("label"), name, label),
    st.tuples(st.just("unlabel"), name, label),
    st.tuples(st.just("remove"), name, st.integers(0, 3)),
    st.tuples(st.just("forget"), name, st.none()),
    st.tuples(st.just("refresh"), name, st.none()),
)


def do(store: GalleryStore, what: str, who: str, more: object) -> None:
    if what == "face":
        store.add_faces(who, [face(near(unit(who), int(str(more))), f"photo:{who}{more}")])
    elif what == "remove":
        store.remove_source(f"photo:{who}{more}")
    elif what in ("label", "unlabel") and isinstance(more, tuple):
        store.label(who, **({"add": [more]} if what == "label" else {"remove": [more]}))
    elif what == "forget":
        store.forget(who)


@contextmanager
def open_gallery(path: Path, index: Literal["exact", "hnsw"]) -> Iterator[LiveGallery]:
    with LiveGallery(path, model_id=MODEL, config=GalleryConfig(index=index)) as gallery:
        if gallery._builder is not None:
            gallery._builder.join()
        yield gallery


def answers(gallery: LiveGallery, scope: Scope) -> list[list[tuple[str, float]]]:
    found = gallery.search(PROBES, people=3, scope=scope)
    return [[(m.name, round(m.similarity, 9)) for m in matches] for matches in found]


@pytest.mark.parametrize("index", ["exact", "hnsw"])
@settings(max_examples=25, deadline=None)
@given(before=st.lists(action, max_size=8), after=st.lists(action, max_size=12))
def test_a_scope_is_a_gallery_of_only_those_people(
    index: Literal["exact", "hnsw"],
    before: list[tuple[str, str, object]],
    after: list[tuple[str, str, object]],
) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        patch("streamd.gallery.hnsw.EXACT_SCOPE_FACES", 2),
        GalleryStore(Path(folder) / "all.sqlite") as store,
    ):
        _do_all(store, [("face", who, 0) for who in NAMES[1:]] + before)
        with open_gallery(store.path, index) as gallery:
            for scope in SCOPES:
                gallery.population(scope)  # from here on kept ready by every refresh
            for step in after:
                _do_all(store, [step])
                if step[0] == "refresh":
                    gallery.refresh()
            gallery.refresh()
            for number, scope in enumerate(SCOPES):
                other = Path(folder) / f"{number}.sqlite"
                _copy(store, scope, other)
                with open_gallery(other, "exact") as expected:
                    assert answers(gallery, scope) == answers(expected, Scope())
                    assert gallery.population(scope) == expected.population()


def _do_all(store: GalleryStore, steps: list[tuple[str, str, object]]) -> None:
    for step in steps:
        try:
            do(store, *step)
        except GalleryError:  # nobody of that name, or no such label
            continue


def _copy(store: GalleryStore, scope: Scope, path: Path) -> None:
    """The faces of the people in scope alone, in a file of their own."""
    people = {p.id: p for p in store.people()}
    inside = admitted(scope, {i: p.labels for i, p in people.items()}) if scope else people.keys()
    delta = store.delta(MODEL, Mark())
    with GalleryStore(path) as copy:
        for number, (person_id, vector) in enumerate(zip(delta.person_ids, delta.vectors, strict=True)):
            if person_id in inside:
                copy.add_faces(people[person_id].name, [face(vector, f"photo:{number}")])
