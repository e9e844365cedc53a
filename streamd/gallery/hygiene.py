"""Whether a face would do the gallery good: of the right person, new, and nobody else's.

A poor or wrong photo does harm for as long as it stays: it draws strangers to a name. The bars follow from what the
embedder's similarities are worth (``streamd.scores``), measured in docs/gallery.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from streamd.errors import PhotoRefused
from streamd.scores import ScoreModel, comparisons

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamd.domain import Vector
    from streamd.gallery.live import LiveGallery

NEAR_DUPLICATE = 0.05
"""Distance (on SFace's scale) within which two photos show one and the same moment: of copies of 60 photos that were
saved again, cut, shrunk, turned or mirrored 99 % are nearer, of different photos of one person 4 %."""
UNLIKE_FAR = 1e-3
"""A photo that strangers would be as similar as in this share of cases is not taken for the same person."""
CLOSER_FAR = 1e-4
"""Somebody else's face that strangers would be as similar to in this share of cases is taken for theirs."""


@dataclass(frozen=True, slots=True)
class Bars:
    """Similarities that decide, for one embedder."""

    scores: ScoreModel

    @property
    def duplicate(self) -> float:
        """From here on two photos are one."""
        return 1 - NEAR_DUPLICATE * self.scores.scale

    def alike(self, faces: int) -> float:
        """The best of a person's ``faces`` must be so similar to another photo of them."""
        return self.scores.threshold(UNLIKE_FAR, comparisons(1, faces))

    def somebody(self, people: int, faces: int) -> float:
        """From here on the nearest of so many people is taken for the one on the photo."""
        return self.scores.threshold(CLOSER_FAR, comparisons(people, faces))


class Hygiene:
    """Judges faces before they are enrolled."""

    def __init__(self, gallery: LiveGallery, scores: ScoreModel) -> None:
        self._gallery = gallery
        self._bars = Bars(gallery.scores(scores))

    def judge(
        self, vector: Vector, name: str, *, origin: str, beside: Sequence[Vector] = (), least_own: int = 1
    ) -> None:
        """Whether this face may be one of ``name``'s.

        Args:
            beside: faces that are about to be enrolled with it.
            least_own: a face is only found unlike the person's others where there are so many of them.

        Raises:
            PhotoRefused: ``near_duplicate``, ``closer_to_other`` or ``unlike``.
        """
        self._gallery.refresh()
        own = self._gallery.vectors_of(name)
        others = np.stack(beside) if beside else np.zeros((0, len(vector)), np.float32)
        known = np.concatenate([own, others]) if len(own) else others
        best = float((known @ vector).max()) if len(known) else None
        if best is not None and best >= self._bars.duplicate:
            raise PhotoRefused(
                "near_duplicate", f"{origin}: {name!r} has this photo, or one of the same moment ({best:.2f})"
            )
        self._refuse_others(vector, name, best, origin)
        if best is not None and len(known) >= least_own and best < self._bars.alike(len(known)):
            raise PhotoRefused(
                "unlike",
                f"{origin}: unlike the other photos of {name!r} (similarity {best:.2f}); --force enrols it anyway",
            )

    def _refuse_others(self, vector: Vector, name: str, best: float | None, origin: str) -> None:
        nearest = self._gallery.search(vector[None], people=2)[0]
        population = self._gallery.population()
        bar = self._bars.somebody(population.people, population.faces)
        for match in nearest:
            if (
                match.name != name
                and match.similarity >= bar
                and match.similarity > (best if best is not None else -1.0)
            ):
                raise PhotoRefused(
                    "closer_to_other",
                    f"{origin}: looks like {match.name!r} ({match.similarity:.2f}); --force enrols it anyway",
                )

    def odd_ones(self, vectors: Sequence[Vector]) -> set[int]:
        """Which of the photos of a new person do not belong to the largest group that is alike."""
        if len(vectors) < 2:
            return set()
        group = largest_group(np.stack(vectors), self._bars.alike(1))
        return set(range(len(vectors))) - group


def largest_group(vectors: NDArray[np.float32], bar: float) -> set[int]:
    """Rows that hang together by similarities of at least ``bar``; of equal groups the one that begins first."""
    alike = vectors @ vectors.T >= bar
    left, best = set(range(len(vectors))), set[int]()
    while len(left) > len(best):
        group, fresh = set[int](), {min(left)}
        while fresh:
            group |= fresh
            fresh = {int(j) for i in fresh for j in np.flatnonzero(alike[i])} - group
        left -= group
        best = group if len(group) > len(best) else best
    return best
