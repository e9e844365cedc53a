"""The gallery at one version: never changes, so that searches need no lock. What is derived from it is made once.

Two threads that ask for the same derived thing at the same moment both make it, and either result will do.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from streamd.domain import Match, Population, Scope
from streamd.gallery.index import Hit, Index
from streamd.gallery.labels import Labels, admitted

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NO_VECTORS = np.zeros((0, 0), np.float32)
MOST_SCOPES = 64
"""Scopes kept ready; of more, the one that was made first is dropped."""


class View:
    """Faces that are searched together: most in a large index, those that came since it was built in a small one."""

    def __init__(self, names: dict[str, str], large: Index, front: Index, hidden: frozenset[int]) -> None:
        """``hidden`` are faces of ``large`` that are no more."""
        self.large = large
        self.front = front
        self.hidden = hidden
        self._names = names

    @property
    def faces(self) -> int:
        return self.large.size + self.front.size - len(self.hidden)

    @cached_property
    def population(self) -> Population:
        owners = Counter(owner for face_id in self.hidden if (owner := self.large.owner(face_id)) is not None)
        gone = {person for person, faces in owners.items() if faces == self.large.faces_count(person)}
        new = sum(p in gone or not self.large.faces_count(p) for p in self.front.people)
        return Population(len(self.large.people) - len(gone) + new, self.faces)

    def search(self, probes: NDArray[np.float32], people: int) -> list[list[Match]]:
        """For each probe the ``people`` nearest people, best first."""
        parts = [
            index.search(probes, people, hidden=hidden)
            for index, hidden in ((self.large, self.hidden), (self.front, frozenset[int]()))
            if index.size
        ]
        if not parts:
            return [[] for _ in probes]
        return [self._merged(hits, people) for hits in zip(*parts, strict=True)]

    def within(self, people: frozenset[str], *, reuse: View | None) -> View:
        """The faces of some people. ``reuse`` is a view of the same large index, made earlier for such people."""
        if reuse is not None and people.intersection(self.large.people) == set(reuse.large.people):
            large = reuse.large
        else:
            large = self.large.within(people)
        hidden = frozenset(f for f in self.hidden if large.owner(f) is not None)
        return View(self._names, large, self.front.within(people), hidden)

    def nearest_other(self, person_id: str) -> float | None:
        """Highest similarity of a face of this person and a face of anybody else; None where there are not two."""
        shown = self.shown_faces(person_id)
        # Of the two nearest people one at least is somebody else.
        matches = self.search(shown, 2) if len(shown) else []
        return max((m.similarity for found in matches for m in found if m.person_id != person_id), default=None)

    def shown_faces(self, person_id: str) -> NDArray[np.float32]:
        """Embeddings of a person's faces, shape (n, dim); (0, 0) where there are none."""
        parts = []
        for index in (self.large, self.front):
            ids, vectors = index.faces_of(person_id)
            shown = [i for i, face_id in enumerate(ids.tolist()) if face_id not in self.hidden]
            if shown:
                parts.append(vectors[shown])
        return np.concatenate(parts) if parts else _NO_VECTORS

    def _merged(self, parts: tuple[list[Hit], ...], people: int) -> list[Match]:
        best: dict[str, Hit] = {}
        for hit in sorted((h for hits in parts for h in hits), key=lambda h: -h.similarity):
            best.setdefault(hit.person_id, hit)
        return [
            Match(h.person_id, self._names[h.person_id], h.similarity, h.face_id) for h in list(best.values())[:people]
        ]


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """Everybody at one version of the gallery."""

    version: int
    names: dict[str, str]
    labels: dict[str, Labels]


class Snapshot:
    """One version of the gallery."""

    def __init__(self, people: People, large: Index, front: Index, hidden: frozenset[int] = frozenset()) -> None:
        """The faces are those of the indexes."""
        self.version = people.version
        self.names = people.names
        self.labels = people.labels
        self.everybody = View(people.names, large, front, hidden)
        self._views: dict[Scope, View] = {}
        self._nearest_other: dict[str, float | None] = {}

    def view(self, scope: Scope | None) -> View:
        """Whom a scope considers; somebody without the labels it asks for is left out."""
        if not scope:
            return self.everybody
        known = self._views.get(scope)
        return known if known is not None else self._make(scope, None)

    def prepare_as(self, before: Snapshot) -> None:
        """Make ready every scope that ``before`` has ready, so that no search waits for it."""
        same = before.everybody.large is self.everybody.large
        for scope, view in list(before._views.items()):
            self._make(scope, view if same else None)
        for made in (self.everybody, *self._views.values()):
            _ = made.population

    def vectors_of(self, name: str) -> NDArray[np.float32]:
        """Embeddings of a person's faces, shape (n, dim); (0, 0) for somebody who has none."""
        person_id = next((who for who, called in self.names.items() if called == name), None)
        return _NO_VECTORS if person_id is None else self.everybody.shown_faces(person_id)

    def nearest_other(self, person_id: str) -> float | None:
        """As ``View.nearest_other`` of everybody, found once."""
        if person_id not in self._nearest_other:
            self._nearest_other[person_id] = self.everybody.nearest_other(person_id)
        return self._nearest_other[person_id]

    def _make(self, scope: Scope, reuse: View | None) -> View:
        view = self.everybody.within(admitted(scope, self.labels), reuse=reuse)
        if len(self._views) >= MOST_SCOPES:
            oldest, *_ = self._views
            self._views.pop(oldest, None)
        self._views[scope] = view
        return view
