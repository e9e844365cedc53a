"""Two questions, one line each: do these photographs show one person, and who is in this one?

    from streamd import recognize, verify

    verify("a.jpg", "b.jpg").same
    [face.name for face in recognize("party.jpg").faces]

Models are loaded once per process and configuration.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from streamd.config import Config
from streamd.configfile import load_config
from streamd.domain import Box, Decision, Face, Match, Population, Scope, Verdict
from streamd.errors import PhotoRefused, UsageError
from streamd.gallery import opening
from streamd.gallery.live import LiveGallery
from streamd.gallery.opening import PhotoModels
from streamd.standard import Standard, margin_of
from streamd.vision.photos import read_photo

if TYPE_CHECKING:
    from streamd.domain import Image

Photo = str | Path | np.ndarray
"""A file, or BGR pixels: uint8 of shape (h, w, 3)."""
_MODELS_KEPT = 4
"""Sets of models in memory; the oldest goes first."""


@dataclass(frozen=True, slots=True)
class FoundFace:
    """A face in a photo."""

    photo: str
    """The file, or ``array``."""
    box: Box
    """In the upright photo's pixels."""
    quality: float
    """0..1."""
    poor: str | None
    """Why the face is too poor to decide anything, if it is: ``blurred``, ``too_small`` ..."""
    of: int = 1
    """How many faces the photo shows."""


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether two photographs show one person."""

    same: bool
    similarity: float
    """Cosine, -1..1."""
    threshold: float
    """The similarity that ``target_far`` asks for."""
    probability: float
    """That they are one person, where that is as likely as not before looking."""
    model: str
    faces: tuple[FoundFace, FoundFace]
    """Of several faces in a photo the largest counts."""

    @property
    def distance(self) -> float:
        return 1 - self.similarity


@dataclass(frozen=True, slots=True)
class RecognisedFace:
    """A face in a photo, and who it is."""

    face: FoundFace
    verdict: Verdict
    name: str | None
    """None for unknown and ambiguous."""
    nearest: Match | None
    """The most similar person, also where that did not suffice."""
    runner_up: Match | None
    threshold: float
    """What the nearest person asks for."""
    margin: float | None
    """Similarity above the runner-up's; None where there is nobody near."""
    probability: float
    """That the face is the nearest person's, where strangers are as likely as known people."""


@dataclass(frozen=True, slots=True)
class Recognition:
    """Everybody in one photo, largest face first."""

    photo: str
    faces: tuple[RecognisedFace, ...]


def verify(
    a: Photo,
    b: Photo,
    *,
    config: Config | None = None,
    threshold: float | None = None,
    target_far: float | None = None,
) -> Verification:
    """Compare the largest faces of two photographs.

    Args:
        a: First photo.
        b: Second photo.
        config: Models and ``recognition.target_far``; None reads the configuration as the command line does.
        threshold: The similarity to ask for, in place of a rate.
        target_far: How many pairs of different people may pass as one.

    Raises:
        PhotoRefused: a photo cannot be read, or shows no face.
        ModelError: a model is missing or damaged.
    """
    config = config or load_config(None)
    models = _models(config)
    wanted = config.recognition.target_far if target_far is None else target_far
    (first, of_first), (second, of_second) = (_largest(models, photo) for photo in (a, b))
    similarity = float(np.clip(first.vector @ second.vector, -1, 1))
    grey = first.quality.grey != second.quality.grey
    standard = Standard(
        models.embedder.scores, wanted, 0.0, Population(1, 1), threshold or config.recognition.threshold
    )
    asked = standard.threshold(grey=grey)
    return Verification(
        same=similarity >= asked,
        similarity=similarity,
        threshold=asked,
        probability=standard.probability(similarity, grey=grey),
        model=models.embedder.model_id,
        faces=(_found(a, first, of_first), _found(b, second, of_second)),
    )


def recognize(
    photo: Photo, *, config: Config | None = None, labels: Mapping[str, Sequence[str]] | None = None
) -> Recognition:
    """Look every face of a photograph up in the gallery.

    Args:
        photo: What to look at.
        config: As for ``verify``; also where the gallery is.
        labels: Search only people who carry one of the values of every key.

    Raises:
        PhotoRefused: the photo cannot be read.
        GalleryError: the gallery cannot be used.
        ModelError: a model is missing or damaged.
    """
    with Recogniser.opened(config or load_config(None), labels=labels) as recogniser:
        return recogniser.look(photo)


class Recogniser:
    """An open gallery, for many photographs."""

    def __init__(self, models: PhotoModels, gallery: LiveGallery, config: Config, scope: Scope) -> None:
        self._models = models
        self._gallery = gallery
        self._scope = scope
        recognition = config.recognition
        self._standard = Standard(
            gallery.scores(models.embedder.scores),
            recognition.target_far,
            recognition.margin,
            gallery.population(scope),
            recognition.threshold,
            gallery.nearest_other,
        )

    @classmethod
    @contextmanager
    def opened(cls, config: Config, *, labels: Mapping[str, Sequence[str]] | None = None) -> Iterator[Recogniser]:
        """A recogniser over the gallery of ``config``, closed at the end."""
        models = _models(config)
        exact = config.gallery.model_copy(update={"index": "exact"})
        with LiveGallery(config.gallery_file, model_id=models.embedder.model_id, config=exact) as gallery:
            yield cls(models, gallery, config, Scope.of(labels or {}))

    def look(self, photo: Photo) -> Recognition:
        """Every face of a photo. Raises PhotoRefused where it cannot be read."""
        faces = self._models.examiner().all_faces(_pixels(photo))
        return Recognition(_origin(photo), tuple(self._recognised(photo, face, len(faces)) for face in faces))

    def _recognised(self, photo: Photo, face: Face, of: int) -> RecognisedFace:
        matches = self._gallery.search(face.vector[None], people=2, scope=self._scope)[0]
        grey = face.quality.grey
        decision: Decision = self._standard.judge(matches, grey=grey)
        best = decision.best
        return RecognisedFace(
            face=_found(photo, face, of),
            verdict=decision.verdict,
            name=decision.identity.name if decision.identity else None,
            nearest=best,
            runner_up=decision.runner_up,
            threshold=self._standard.threshold_for(best.person_id, grey=grey)
            if best
            else self._standard.threshold(grey=grey),
            margin=margin_of(best, decision.runner_up) if best else None,
            probability=self._standard.probability(best.similarity, grey=grey) if best else 0.0,
        )


_loaded: dict[str, PhotoModels] = {}
_loading = threading.Lock()


def _models(config: Config) -> PhotoModels:
    key = "|".join(
        map(str, (config.detection.model, config.recognition.embedder, config.models_path, config.workers.device))
    )
    with _loading:
        if key not in _loaded:
            while len(_loaded) >= _MODELS_KEPT:
                del _loaded[next(iter(_loaded))]
            _loaded[key] = opening.load_photo_models(config)
        return _loaded[key]


def _largest(models: PhotoModels, photo: Photo) -> tuple[Face, int]:
    """The largest face, and of how many."""
    faces = models.examiner().all_faces(_pixels(photo))
    if not faces:
        raise PhotoRefused("no_face", f"{_origin(photo)}: no face found")
    return faces[0], len(faces)


def _pixels(photo: Photo) -> Image:
    if not isinstance(photo, np.ndarray):
        return read_photo(Path(photo))
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or not photo.size:
        raise UsageError(f"a photo is uint8 of shape (h, w, 3), BGR; this is {photo.dtype} of shape {photo.shape}")
    return photo


def _origin(photo: Photo) -> str:
    return "array" if isinstance(photo, np.ndarray) else str(photo)


def _found(photo: Photo, face: Face, of: int) -> FoundFace:
    return FoundFace(_origin(photo), face.detection.box, face.quality.score, face.quality.reason, of)
