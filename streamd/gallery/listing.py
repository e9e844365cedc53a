"""What lies in the watched folder, looked at often and cheaply.

A directory's modification time changes when a file in it comes, goes or is renamed, so only such directories are listed
again. A file that is rewritten in place leaves no trace there: of the others, some files are looked at in turn.
"""

from __future__ import annotations

import logging
import os
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from streamd.errors import UsageError
from streamd.gallery.folderrecords import Stamp
from streamd.gallery.names import person_name
from streamd.vision.photos import SUFFIXES

logger = logging.getLogger(__name__)

UNREADABLE_SUFFIXES = frozenset({".heic", ".heif", ".avif", ".gif"})
"""Photos to their owner, though not to us: tried all the same, so that the refusal is said."""
PHOTO_SUFFIXES = tuple(sorted(SUFFIXES | UNREADABLE_SUFFIXES))
"""Of names in lower case."""
_FILES_PER_LOOK = 500
"""Files of unchanged directories looked at again each time."""
_TRUSTED_AFTER_S = 2.0
"""A directory changed more recently than this may change again within the same tick of its clock."""


def is_by_the_way(name: str) -> bool:
    """Whether a file's or folder's name says that it is none of its owner's: hidden, or a server's own."""
    return name.startswith((".", "@", "#"))


@dataclass(slots=True)
class _Directory:
    mtime_ns: int
    trusted: bool
    files: dict[str, Stamp] = field(default_factory=dict)


class FolderListing:
    """The photos of a folder, ``<person>/<file>``, with their stamps; hidden files and other kinds left out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._root = str(folder)  # joining paths as text: this runs for every photo several times a second
        self.unreadable: set[str] = set()
        """Directories that could not be listed at the last look; nothing is known of what lies in them."""
        self._directories: dict[str, _Directory] = {}
        self._turn: deque[str] = deque()
        self._complained: set[str] = set()

    def look(self, now_wall_s: float) -> bool:
        """Bring the listing up to date; returns whether it changed. Raises OSError where the folder is not there."""
        names = set(self._person_directories())
        changed = bool(self._directories.keys() - names)
        for gone in self._directories.keys() - names:
            del self._directories[gone]
        self.unreadable = set()
        for name in names:
            changed |= self._look_into(name, now_wall_s)
        return self._look_again() or changed

    def directories(self) -> set[str]:
        return set(self._directories)

    def photos(self) -> Iterator[tuple[str, Stamp]]:
        """Every photo's path relative to the folder, in order, and its stamp."""
        for name in sorted(self._directories):
            files = self._directories[name].files
            for file in sorted(files):
                yield f"{name}/{file}", files[file]

    def is_empty(self) -> bool:
        return not any(d.files for d in self._directories.values())

    def identity(self) -> str:
        """Tells this folder from another one, or an empty mount point, at the same path. Raises OSError."""
        status = self.folder.stat()
        return f"{status.st_dev}:{status.st_ino}"

    def restamp(self, path: str) -> Stamp | None:
        """The photo as it is at this moment, which the listing takes over; None where it is gone."""
        stamp = self._stamp(f"{self._root}/{path}")
        name, _, file = path.partition("/")
        if stamp is not None and name in self._directories:
            self._directories[name].files[file] = stamp
        return stamp

    def _person_directories(self) -> Iterator[str]:
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                # A linked directory could lead anywhere, also back to here.
                if not entry.is_dir(follow_symlinks=False):
                    self._complain_of_loose(entry.name)
                elif self._is_name(entry.name):
                    yield entry.name

    def _is_name(self, directory: str) -> bool:
        if directory in self._directories:
            return True
        try:
            directory.encode()
            person_name(directory)
        except UnicodeEncodeError:
            self._complain(directory, f"folder {directory!r} is not taken for a person: its name is not UTF-8")
            return False
        except UsageError as error:
            self._complain(directory, f"folder {directory!r} is not taken for a person: {error}")
            return False
        return True

    def _look_into(self, name: str, now_wall_s: float) -> bool:
        path = f"{self._root}/{name}"
        known = self._directories.get(name)
        try:
            mtime_ns = os.lstat(path).st_mtime_ns
            if known and known.trusted and known.mtime_ns == mtime_ns:
                return False
            files = dict(self._list(path))
        except OSError as error:
            self.unreadable.add(name)
            self._complain(name, f"{path} cannot be listed, its photos stay as they are: {error.strerror}")
            return False
        trusted = now_wall_s - mtime_ns / 1e9 > _TRUSTED_AFTER_S
        self._directories[name] = _Directory(mtime_ns, trusted, files)
        return known is None or known.files != files

    def _list(self, path: str) -> Iterator[tuple[str, Stamp]]:
        with os.scandir(path) as entries:
            for entry in entries:
                if self._is_photo(entry.name) and (stamp := self._stamp(entry.path)):
                    yield entry.name, stamp
                elif entry.is_dir(follow_symlinks=False) and not is_by_the_way(entry.name):
                    self._complain(entry.path, f"{entry.path} is ignored: photos lie in the person's folder itself")

    def _is_photo(self, name: str) -> bool:
        if name.startswith(".") or not name.lower().endswith(PHOTO_SUFFIXES):
            return False
        try:
            name.encode()
        except UnicodeEncodeError:
            self._complain(name, f"photo {name!r} is ignored: its name is not UTF-8")
            return False
        return True

    def _stamp(self, path: str) -> Stamp | None:
        try:
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                if not Path(path).resolve().is_relative_to(self.folder.resolve()):
                    self._complain(path, f"{path} is ignored: it links to a place outside the folder")
                    return None
                status = Path(path).stat()
        except OSError:
            return None
        return Stamp(status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None

    def _look_again(self) -> bool:
        """Look at some files of directories that seem unchanged; over several looks at all of them."""
        changed, left = False, _FILES_PER_LOOK
        for _ in range(len(self._directories)):
            if left <= 0:
                break
            self._turn = self._turn or deque(sorted(self._directories))
            name = self._turn.popleft()
            if directory := self._directories.get(name):
                left -= len(directory.files)
                changed |= self._restamp_all(name, directory)
        return changed

    def _restamp_all(self, name: str, directory: _Directory) -> bool:
        changed = False
        for file, known in list(directory.files.items()):
            stamp = self._stamp(f"{self._root}/{name}/{file}")
            if stamp is not None and stamp != known:
                directory.files[file] = stamp
                changed = True
        return changed

    def _complain_of_loose(self, name: str) -> None:
        if name.lower().endswith(PHOTO_SUFFIXES):
            self._complain(".", f"photo {name!r} is ignored, as are others beside the folders: whose is it?")

    def _complain(self, about: str, message: str) -> None:
        if about not in self._complained:
            self._complained.add(about)
            logger.warning("%s", message)
