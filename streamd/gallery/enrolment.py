"""From photographs to faces in the gallery: each photo is enrolled whole or refused with a reason, never half."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from streamd.domain import Face
from streamd.errors import GalleryError, PhotoRefused
from streamd.gallery.examiner import PhotoExaminer
from streamd.gallery.names import person_name
from streamd.gallery.rows import NewFace
from streamd.gallery.store import GalleryStore
from streamd.interfaces import Detector, Embedder
from streamd.vision.photos import decode_photo, read_photo_bytes

if TYPE_CHECKING:
    from streamd.domain import Image

_CHIP_JPEG_QUALITY = 95


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
    bright low_contrast cut_off unclear duplicate other_person no_landmarks``."""
    message: str
    quality: float | None = None


class Enroller:
    """Puts the faces of photographs into a gallery."""

    def __init__(self, store: GalleryStore, detector: Detector, embedder: Embedder) -> None:
        self._store = store
        self._examiner = PhotoExaminer(detector, embedder)

    @property
    def model_id(self) -> str:
        """Of the embedder whose vectors are stored."""
        return self._examiner.model_id

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
        """As ``examine``, ready to be stored in place of what ``source`` gave before."""
        return self._new_face(self.examine(path, name=name, replacing=source), source)

    def enroll(self, name: str, paths: Sequence[Path], *, dry_run: bool = False) -> Iterator[PhotoResult]:
        """Enrol photo after photo, each in its own transaction; a refused one stores nothing.

        Raises:
            UsageError: the name cannot be one.
            GalleryError: the gallery cannot be written; photos before it are enrolled.
        """
        wanted = person_name(name)
        for path in paths:
            try:
                examined = self.examine(path, name=wanted)
            except PhotoRefused as refusal:
                yield PhotoResult(path, False, refusal.reason, str(refusal))
                continue
            if not dry_run:
                self._store.add_faces(wanted, [self._new_face(examined, f"photo:{path.name}")])
            yield _accepted(path, examined, dry_run=dry_run)

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
        raise PhotoRefused("other_person", f"{path}: this photo is enrolled as {owners[0]!r}; forget that person first")


def _accepted(path: Path, examined: Examined, *, dry_run: bool) -> PhotoResult:
    quality = examined.face.quality
    message = f"{path}: face of {quality.size_px:.0f} pixels, quality {quality.score:.2f}"
    return PhotoResult(path, True, "would_enroll" if dry_run else "enrolled", message, quality.score)


def _jpeg(chip: Image) -> bytes:
    done, data = cv2.imencode(".jpg", chip, [cv2.IMWRITE_JPEG_QUALITY, _CHIP_JPEG_QUALITY])
    if not done:
        raise GalleryError(f"chip of shape {chip.shape} cannot be written as jpeg")
    return bytes(data.tobytes())
