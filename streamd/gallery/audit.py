"""Is everything in the gallery file consistent, and if not, what is to be done about it?"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from streamd.errors import UsageError
from streamd.gallery import rows
from streamd.gallery.folderrecords import FOLDER
from streamd.gallery.names import person_name
from streamd.gallery.store import GalleryStore

_CHIP_SHAPE = (112, 112, 3)
Mend = Literal["", "drop face", "look at photo again"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    message: str
    advice: str
    mend: Mend = ""
    """What ``mend`` does about it; empty where only the user can."""
    key: str = ""
    """The face or photo concerned."""


def audit(store: GalleryStore) -> list[Finding]:
    """Everything that is wrong, empty where nothing is; reads every face.

    Raises:
        GalleryError: the file cannot be read at all.
    """
    damage = [Finding(line, "restore a backup") for line in store.database.find_damage()]
    if damage:
        return damage
    with store.database.read() as connection:
        return [finding for check in _CHECKS for finding in check(connection)]


def mend(store: GalleryStore, findings: list[Finding]) -> int:
    """Put right what can be, in one change that can be undone; returns how many findings that were."""
    mendable = [finding for finding in findings if finding.mend]
    if mendable:
        with store.database.write() as connection:
            for finding in mendable:
                _MENDS[finding.mend](connection, finding.key)
    return len(mendable)


def _bad_faces(connection: sqlite3.Connection) -> Iterator[Finding]:
    dims: dict[str, int] = {}
    query = (
        "SELECT f.id, p.name, f.model_id, unseal(f.vector), unseal(f.chip)"
        " FROM faces f JOIN people p ON p.id = f.person_id ORDER BY f.id"
    )
    for face_id, name, model_id, vector, chip in connection.execute(query):
        for problem in filter(None, (_vector_problem(vector, model_id, dims), _chip_problem(chip))):
            yield Finding(
                f"face {face_id} of {name!r}: {problem}", "enrol its photo again", mend="drop face", key=str(face_id)
            )


def _vector_problem(data: bytes, model_id: str, dims: dict[str, int]) -> str:
    if not data or len(data) % 4:
        return f"an embedding of {len(data)} bytes"
    vector = np.frombuffer(data, dtype="<f4")
    length = float(np.linalg.norm(vector))
    if not abs(length - 1.0) < 1e-3:
        return f"an embedding of length {length:.3g}, not 1"
    dim = dims.setdefault(model_id, vector.size)
    return "" if vector.size == dim else f"an embedding of {vector.size} numbers, others of {model_id} have {dim}"


def _chip_problem(data: bytes) -> str:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if picture is None:
        return "a crop that is no picture"
    return "" if picture.shape == _CHIP_SHAPE else f"a crop of shape {picture.shape}, not {_CHIP_SHAPE}"


def _bad_names(connection: sqlite3.Connection) -> Iterator[Finding]:
    for (name,) in connection.execute("SELECT name FROM people"):
        try:
            proper = person_name(str(name)) == name
        except UsageError:
            proper = False
        if not proper:
            yield Finding(f"person {name!r}: not a name that streamd writes", "'streamd person rename' gives another")


def _lost_photos(connection: sqlite3.Connection) -> Iterator[Finding]:
    query = (
        "SELECT path FROM photos WHERE reason = '' AND path NOT IN"
        f" (SELECT substr(source, {len(FOLDER) + 1}) FROM faces WHERE source LIKE '{FOLDER}%')"
        f" AND path NOT IN (SELECT substr(json_extract(before, '$.source'), {len(FOLDER) + 1}) FROM undo"
        " WHERE kind = 'face' AND done = 'delete')"
    )
    for (path,) in connection.execute(query):
        yield Finding(
            f"photo {path!r} counts as enrolled, but its face is not there",
            "it is examined again",
            mend="look at photo again",
            key=str(path),
        )


def _behind_sequences(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Numbers that could be given twice would hide a change from readers."""
    given = {str(n): int(i) for n, i in connection.execute("SELECT name, seq FROM sqlite_sequence")}
    for table, column in (("faces", "id"), ("changes", "version"), ("removed", "id")):
        highest = connection.execute(f"SELECT max({column}) FROM {table}").fetchone()[0] or 0
        if highest > given.get(table, 0):
            yield Finding(f"{table} has number {highest}, counted {given.get(table, 0)}", "restore a backup")


_CHECKS: tuple[Callable[[sqlite3.Connection], Iterator[Finding]], ...] = (
    _bad_faces,
    _bad_names,
    _lost_photos,
    _behind_sequences,
)


def _drop_face(connection: sqlite3.Connection, face_id: str) -> None:
    row = connection.execute("SELECT person_id, source FROM faces WHERE id = ?", (int(face_id),)).fetchone()
    if row:
        connection.execute("DELETE FROM faces WHERE id = ?", (int(face_id),))
        connection.execute("DELETE FROM photos WHERE path = ?", (str(row[1]).removeprefix(FOLDER),))
        rows.log_change(connection, rows.FACES_REMOVED, str(row[0]), "by audit")


def _look_again(connection: sqlite3.Connection, path: str) -> None:
    connection.execute("DELETE FROM photos WHERE path = ?", (path,))
    rows.log_change(connection, rows.PHOTOS_REVIEWED, "", "by audit")


_MENDS: dict[str, Callable[[sqlite3.Connection, str], None]] = {
    "drop face": _drop_face,
    "look at photo again": _look_again,
}
