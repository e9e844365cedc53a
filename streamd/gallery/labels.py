"""Labels on people, ``site=hq``: what may be one, and where they are kept.

A person may have several values of one key, like two groups. Labels narrow what a camera searches (``domain.Scope``);
they are given by people, never inferred from a picture.
"""

from __future__ import annotations

import re
import sqlite3
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from streamd.domain import Scope
from streamd.errors import GalleryConflict, NotInGallery, UsageError

Label = tuple[str, str]
"""Key and value."""
Labels = frozenset[Label]

MAX_VALUE_CHARACTERS = 80
MAX_PER_PERSON = 64
_KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


def parse_label(text: str) -> Label:
    """``KEY=VALUE`` as a label. Raises UsageError for what cannot be one."""
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"label {text!r} is not KEY=VALUE, like site=hq")
    return label_key(key), label_value(value, of=text)


def parse_removal(text: str) -> tuple[str, str | None]:
    """``KEY`` (every value of it, None) or ``KEY=VALUE``. Raises UsageError for what cannot be one."""
    return parse_label(text) if "=" in text else (label_key(text), None)


def label_key(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise UsageError(f"label key {key[:80]!r}: 1 to 32 of a-z, 0-9, '-' and '_', the first a letter or digit")
    return key


def label_value(value: str, *, of: str) -> str:
    """``value`` in NFC, so that what is typed and what a configuration says agree."""
    composed = unicodedata.normalize("NFC", value)
    if not composed.strip() or composed != composed.strip():
        raise UsageError(f"label {of[:80]!r}: the value is empty, or begins or ends with a space")
    if len(composed) > MAX_VALUE_CHARACTERS:
        raise UsageError(f"label {of[:80]!r}: a value has at most {MAX_VALUE_CHARACTERS} characters")
    if not composed.isprintable():
        raise UsageError(f"label {of[:80]!r}: the value has a character that cannot be printed")
    return composed


def parse_scope(texts: Iterable[str]) -> Scope:
    """Several ``KEY=VALUE`` as a scope: values of one key are alternatives. Raises UsageError."""
    wanted: defaultdict[str, list[str]] = defaultdict(list)
    for key, value in map(parse_label, texts):
        wanted[key].append(value)
    return Scope.of(wanted)


def label_texts(labels: Iterable[Label]) -> list[str]:
    return [f"{key}={value}" for key, value in sorted(labels)]


def by_key(labels: Iterable[Label]) -> dict[str, list[str]]:
    """Values by key, both in order: labels as JSON shows them."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for key, value in sorted(labels):
        found[key].append(value)
    return dict(found)


def admitted(scope: Scope, labels: Mapping[str, Collection[Label]]) -> frozenset[str]:
    """The people of ``labels`` (by id) whom a scope that is not empty considers."""
    alternatives = [frozenset((key, value) for value in values) for key, values in scope.wanted]
    return frozenset(
        person_id
        for person_id, theirs in labels.items()
        if all(not wanted.isdisjoint(theirs) for wanted in alternatives)
    )


def read_labels(connection: sqlite3.Connection) -> dict[str, Labels]:
    """Everybody's labels by person id; people without labels are left out."""
    found: defaultdict[str, set[Label]] = defaultdict(set)
    for person_id, key, value in connection.execute("SELECT person_id, key, value FROM labels"):
        found[str(person_id)].add((str(key), str(value)))
    return {person_id: frozenset(labels) for person_id, labels in found.items()}


def labels_of(connection: sqlite3.Connection, person_id: str) -> Labels:
    found = connection.execute("SELECT key, value FROM labels WHERE person_id = ?", (person_id,))
    return frozenset((str(key), str(value)) for key, value in found)


def changed(before: Labels, add: Collection[Label], remove: Sequence[tuple[str, str | None]], *, who: str) -> Labels:
    """``before`` without ``remove`` and with ``add``. Raises GalleryError: nothing there to remove, or too many."""
    after = set(before)
    for key, value in remove:
        gone = {label for label in after if label[0] == key and value in (None, label[1])}
        if not gone:
            has = ", ".join(label_texts(before)) or "no labels"
            raise NotInGallery(f"{who!r} has no label {key if value is None else f'{key}={value}'!r}; they have: {has}")
        after -= gone
    after |= set(add)
    if len(after) > MAX_PER_PERSON:
        raise GalleryConflict(f"{who!r} would have {len(after)} labels; at most {MAX_PER_PERSON} are allowed")
    return frozenset(after)


def write_labels(connection: sqlite3.Connection, person_id: str, before: Labels, after: Labels) -> str:
    """Make ``before`` into ``after``; returns what changed, ``+site=hq -group=night``."""
    gone, new = before - after, after - before
    connection.executemany(
        "DELETE FROM labels WHERE person_id = ? AND key = ? AND value = ?", [(person_id, *label) for label in gone]
    )
    connection.executemany(
        "INSERT INTO labels (person_id, key, value) VALUES (?, ?, ?)", [(person_id, *label) for label in new]
    )
    return " ".join([f"+{text}" for text in label_texts(new)] + [f"-{text}" for text in label_texts(gone)])
