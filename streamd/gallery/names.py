"""What may be a person's name, and what may be written down about a person."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

from streamd.errors import UsageError

MAX_CHARACTERS = 80
MAX_NOTE_CHARACTERS = 2000


def person_name(text: str) -> str:
    """``text`` as the gallery writes it: NFC, so that a name typed and a name from a file system agree.

    Raises:
        UsageError: empty, over 80 characters, or with control characters or path separators.
    """
    name = unicodedata.normalize("NFC", text)
    if problem := _problem(name):
        raise UsageError(f"person's name {text[: MAX_CHARACTERS + 1]!r} {problem}")
    return name


def note_text(what: str, text: str) -> str:
    """``text`` in NFC. Raises UsageError: over 2,000 characters, or control characters other than new lines."""
    note = unicodedata.normalize("NFC", text)
    if len(note) > MAX_NOTE_CHARACTERS:
        raise UsageError(f"{what}: {len(note)} characters; at most {MAX_NOTE_CHARACTERS} are allowed")
    if bad := next((c for c in note if c != "\n" and not _allowed(c)), None):
        raise UsageError(f"{what}: contains the character U+{ord(bad):04X}, which cannot be printed")
    return note


def file_name(path: Path) -> str:
    """The name of a file as the gallery writes it: bytes that are not UTF-8 become U+FFFD."""
    return os.fsencode(path.name).decode(errors="replace")


def _problem(name: str) -> str | None:
    if not name.strip():
        return "is empty"
    if name != name.strip():
        return "begins or ends with a space"
    if len(name) > MAX_CHARACTERS:
        return f"has {len(name)} characters; at most {MAX_CHARACTERS} are allowed"
    if "/" in name or "\\" in name:
        return "contains a path separator"
    if name in (".", ".."):
        return "means a folder"
    bad = next((c for c in name if not _allowed(c)), None)
    return f"contains the character U+{ord(bad):04X}, which cannot be printed" if bad else None


def _allowed(character: str) -> bool:
    # Joiners (category Cf) are part of how Persian, Hindi and other scripts are written.
    return character.isprintable() or character in "\u200c\u200d"
