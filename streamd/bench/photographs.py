"""Photographs to faces for the accuracy benches: through the examiner, as the product does, each photo once."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from streamd.domain import Face
from streamd.errors import PhotoRefused, UsageError
from streamd.gallery.examiner import PhotoExaminer
from streamd.vision.photos import SUFFIXES, read_photo

if TYPE_CHECKING:
    from streamd.domain import Image


_NO_CHIP = np.zeros((0, 0, 3), np.uint8)


@dataclass(slots=True)
class FaceReader:
    """The subject's face of each photo, and what it cost."""

    examiner: PhotoExaminer
    seconds: list[float] = field(default_factory=list)
    undetected: list[Path] = field(default_factory=list)
    faces: dict[Path, Face | None] = field(default_factory=dict)

    def read_all(self, paths: Iterable[Path], what: str) -> None:
        """Examine every photo that was not examined yet; a count is shown on a terminal."""
        wanted = [path for path in dict.fromkeys(paths) if path not in self.faces]
        shown = sys.stderr.isatty()
        for number, path in enumerate(wanted, start=1):
            self._read(path)
            if shown and (number % 10 == 0 or number == len(wanted)):
                end = "\n" if number == len(wanted) else ""
                sys.stderr.write(f"\r\x1b[K{what}: {number} of {len(wanted)}{end}")
                sys.stderr.flush()

    def _read(self, path: Path) -> None:
        started_s = time.perf_counter()
        try:
            photo = read_photo(path)
        except PhotoRefused as refusal:
            raise UsageError(str(refusal)) from refusal
        face = subject(self.examiner.all_faces(photo), photo)
        self.seconds.append(time.perf_counter() - started_s)
        if face is None:
            self.undetected.append(path)
        # Ten thousand chips would take half a gigabyte, and nobody looks at them.
        self.faces[path] = None if face is None else replace(face, chip=_NO_CHIP)

    @property
    def ms_per_image(self) -> float:
        """Mean; reading, detection, alignment and embedding."""
        return 1000 * float(np.mean(self.seconds)) if self.seconds else 0.0


def subject(faces: list[Face], photo: Image) -> Face | None:
    """Whom a portrait shows: of several faces the one that is large and near the middle."""
    height, width = photo.shape[:2]

    def prominence(face: Face) -> float:
        x, y = face.detection.box.centre
        size = float(np.sqrt(face.detection.box.width * face.detection.box.height))
        return size - float(np.hypot(x - width / 2, y - height / 2))

    return max(faces, key=prominence, default=None)


def people_in(folder: Path) -> dict[str, list[Path]]:
    """Photos by person, of ``<person>/*.jpg``. Raises UsageError where there are none."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: not a folder")
    found = {
        entry.name: sorted(path for path in entry.iterdir() if path.suffix.lower() in SUFFIXES)
        for entry in sorted(folder.iterdir())
        if entry.is_dir()
    }
    people = {name: photos for name, photos in found.items() if photos}
    if not people:
        raise UsageError(f"{folder}: no photos; expected <person>/*.jpg")
    return people


def photos_under(folder: Path) -> list[Path]:
    """Every photo at any depth. Raises UsageError where there are none."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise UsageError(f"{folder}: {'no photos' if folder.is_dir() else 'not a folder'}")
    return found
