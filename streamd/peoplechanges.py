"""Changes of people that their photos in the watched folder go along with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streamd.config import Config
from streamd.errors import UsageError
from streamd.gallery.folderrecords import photos_of
from streamd.gallery.names import person_name
from streamd.gallery.personfolder import PhotoMove, directories_of, move_photos, planned_moves
from streamd.gallery.store import GalleryStore
from streamd.gallery.undo import Undone


@dataclass(frozen=True, slots=True)
class Merged:
    """``name`` is ``into`` now."""

    name: str
    into: str
    faces: int
    photos: int
    """How many files of the watched folder went over."""


@dataclass(frozen=True, slots=True)
class FolderMove:
    """A person's folder that followed the name, or could not."""

    before: Path
    after: Path
    moved: bool

    @property
    def words(self) -> str:
        if self.moved:
            return f"their photos are now in {self.after}"
        return f"the folder {self.before} stays: {self.after} exists"


def rename_person(config: Config, store: GalleryStore, name: str, new: str) -> FolderMove | None:
    """Give a person another name; what became of their folder, None where they have none.

    Raises:
        UsageError: a name cannot be one, or there is a folder of the new name.
        GalleryError: there is no such person, or one of the new name.
        UnavailableError: photos cannot be moved; the person has the new name already.
    """
    old, wanted = person_name(name), person_name(new)
    folder = config.gallery_folder
    if directories_of(folder, old) and (taken := _taken(folder, wanted)):
        raise UsageError(f"the folder {taken} exists already; move its photos away first")
    store.rename(old, wanted)
    return _follow(folder, old, wanted)


def merge_people(config: Config, store: GalleryStore, name: str, into: str) -> Merged:
    """Two names are one person.

    Raises:
        UsageError: both are the same.
        GalleryError: one of them does not exist.
        UnavailableError: photos cannot be moved; the gallery has merged them already.
    """
    gone, kept = person_name(name), person_name(into)
    moves = planned_moves(config.gallery_folder, gone, kept)
    faces = store.merge(gone, kept, photos=[(move.before, move.after) for move in moves])
    if moves:
        move_photos(config.gallery_folder, moves)
    return Merged(gone, kept, faces, len(moves))


def undo_change(config: Config, store: GalleryStore, version: int | None) -> tuple[Undone, list[FolderMove]]:
    """Take back one change; None: the newest. Raises GalleryError; UnavailableError: photos cannot be moved."""
    undone = store.undo(version)
    moves = [_follow(config.gallery_folder, before, after) for before, after in undone.renamed]
    moves += _put_back(config.gallery_folder, [PhotoMove(*paths) for paths in photos_of(undone.sources)])
    return undone, [move for move in moves if move is not None]


def _put_back(folder: Path, moves: Sequence[PhotoMove]) -> list[FolderMove]:
    """Photos that a merge had moved; what is in the way of one stays, and the photo is looked at where it is."""
    possible = [m for m in moves if (folder / m.before).is_file() and not (folder / m.after).exists()]
    move_photos(folder, possible)
    pairs = {((folder / m.before).parent, (folder / m.after).parent) for m in possible}
    return [FolderMove(before, after, moved=True) for before, after in sorted(pairs)]


def _follow(folder: Path, old: str, new: str) -> FolderMove | None:
    """The photos follow the name, or the next one there would bring the other name back."""
    found = directories_of(folder, old)
    if not found:
        return None
    before, after = found[0], folder / new
    if taken := _taken(folder, new):
        return FolderMove(before, taken, moved=False)
    before.rename(after)
    move_photos(folder, planned_moves(folder, old, new))  # of a second directory that differs in its spelling only
    return FolderMove(before, after, moved=True)


def _taken(folder: Path, name: str) -> Path | None:
    """What is in the way of a person's folder of this name."""
    wanted = folder / name
    return wanted if wanted.exists() else next(iter(directories_of(folder, name)), None)
