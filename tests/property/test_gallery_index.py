"""The approximate index against the exact one, and the exact one against the definition."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamd.gallery.hnsw import HnswIndex
from streamd.gallery.index import Entries, ExactIndex, Hit, Index

DIM = 32


def units(rng: np.random.Generator, count: int, dim: int = DIM) -> NDArray[np.float32]:
    rows = rng.normal(size=(count, dim))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def clustered(seed: int, people: int, most_faces: int, dim: int = DIM) -> tuple[Entries, NDArray[np.float32]]:
    """People with 1 to ``most_faces`` similar faces each, and probes that resemble some of them."""
    rng = np.random.default_rng(seed)
    centres = units(rng, people, dim)
    codes = np.repeat(np.arange(people), rng.integers(1, most_faces + 1, size=people))
    rng.shuffle(codes)
    spread = 0.6 / np.sqrt(dim)
    faces = centres[codes] + spread * rng.normal(size=(len(codes), dim))
    probes = centres[rng.integers(0, people, size=200)] + spread * rng.normal(size=(200, dim))
    vectors = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (faces, probes)]
    entries = Entries(vectors[0].astype(np.float32), rng.permutation(len(codes)) + 7, [f"person-{c}" for c in codes])
    return entries, vectors[1].astype(np.float32)


def by_definition(entries: Entries, probe: NDArray[np.float32], people: int, hidden: set[int]) -> list[Hit]:
    best: dict[str, Hit] = {}
    for vector, face_id, person_id in zip(entries.vectors, entries.face_ids, entries.person_ids, strict=True):
        similarity = float(np.dot(vector.astype(np.float64), probe.astype(np.float64)))
        known = best.get(person_id)
        if int(face_id) not in hidden and (known is None or similarity > known.similarity):
            best[person_id] = Hit(person_id, int(face_id), similarity)
    return sorted(best.values(), key=lambda hit: -hit.similarity)[:people]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    people=st.integers(1, 12),
    most_faces=st.integers(1, 9),
    wanted=st.integers(1, 14),
    hidden_share=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_both_indexes_find_what_the_definition_says(
    seed: int, people: int, most_faces: int, wanted: int, hidden_share: float
) -> None:
    entries, probes = clustered(seed, people, most_faces)
    hidden = {int(f) for f in entries.face_ids[: round(hidden_share * len(entries.face_ids))]}
    expected = [by_definition(entries, probe, wanted, hidden) for probe in probes[:5]]
    assert ExactIndex(entries).search(probes[:5], wanted, hidden=hidden) == expected
    assert HnswIndex(entries).search(probes[:5], wanted, hidden=hidden) == expected


def only(entries: Entries, people: set[str]) -> Entries:
    rows = [i for i, person in enumerate(entries.person_ids) if person in people]
    return Entries(entries.vectors[rows], entries.face_ids[rows], [entries.person_ids[i] for i in rows])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    people=st.integers(1, 12),
    wanted=st.integers(1, 14),
    scopes=st.lists(st.sets(st.integers(0, 12)), min_size=1, max_size=2),
    hidden_share=st.sampled_from([0.0, 0.4]),
    exact_scope_faces=st.sampled_from([0, 8, 1000]),
)
def test_a_narrowed_index_is_one_of_only_those_people(
    seed: int, people: int, wanted: int, scopes: list[set[int]], hidden_share: float, exact_scope_faces: int
) -> None:
    entries, probes = clustered(seed, people, most_faces=6)
    hidden = {int(f) for f in entries.face_ids[: round(hidden_share * len(entries.face_ids))]}
    inside = {f"person-{i}" for i in set.intersection(*scopes)}
    expected = [by_definition(only(entries, inside), probe, wanted, hidden) for probe in probes[:4]]
    for index in (ExactIndex(entries), HnswIndex(entries)):
        narrowed: Index = index
        with patch("streamd.gallery.hnsw.EXACT_SCOPE_FACES", exact_scope_faces):
            for scope in scopes:
                narrowed = narrowed.within({f"person-{i}" for i in scope})
        assert narrowed.search(probes[:4], wanted, hidden=hidden) == expected
        assert sorted(narrowed.people) == sorted(inside.intersection(entries.person_ids))
        assert narrowed.size == len(only(entries, inside).face_ids)
        assert {narrowed.owner(int(f)) for f in entries.face_ids} - {None} == set(narrowed.people)
        for person in set(entries.person_ids):
            ids, _ = narrowed.faces_of(person)
            assert len(ids) == narrowed.faces_count(person)
            assert {narrowed.owner(int(f)) for f in ids} == ({person} if person in inside else set())


@pytest.mark.parametrize("seed", [1, 2])
def test_the_approximate_index_finds_the_right_person_in_99_of_100_cases(seed: int) -> None:
    entries, probes = clustered(seed, people=1500, most_faces=5, dim=128)
    exact = [hits[0] for hits in ExactIndex(entries).search(probes, 2)]
    approximate = [hits[0] for hits in HnswIndex(entries).search(probes, 2)]
    agreed = [(a, e) for a, e in zip(approximate, exact, strict=True) if a.person_id == e.person_id]
    assert len(agreed) >= 0.99 * len(exact)
    assert all(a.similarity == e.similarity for a, e in agreed if a.face_id == e.face_id)
