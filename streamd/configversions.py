"""Changes of the configuration's format: how a file of an older version becomes one of this.

Each change is applied to plain values when a file is read, and to the document with its comments when
``streamd check --migrate`` rewrites it. A released change is never edited.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

CURRENT = 1
"""The version that ``streamd.config`` describes."""
MIGRATIONS: dict[int, Callable[[MutableMapping[str, Any]], None]] = {}
"""By the version that each starts from. It changes the document in place, and leaves ``version`` alone."""


class NewerVersion(ValueError):
    """A file for a later streamd; says so in words."""

    def __init__(self, found: int) -> None:
        super().__init__(
            f"version {found} is for a newer streamd, this one reads up to {CURRENT}: update streamd, or put back the"
            " file that was used before"
        )


def version_of(document: MutableMapping[str, Any]) -> int | None:
    """As stated, the current one where nothing is; None for what is no version."""
    given = document.get("version", CURRENT)
    return given if isinstance(given, int) and not isinstance(given, bool) else None


def outdated(document: MutableMapping[str, Any]) -> bool:
    """Whether ``migrate`` would change it."""
    version = version_of(document)
    return version is not None and version < CURRENT and version in MIGRATIONS


def migrate(document: MutableMapping[str, Any]) -> None:
    """Bring ``document`` to the current version; what has no known version is left for the validation to refuse.

    Raises:
        NewerVersion: it is beyond this program.
    """
    version = version_of(document)
    if version is not None and version > CURRENT:
        raise NewerVersion(version)
    while outdated(document):
        at = document["version"]
        MIGRATIONS[at](document)
        document["version"] = at + 1
