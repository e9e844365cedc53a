"""Files that a command writes where it was told to."""

from __future__ import annotations

from pathlib import Path

from streamd.errors import UsageError

_BEGINNINGS = {"PNG": (0, b"\x89PNG"), "JPEG": (0, b"\xff\xd8"), "MP4": (4, b"ftyp")}
"""Where in the file, and which bytes."""


def admit_output(path: Path | None, kind: str) -> None:
    """A picture may be drawn again; another file that a slip of the hand names is not lost.

    Called before the work that makes it. ``kind``: PNG, JPEG or MP4.

    Raises:
        UsageError: there is no such folder, or a file of another kind has that name.
    """
    if path is None:
        return
    if not path.parent.is_dir():
        raise UsageError(f"{path}: no such folder")
    if not path.is_file():  # devices take anything
        return
    offset, beginning = _BEGINNINGS[kind]
    with path.open("rb") as file:
        found = file.read(offset + len(beginning))
    if found and found[offset:] != beginning:
        raise UsageError(f"{path} is there already, and no {kind}: name another file")
