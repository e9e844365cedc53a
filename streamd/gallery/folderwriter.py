"""Puts photos that were enrolled by command into the watched folder, so that folder and gallery say the same."""

from __future__ import annotations

import os
from pathlib import Path

from streamd.errors import GalleryError
from streamd.gallery.database import Database
from streamd.gallery.folderrecords import FOLDER, FolderRecords, PhotoRecord, Stamp
from streamd.gallery.names import file_name
from streamd.gallery.rows import NewFace

_LONGEST_NAME_BYTES = 255


class FolderWriter:
    """Writes to one folder, whose sync takes the photos for known."""

    def __init__(self, folder: Path, database: Database) -> None:
        self._folder = folder
        self._records = FolderRecords(database)

    def keep(self, name: str, photo: Path, face: NewFace) -> str:
        """Copy ``photo`` to ``<folder>/<name>`` and enrol its face as that photo's; returns its path in the folder.

        Raises:
            GalleryError: the folder or the gallery cannot be written; neither is changed then.
        """
        directory = self._folder / name
        try:
            self._check_name(name)
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            target = _copied(photo, directory)
            status = target.lstat()
        except OSError as error:
            raise GalleryError(f"{error.filename or directory}: {(error.strerror or str(error)).lower()}") from error
        path = f"{name}/{target.name}"
        record = PhotoRecord(path, Stamp(status.st_size, status.st_mtime_ns), face.model_id)
        try:
            self._records.keep_face(record, name, face.from_source(FOLDER + path))
        except GalleryError:
            target.unlink(missing_ok=True)
            raise
        return path

    def _check_name(self, name: str) -> None:
        size = len(os.fsencode(name))
        if size > _LONGEST_NAME_BYTES:
            raise GalleryError(f"{name!r} has {size} bytes, a folder's name at most {_LONGEST_NAME_BYTES}: shorten it")


def _copied(photo: Path, directory: Path) -> Path:
    """A copy under a name that is free there; hidden, and so unseen by the sync, until it is complete."""
    scratch = directory / f".{os.getpid()}.part"
    wanted = Path(file_name(photo))
    data = photo.read_bytes()
    try:
        with scratch.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        for number in range(1, 10_000):
            name = wanted.name if number == 1 else f"{wanted.stem}-{number}{wanted.suffix}"
            try:
                os.link(scratch, directory / name)
            except FileExistsError:
                continue
            return directory / name
    finally:
        scratch.unlink(missing_ok=True)
    raise GalleryError(f"{directory}: too many photos called {photo.name}")
