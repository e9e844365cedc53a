"""How well an embedder tells people apart, on photographs of known people.

Some networks call everybody similar (DeepID: strangers at 0.97, one person at 0.99), others nobody: what counts is
the gap between the two, as a share of the distance between different people.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from streamd.domain import Bgr
from streamd.errors import UsageError
from streamd.interfaces import Embedder
from streamd.vision.catalog import MeasuredScores, NormalSpread
from streamd.vision.crops import cut_chip
from streamd.vision.embedding import alignment_of

if TYPE_CHECKING:
    from streamd.domain import Image, Landmarks

LEAST_GAP = 0.05
"""As a share of the distance between different people."""
LEAST_D_PRIME = 2.5
"""Right inputs gave 4.2 and more, networks that know no faces below 1."""
_OUTLIERS = 0.05
"""Share of pairs that may lie wrong: labels do, too. None of fewer than twenty."""
_ENOUGH_GENUINE, _ENOUGH_IMPOSTOR = 20, 1000
"""Pairs of photographs from which these speak for themselves, and their spreads can be stated."""
_WIDEST_GENUINE = 0.13
"""Cameras at doors see worse than photographers do: the genuine spread is taken to be at least this share of the
distance between different people (SFace's manifest: 0.12 of 0.905)."""

Pairs = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class KnownFace:
    """A photograph of somebody, and where the face is on it."""

    person: str
    photo: Image
    landmarks: Landmarks


@dataclass(frozen=True, slots=True, eq=False)
class Separation:
    """Similarities of known faces."""

    genuine: NDArray[np.float32]
    """One value per pair of photos of one person."""
    impostor: NDArray[np.float32]
    """One value per pair of photos of different people."""
    lowest: float
    """Reached by photos of one person, however they are varied; but for outliers where there are many."""
    highest: float
    """Not passed by photos of different people, likewise."""
    d_prime: float
    """Distance of the two means in standard deviations."""

    @property
    def apart(self) -> float:
        """Mean cosine distance of different people."""
        return max(1e-6, 1 - float(self.impostor.mean()))

    @property
    def gap(self) -> float:
        return (self.lowest - self.highest) / self.apart

    @property
    def good(self) -> bool:
        return self.gap >= LEAST_GAP and self.d_prime >= LEAST_D_PRIME

    def scores(self) -> MeasuredScores | None:
        """The spreads for a manifest; None where the pairs are too few to state them."""
        if len(self.genuine) < _ENOUGH_GENUINE or len(self.impostor) < _ENOUGH_IMPOSTOR:
            return None
        said = f"at import, {len(self.genuine)} pairs of the same and {len(self.impostor)} of different people"
        return MeasuredScores(
            impostor=_spread(self.impostor, least=1e-3),
            genuine=_spread(self.genuine, least=_WIDEST_GENUINE * self.apart),
            measured=said,
        )

    def __str__(self) -> str:
        return (
            f"photos of one person are similar from {self.lowest:.3g}, of different people up to {self.highest:.3g}, "
            f"d' {self.d_prime:.1f}"
        )


def _spread(values: NDArray[np.float32], *, least: float) -> NormalSpread:
    return NormalSpread(mean=round(float(values.mean()), 3), std=round(max(float(values.std()), least), 3))


def separate(embedder: Embedder, faces: Sequence[KnownFace]) -> Separation:
    """Compare every face with every other.

    Where there are few photos of one person, each is also mirrored, darkened, cut out a little beside and a little
    closer, and the worst of each pair counts: a network that sees colours and outlines is found out by that.

    Raises:
        UsageError: the faces have no pair of one person, or none of two.
        ModelError: the network gave something that is not a direction.
    """
    genuine, impostor = pairs_of(faces)
    varied = int(genuine.sum()) < _ENOUGH_GENUINE
    return _separation(_similarities(embedder, faces, varied=varied), genuine, impostor)


def pairs_of(faces: Sequence[KnownFace]) -> tuple[Pairs, Pairs]:
    """Of one person, and of two; each pair once. Raises UsageError where either is missing."""
    people = np.array([face.person for face in faces])
    upper = np.triu(np.ones((len(faces), len(faces)), np.bool_), 1)
    same = people[:, None] == people[None, :]
    if not (upper & same).any() or not (upper & ~same).any():
        raise UsageError("known faces: needs two photos of one person, and one of another, with a face on each")
    return upper & same, upper & ~same


def _similarities(embedder: Embedder, faces: Sequence[KnownFace], *, varied: bool) -> NDArray[np.float32]:
    """Of all variants, shape (faces, faces, variants, variants); the first variant is the photo as it is."""
    rows = np.stack([embedder.embed(np.stack(list(_chips(face, embedder, varied=varied)))) for face in faces])
    return np.asarray(np.einsum("aid,bjd->abij", rows, rows, optimize=True), np.float32)


def _chips(face: KnownFace, embedder: Embedder, *, varied: bool) -> Iterator[Image]:
    alignment, photo, points = alignment_of(embedder), Bgr(face.photo), face.landmarks
    chip = cut_chip(photo, points, alignment)
    yield chip
    if not varied:
        return
    eyes_px = float(np.hypot(*(points[1] - points[0])))
    centre = points.mean(axis=0)
    yield np.ascontiguousarray(chip[:, ::-1])
    yield np.asarray(cv2.convertScaleAbs(chip, alpha=0.6), np.uint8)
    yield cut_chip(photo, np.asarray(points + np.array([0.04 * eyes_px, 0]), np.float32), alignment)
    yield cut_chip(photo, np.asarray(centre + 0.95 * (points - centre), np.float32), alignment)


def _separation(values: NDArray[np.float32], genuine: Pairs, impostor: Pairs) -> Separation:
    worst_genuine, worst_impostor = values.min(axis=(2, 3))[genuine], values.max(axis=(2, 3))[impostor]
    all_genuine, all_impostor = values[genuine], values[impostor]
    spread = float(np.sqrt((all_genuine.var() + all_impostor.var()) / 2))
    return Separation(
        values[genuine][:, 0, 0],
        values[impostor][:, 0, 0],
        float(np.quantile(worst_genuine, _OUTLIERS, method="lower")),
        float(np.quantile(worst_impostor, 1 - _OUTLIERS, method="higher")),
        float(all_genuine.mean() - all_impostor.mean()) / max(spread, 1e-6),
    )
