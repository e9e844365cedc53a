"""A person's photos in the watched folder, when they become somebody else's."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streamd.errors import UnavailableError


@dataclass(frozen=True, slots=True)
class PhotoMove:
    """Paths relative to the folder."""

    before: str
    after: str


def directories_of(folder: Path, name: str) -> list[Path]:
    """What the watched folder takes for this person's (``name`` in NFC), the one of exactly this name first.

    A name that comes from a Mac is decomposed, and so another one to Linux.
    """
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if unicodedata.normalize("NFC", path.name) == name and path.is_dir()]
    return sorted(found, key=lambda path: path.name != name)


def planned_moves(folder: Path, name: str, into: str) -> list[PhotoMove]:
    """How the files of ``name`` go to ``into``; none takes the place of another."""
    sources = directories_of(folder, name)
    target = next(iter(directories_of(folder, into)), folder / into)
    taken = {path.name for path in target.iterdir()} if target.is_dir() else set()
    moves = []
    for path in (p for source in sources for p in sorted(source.iterdir()) if p.is_file()):
        file = _free(path, taken)
        taken.add(file)
        moves.append(PhotoMove(f"{path.parent.name}/{path.name}", f"{target.name}/{file}"))
    return moves


def move_photos(folder: Path, moves: Sequence[PhotoMove]) -> None:
    """Carry out a plan; the directory that is empty afterwards goes. Raises UnavailableError."""
    try:
        for move in moves:
            (folder / move.after).parent.mkdir(exist_ok=True)
            (folder / move.before).rename(folder / move.after)
        for source in {(folder / move.before).parent for move in moves}:
            if not any(source.iterdir()):
                source.rmdir()
    except OSError as error:
        raise UnavailableError(
            f"{error.filename}: {(error.strerror or str(error)).lower()}; move it by hand"
        ) from error


def _free(path: Path, taken: set[str]) -> str:
    names = (path.name, *(f"{path.stem}-{n}{path.suffix}" for n in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)
