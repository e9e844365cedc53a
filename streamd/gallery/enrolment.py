"""From photographs to faces in the gallery: each photo is enrolled whole or refused with a reason, never half."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from streamd.config import GalleryConfig
from streamd.domain import Face
from streamd.errors import GalleryError, PhotoRefused
from streamd.gallery.examiner import PhotoExaminer
from streamd.gallery.folderwriter import FolderWriter
from streamd.gallery.hygiene import Hygiene
from streamd.gallery.live import LiveGallery
from streamd.gallery.names import file_name, person_name
from streamd.gallery.rows import NewFace
from streamd.gallery.store import GalleryStore
from streamd.interfaces import Detector, Embedder
from streamd.scores import ScoreModel
from streamd.vision.photos import decode_photo, read_photo_bytes

if TYPE_CHECKING:
    from streamd.domain import Image, Vector
    from streamd.gallery.footage import Shot

_CHIP_JPEG_QUALITY = 95
BATCH = 50
"""Photos that are examined before the first of them is stored."""


@dataclass(frozen=True, slots=True, eq=False)
class Examined:
    """A photo that may be enrolled."""

    sha256: str
    face: Face


@dataclass(frozen=True, slots=True)
class PhotoResult:
    """What became of one photo."""

    path: Path
    accepted: bool
    reason: str
    """``enrolled would_enroll``, or why not: ``unreadable no_face several_faces too_small blurred turned_away dark
    bright low_contrast cut_off unclear duplicate near_duplicate other_person closer_to_other unlike no_landmarks``."""
    message: str
    quality: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """A photo of a batch: its result where it was refused at once, else its face."""

    path: Path
    examined: Examined | None
    refusal: PhotoRefused | None = None


class Enroller:
    """Puts the faces of photographs into a gallery."""

    def __init__(
        self,
        store: GalleryStore,
        detector: Detector,
        embedder: Embedder,
        *,
        gallery: LiveGallery | None = None,
        writer: FolderWriter | None = None,
        checks: bool = True,
    ) -> None:
        """Args:
        gallery: searched for the person's other photos and for other people; made where it is not given.
        writer: puts the photos into the watched folder as well.
        checks: whether ``face_of`` refuses faces that would do the gallery no good (``Hygiene``).
        """
        self._checks = checks
        self._writer = writer
        self._store = store
        self._examiner = PhotoExaminer(detector, embedder)
        self._scores = embedder.scores
        self._gallery = gallery

    @property
    def model_id(self) -> str:
        """Of the embedder whose vectors are stored."""
        return self._examiner.model_id

    @property
    def scores(self) -> ScoreModel:
        """What the embedder's similarities are worth."""
        return self._scores

    def store(self, name: str, face: NewFace) -> None:
        """Give a person one more face. Raises GalleryError."""
        self._store.add_faces(name, [face])

    @property
    def examiner(self) -> PhotoExaminer:
        return self._examiner

    @cached_property
    def hygiene(self) -> Hygiene:
        """Judges faces against those in the gallery."""
        gallery = self._gallery
        if gallery is None:
            gallery = LiveGallery(self._store.path, model_id=self.model_id, config=GalleryConfig(index="exact"))
        return Hygiene(gallery, self._scores)

    def examine(self, path: Path, *, name: str, replacing: str = "") -> Examined:
        """The face that ``path`` would give to ``name``; nothing is stored.

        Args:
            replacing: the source whose face the photo would replace, which is no duplicate of itself.

        Raises:
            PhotoRefused: with the reason; among them ``duplicate`` for a photo that the person has given already, and
                ``other_person`` for one that somebody else has.
        """
        data = read_photo_bytes(path)
        sha256 = hashlib.sha256(data).hexdigest()
        owners = self._store.owners_of_photo(sha256, self.model_id)
        _refuse_known([owner for owner, source in owners if source != replacing], path, name)
        photo = decode_photo(data, origin=str(path))
        return Examined(sha256, self._examiner.one_face(photo, origin=str(path)))

    def face_of(self, path: Path, *, name: str, source: str) -> NewFace:
        """As ``examine`` and ``Hygiene.judge``, ready to be stored in place of what ``source`` gave before.

        One earlier photo of the person may be the wrong one: only from two on a photo is found unlike them.
        """
        examined = self.examine(path, name=name, replacing=source)
        if self._checks and not self._store.has_source(source):
            self.hygiene.judge(examined.face.vector, name, origin=str(path), least_own=2)
        return self._new_face(examined, source)

    def enroll(
        self,
        name: str,
        paths: Sequence[Path],
        *,
        dry_run: bool = False,
        force: bool = False,
        noticed: Callable[[], None] = lambda: None,
    ) -> Iterator[PhotoResult]:
        """Enrol photos, some at a time: those of a batch are judged together, each is stored in its own transaction.

        Args:
            force: take faces that are unlike the person's others, or like somebody else's.
            noticed: called after each photo that was examined.

        Raises:
            UsageError: the name cannot be one.
            GalleryError: the gallery cannot be written; photos before it are enrolled.
        """
        wanted = person_name(name)
        for at in range(0, len(paths), BATCH):
            batch = []
            for path in paths[at : at + BATCH]:
                batch.append(self._examined(path, wanted))
                noticed()
            yield from self._store_batch(wanted, batch, dry_run=dry_run, force=force)

    def _examined(self, path: Path, name: str) -> _Judged:
        try:
            return _Judged(path, self.examine(path, name=name))
        except PhotoRefused as refusal:
            return _Judged(path, None, refusal)

    def _store_batch(self, name: str, batch: Sequence[_Judged], *, dry_run: bool, force: bool) -> Iterator[PhotoResult]:
        faces = [judged for judged in batch if judged.examined is not None]
        odd = set() if force else self._odd(name, [j.examined.face.vector for j in faces if j.examined])
        taken: list[Examined] = []
        for judged in batch:
            try:
                examined = self._admitted(judged, name, taken, odd=judged in [faces[i] for i in odd], force=force)
            except PhotoRefused as refusal:
                yield PhotoResult(judged.path, False, refusal.reason, str(refusal))
                continue
            taken.append(examined)
            if not dry_run:
                self._keep(name, judged.path, examined)
            yield _accepted(judged.path, examined, dry_run=dry_run)

    def _keep(self, name: str, path: Path, examined: Examined) -> None:
        face = self._new_face(examined, f"photo:{file_name(path)}")
        if self._writer is not None:
            self._writer.keep(name, path, face)
        else:
            self._store.add_faces(name, [face])

    def _odd(self, name: str, vectors: Sequence[Vector]) -> set[int]:
        """Those of a new person's photos that do not go with the rest."""
        try:
            known = self._store.person(name).faces > 0
        except GalleryError:
            known = False
        return set() if known else self.hygiene.odd_ones(vectors)

    def _admitted(self, judged: _Judged, name: str, taken: Sequence[Examined], *, odd: bool, force: bool) -> Examined:
        """Raises PhotoRefused."""
        if judged.refusal is not None or judged.examined is None:
            raise judged.refusal or PhotoRefused("unreadable", f"{judged.path}: not examined")
        if judged.examined.sha256 in {other.sha256 for other in taken}:
            raise PhotoRefused("duplicate", f"{judged.path}: {name!r} has this photo already")
        if odd:
            raise PhotoRefused("unlike", f"{judged.path}: unlike the other photos given; --force enrols it anyway")
        if not force:
            vector = judged.examined.face.vector
            self.hygiene.judge(vector, name, origin=str(judged.path), beside=[other.face.vector for other in taken])
        return judged.examined

    def new_view(self, shot: Shot, source: str) -> NewFace:
        """What is stored of a view in a video."""
        picture = _jpeg(shot.face.chip)
        return self._new_face(Examined(hashlib.sha256(picture).hexdigest(), shot.face), source)

    def _new_face(self, examined: Examined, source: str) -> NewFace:
        """What is stored of an examined photo."""
        return NewFace(
            vector=examined.face.vector,
            model_id=self.model_id,
            chip_jpeg=_jpeg(examined.face.chip),
            quality=examined.face.quality.score,
            source=source,
            source_sha256=examined.sha256,
        )


def _refuse_known(owners: Sequence[str], path: Path, name: str) -> None:
    if name in owners:
        raise PhotoRefused("duplicate", f"{path}: {name!r} has this photo already")
    if owners:
        advice = "'streamd person split', 'merge' and 'rename' change that"
        raise PhotoRefused("other_person", f"{path}: this photo is enrolled as {owners[0]!r}; {advice}")


def _accepted(path: Path, examined: Examined, *, dry_run: bool) -> PhotoResult:
    quality = examined.face.quality
    message = f"{path}: face of {quality.size_px:.0f} pixels, quality {quality.score:.2f}"
    return PhotoResult(path, True, "would_enroll" if dry_run else "enrolled", message, quality.score)


def _jpeg(chip: Image) -> bytes:
    done, data = cv2.imencode(".jpg", chip, [cv2.IMWRITE_JPEG_QUALITY, _CHIP_JPEG_QUALITY])
    if not done:
        raise GalleryError(f"chip of shape {chip.shape} cannot be written as jpeg")
    return bytes(data.tobytes())
