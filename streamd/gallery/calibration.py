"""What the similarities within a user's own gallery say: about strangers, about look-alikes, about single photos. Pure.

Each face is compared with every other. Two faces of different people are what a stranger would be compared with, so
their spread refines the embedder's own; a face against the rest of its own person (leave one out) is what recognition
will find. A folder of strangers, where there is one, stands in for the people at the door better than the enrolled do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from streamd.domain import Population
from streamd.scores import ScoreModel, Spread
from streamd.standard import Standard

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    Scores = NDArray[np.float64]

PRIOR_PEOPLE = 50
"""The embedder's own spread counts as much as what so many people of the gallery say."""
FEWEST_PEOPLE = 5
"""With fewer people and strangers together a spread of one's own says nothing."""
_BLOCK = 1024
"""Faces compared with all others at a time."""
_MOST_KEPT = 2_000_000
"""Impostor similarities kept for the curve and the picture; the moments are taken over all."""


@dataclass(frozen=True, slots=True, eq=False)
class Enrolled:
    """The faces of one embedding model; row i is one face."""

    vectors: Vectors
    """Unit rows, shape (n, dim)."""
    face_ids: Sequence[int]
    person_ids: Sequence[str]
    names: dict[str, str]
    sources: dict[int, str]
    """Where a face came from, by its id."""


@dataclass(frozen=True, slots=True)
class PersonReport:
    """One person among the others."""

    person_id: str
    name: str
    faces: int
    genuine: float | None
    """Mean similarity of a face to the nearest of the person's others; None with one face."""
    nearest_id: str | None
    nearest_name: str | None
    nearest_similarity: float | None
    threshold: float


@dataclass(frozen=True, slots=True)
class Suspect:
    """A photo that does the gallery harm."""

    face_id: int
    name: str
    source: str
    own: float | None
    """Similarity to the nearest other face of its person."""
    other: float
    other_name: str
    reason: str
    """``looks_like_other`` or ``outlier``."""


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What was found."""

    scores: ScoreModel
    """The embedder's, refined by this gallery."""
    measured: Spread | None
    """Between different people here, before it was weighed against the embedder's own; None with too few."""
    weight: float
    """Share of the measured spread in the refined one."""
    threshold: float
    people: tuple[PersonReport, ...]
    suspects: tuple[Suspect, ...]
    genuine: Scores
    """Each face of people with several, against the nearest of the others."""
    impostor: Scores
    """Faces of different people, or strangers against the enrolled; a sample where there are very many."""

    def found_at(self, far: float, population: Population) -> tuple[float, float | None]:
        """The threshold for a rate, and the share of the genuine similarities that reach it (None: there are none)."""
        threshold = Standard(self.scores, far, 0.0, population).threshold()
        share = float((self.genuine >= threshold).mean()) if len(self.genuine) else None
        return threshold, share


def calibrate(
    enrolled: Enrolled, scores: ScoreModel, *, target_far: float, strangers: Vectors | None = None
) -> Calibration:
    """Compare everybody with everybody.

    Args:
        enrolled: At least one face.
        scores: What the embedder's manifest says.
        target_far: The rate that thresholds are reported for.
        strangers: Unit rows of people who are not in the gallery, one face each.
    """
    table = _Comparison(enrolled)
    if strangers is not None and len(strangers):
        impostor, weights, seen = *table.against(strangers), len(strangers)
    else:
        impostor, weights, seen = table.impostor, table.weights, table.people_count
    measured = _spread(impostor, weights) if seen >= FEWEST_PEOPLE else None
    weight = seen / (seen + PRIOR_PEOPLE) if measured else 0.0
    refined = scores.with_impostor(_blend(scores.impostor, measured, weight)) if measured else scores
    population = Population(table.people_count, len(enrolled.face_ids))
    nearest = table.nearest_people()
    near = {person: similarity for person, (_, similarity) in nearest.items()}
    standard = Standard(refined, target_far, 0.0, population, nearest_other=near.get)
    return Calibration(
        scores=refined,
        measured=measured,
        weight=weight,
        threshold=standard.threshold(),
        people=tuple(
            sorted(
                (_report(person, table, nearest, standard) for person in table.people), key=lambda report: report.name
            )
        ),
        suspects=tuple(table.suspects(refined.threshold(0.01))),
        genuine=table.own[np.isfinite(table.own)],
        impostor=_sample(impostor),
    )


def advice(found: Calibration) -> list[str]:
    """What is wrong, worst first, and what to do about it: ``suspect``, ``alike`` or ``one photo``, and a sentence."""
    lines = [_said(suspect) for suspect in found.suspects]
    strict = sorted((p for p in found.people if p.threshold > found.threshold), key=lambda p: -p.threshold)
    lines += [
        f"alike     {p.name} and {p.nearest_name} ({p.nearest_similarity:.2f}): {p.name} needs {p.threshold:.2f}; "
        "more photos of both help"
        for p in strict
    ]
    single = [p.name for p in found.people if p.faces == 1]
    if single:
        some = ", ".join(single[:5]) + (" ..." if len(single) > 5 else "")
        lines.append(f"one photo {len(single)} of {len(found.people)} people ({some}): two or three recognise better")
    return lines


def _said(suspect: Suspect) -> str:
    own = f"{suspect.own or 0:.2f}"
    if suspect.reason == "looks_like_other":
        seen = f"looks like {suspect.other_name} ({suspect.other:.2f}), not like the others of {suspect.name} ({own})"
    else:
        seen = f"is unlike the others of {suspect.name} ({own})"
    return f"suspect   {suspect.source} {seen}: look at it, and remove it if it is somebody else or a poor photo"


def _spread(impostor: Scores, weights: Scores) -> Spread | None:
    """Weighted moments; None where all similarities are the same."""
    mean = float(np.average(impostor, weights=weights))
    std = float(np.sqrt(np.average((impostor - mean) ** 2, weights=weights)))
    return Spread(mean, std) if std > 0 else None


def _blend(prior: Spread, measured: Spread, weight: float) -> Spread:
    mean = weight * measured.mean + (1 - weight) * prior.mean
    # Variances add, and so does what the two disagree on about the mean.
    apart = weight * (1 - weight) * (measured.mean - prior.mean) ** 2
    return Spread(mean, float(np.sqrt(weight * measured.std**2 + (1 - weight) * prior.std**2 + apart)))


def _sample(scores: Scores) -> Scores:
    if len(scores) <= _MOST_KEPT:
        return scores
    return np.random.default_rng(0).choice(scores, _MOST_KEPT, replace=False)


def _report(person: str, table: _Comparison, nearest: dict[str, tuple[str, float]], standard: Standard) -> PersonReport:
    own = table.own[table.rows_of(person)]
    own = own[np.isfinite(own)]
    other, similarity = nearest.get(person, (None, None))
    names = table.enrolled.names
    return PersonReport(
        person_id=person,
        name=names[person],
        faces=len(table.rows_of(person)),
        genuine=float(own.mean()) if len(own) else None,
        nearest_id=other,
        nearest_name=names[other] if other is not None else None,
        nearest_similarity=similarity,
        threshold=standard.threshold_for(person),
    )


class _Comparison:
    """Every face against every other, in blocks."""

    def __init__(self, enrolled: Enrolled) -> None:
        self.enrolled = enrolled
        labels, codes = np.unique(np.asarray(enrolled.person_ids, dtype=object), return_inverse=True)
        self.people = [str(label) for label in labels]
        self._numbers = {person: number for number, person in enumerate(self.people)}
        self._codes = codes
        count = len(codes)
        self.own = np.full(count, -np.inf)
        """Similarity to the nearest other face of the same person; -inf where there is none."""
        self.other = np.full(count, -np.inf)
        self._other_row = np.zeros(count, np.intp)
        self._share = 1 / np.bincount(codes)[codes]
        """Every person counts once, however many photos there are of them."""
        parts = [self._compare(start) for start in range(0, count, _BLOCK)]
        self.impostor, self.weights = (np.concatenate(values) for values in zip(*parts, strict=True))

    @property
    def people_count(self) -> int:
        return len(self.people)

    def rows_of(self, person: str) -> NDArray[np.intp]:
        return np.flatnonzero(self._codes == self._numbers[person])

    def _compare(self, start: int) -> tuple[Scores, Scores]:
        """One block of rows; returns its impostor similarities, each pair once, and their weights."""
        rows = np.arange(start, min(start + _BLOCK, len(self._codes)))
        similarities = (self.enrolled.vectors[rows] @ self.enrolled.vectors.T).astype(np.float64)
        same = self._codes[rows, None] == self._codes[None]
        itself = rows[:, None] == np.arange(len(self._codes))[None]
        self.own[rows] = np.where(same & ~itself, similarities, -np.inf).max(axis=1)
        others = np.where(same, -np.inf, similarities)
        self._other_row[rows] = others.argmax(axis=1)
        self.other[rows] = others.max(axis=1)
        later = np.arange(len(self._codes))[None] > rows[:, None]
        weights = self._share[rows, None] * self._share[None]
        return similarities[~same & later], weights[~same & later]

    def against(self, strangers: Vectors) -> tuple[Scores, Scores]:
        """Similarities of strangers to every face, and their weights."""
        scores = np.asarray((strangers @ self.enrolled.vectors.T).ravel(), np.float64)
        return scores, np.tile(self._share, len(strangers))

    def nearest_people(self) -> dict[str, tuple[str, float]]:
        """For each person who is not alone, the person with the most similar face, and how similar."""
        found: dict[str, tuple[str, float]] = {}
        for row in np.argsort(self.other, kind="stable"):  # the greatest comes last and stays
            if np.isfinite(self.other[row]):
                other = self.people[int(self._codes[self._other_row[row]])]
                found[self.people[int(self._codes[row])]] = other, float(self.other[row])
        return found

    def suspects(self, lowest_own: float) -> list[Suspect]:
        """Photos nearer to somebody else than to their own person, and photos like nobody's."""
        found = []
        for row, (own, other) in enumerate(zip(self.own, self.other, strict=True)):
            if not np.isfinite(own):
                continue
            reason = "looks_like_other" if other > own else "outlier" if own < lowest_own else None
            if reason is not None:
                found.append(self._suspect(row, reason))
        return found

    def _suspect(self, row: int, reason: str) -> Suspect:
        enrolled = self.enrolled
        face_id = int(enrolled.face_ids[row])
        alone = not np.isfinite(self.other[row])
        return Suspect(
            face_id=face_id,
            name=enrolled.names[enrolled.person_ids[row]],
            source=enrolled.sources.get(face_id, ""),
            own=float(self.own[row]),
            other=0.0 if alone else float(self.other[row]),
            other_name="" if alone else enrolled.names[self.people[int(self._codes[self._other_row[row]])]],
            reason=reason,
        )
