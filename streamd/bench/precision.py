"""What a network loses by computing in fewer bits: labelled pairs of photographs, the second of each also damaged as
cameras damage them, seen by the form that is to be judged and by single precision.

A gallery may have been enrolled by either form, so each probe is compared with both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from streamd.bench import rates
from streamd.bench.accuracy import Pair
from streamd.bench.quality import DAMAGES
from streamd.domain import Bgr
from streamd.errors import PhotoRefused, UsageError
from streamd.gallery.examiner import largest_landmarks
from streamd.interfaces import Detector, Embedder
from streamd.vision.crops import cut_chip
from streamd.vision.embedding import alignment_of
from streamd.vision.photos import read_photo

if TYPE_CHECKING:
    from streamd.domain import Image

Scores = NDArray[np.float64]

FORMS = ("none", "blurred by 3", "a fifth of the detail", "a quarter of the light", "noise")
"""Damages of the second picture of each pair."""
FARS = (1e-4, 1e-3, 1e-2)
ENOUGH_BEYOND = 10
"""Impostor pairs above a threshold, from which the rate there is measured and not guessed."""
MOST_TAR_LOST = 0.002
MOST_THRESHOLD_MOVED = 0.01
"""Upwards: thresholds are stated for single precision, and strangers must not reach them more often."""
MOST_D_PRIME_LOST = 0.01
"""As a share."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Over all forms of the second picture, means."""

    tar: float
    threshold: float
    d_prime: float


@dataclass(frozen=True, slots=True)
class Loss:
    """One form of the network beside single precision, at the lowest false-accept rate that the pairs can tell."""

    far: float
    exact: Figures
    own: Figures
    """Gallery and probe by the form that is judged."""
    mixed: Figures
    """The gallery by single precision."""
    least_cosine: float
    mean_cosine: float
    """Between the two vectors of one picture."""

    @property
    def lossless(self) -> bool:
        return all(self._is_as_good(figures) for figures in (self.own, self.mixed))

    def _is_as_good(self, found: Figures) -> bool:
        return (
            found.tar >= self.exact.tar - MOST_TAR_LOST
            and found.threshold <= self.exact.threshold + MOST_THRESHOLD_MOVED
            and found.d_prime >= (1 - MOST_D_PRIME_LOST) * self.exact.d_prime
        )

    def __str__(self) -> str:
        def row(name: str) -> str:
            values = [getattr(figures, name) for figures in (self.exact, self.own, self.mixed)]
            return f"{name.replace('_prime', chr(39))} " + " / ".join(f"{value:.4g}" for value in values)

        return (
            f"{row('tar')}, {row('threshold')} at a false-accept rate of {self.far:g}, {row('d_prime')} "
            f"(single precision / this / mixed), cosine {self.mean_cosine:.4f}, at least {self.least_cosine:.4f}"
        )


def measure(
    pairs: Sequence[Pair], detector: Detector, exact: Embedder, judged: Mapping[str, Embedder]
) -> dict[str, Loss]:
    """Every judged embedder beside the exact one, over the pairs whose photographs both show a face.

    Raises:
        UsageError: a photo cannot be read, or the pairs are too few for any rate.
    """
    vectors = _all_vectors(pairs, detector, {"": exact, **judged})
    there = [pair for pair in pairs if pair.a in vectors and pair.b in vectors]
    same = np.array([pair.same for pair in there], np.bool_)
    a, b = (np.stack([vectors[getattr(pair, side)] for pair in there], axis=2) for side in "ab")
    far = measurable_far(int((~same).sum()))

    def figures(gallery: int, probe: int) -> Figures:
        scores = np.einsum("nd,fnd->fn", a[gallery, 0], b[probe], dtype=np.float64)
        return _figures(scores, same, far)

    return {
        name: Loss(far, figures(0, 0), figures(number, number), figures(0, number), *_cosines(b[0], b[number]))
        for number, name in enumerate(judged, start=1)
    }


def measurable_far(impostors: int) -> float:
    """The lowest rate that so many pairs can tell. Raises UsageError: they can tell none."""
    for far in FARS:
        if far * impostors >= ENOUGH_BEYOND:
            return far
    needed = round(ENOUGH_BEYOND / FARS[-1])
    raise UsageError(f"pairs: {impostors} of different people with a face on both are too few: needs {needed}")


def _figures(scores: Scores, same: NDArray[np.bool_], far: float) -> Figures:
    """Of scores of shape (forms, pairs)."""
    genuine, impostor = scores[:, same], scores[:, ~same]
    spread = np.sqrt((genuine.var(axis=1) + impostor.var(axis=1)) / 2)
    return Figures(
        float(np.mean([rates.tar_at_far(g, i, far) for g, i in zip(genuine, impostor, strict=True)])),
        float(np.mean([rates.threshold_at_far(i, far) for i in impostor])),
        float(np.mean((genuine.mean(axis=1) - impostor.mean(axis=1)) / spread)),
    )


def _cosines(exact: NDArray[np.float32], judged: NDArray[np.float32]) -> tuple[float, float]:
    cosines = np.einsum("fnd,fnd->fn", exact, judged)
    return float(cosines.min()), float(cosines.mean())


def _all_vectors(
    pairs: Sequence[Pair], detector: Detector, embedders: Mapping[str, Embedder]
) -> dict[Path, NDArray[np.float32]]:
    """By photo, of shape (embedders, forms, dim); photos without a face are left out."""
    found = {}
    for path in dict.fromkeys(path for pair in pairs for path in (pair.a, pair.b)):
        chip = face_of(path, detector, next(iter(embedders.values())))
        if chip is not None:
            forms = np.stack([DAMAGES[form](chip) for form in FORMS])
            found[path] = np.stack([embedder.embed(forms) for embedder in embedders.values()])
    return found


def face_of(path: Path, detector: Detector, embedder: Embedder) -> Image | None:
    """The largest face of a photo as the embedder wants it. Raises UsageError: the photo cannot be read."""
    try:
        photo = read_photo(path)
    except PhotoRefused as refusal:
        raise UsageError(str(refusal)) from refusal
    return face_in(photo, detector, embedder)


def face_in(photo: Image, detector: Detector, embedder: Embedder) -> Image | None:
    """The largest face of a picture as the embedder wants it."""
    landmarks = largest_landmarks(detector, photo)
    return None if landmarks is None else cut_chip(Bgr(photo), landmarks, alignment_of(embedder))


def varied(faces: Sequence[Image], count: int) -> NDArray[np.uint8]:
    """``count`` pictures to calibrate on: the faces, then mirrored, darker, brighter, blurred ones."""
    return np.stack(list(islice(_variants(faces), count)))


def _variants(faces: Sequence[Image]) -> Iterator[Image]:
    yield from faces
    for face in faces:
        yield np.ascontiguousarray(face[:, ::-1])
    for gain, offset in ((0.6, 0), (1.3, 10)):
        for face in faces:
            yield np.asarray(cv2.convertScaleAbs(face, alpha=gain, beta=offset), np.uint8)
    for face in faces:
        yield np.asarray(cv2.GaussianBlur(face, (0, 0), 1.5), np.uint8)
