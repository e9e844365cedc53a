"""People without a name, as the gallery file keeps them: ``unknown-7f3a``, with the views they are recognised by.

Seeing one is no change of the gallery; ``version`` here counts what other processes should read again.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn

import numpy as np

from streamd.errors import GalleryConflict, NotInGallery
from streamd.gallery import rows
from streamd.gallery.database import Database
from streamd.gallery.erasures import Erasure, drop_strangers, note_erasure, strangers_being_erased
from streamd.gallery.names import person_name
from streamd.gallery.strangerids import ASSIGNED, MERGED, drop_merges, earlier_ids, merged_ids, note_merge
from streamd.gallery.strangerundo import drop_notes_of_stranger, note

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamd.domain import Vector

MOST_VIEWS = 12
"""Views kept of one stranger; of more, the poorest go."""
State = Literal["open", "ignored"]


@dataclass(frozen=True, slots=True, eq=False)
class StrangerView:
    """One look at a stranger."""

    vector: Vector
    chip_jpeg: bytes
    quality: float


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """One appearance of somebody who is nobody we know."""

    stranger_id: str
    track: str
    camera: str
    seen_wall_s: float
    model_id: str
    views: Sequence[StrangerView]


@dataclass(frozen=True, slots=True)
class Stranger:
    id: str
    state: State
    first_seen_wall_s: float
    last_seen_wall_s: float
    sightings: int
    cameras: tuple[str, ...] = ()
    views: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class StrangerFaces:
    """Every view of one embedding model, row by row."""

    version: int
    face_ids: NDArray[np.int64]
    stranger_ids: list[str]
    vectors: NDArray[np.float32]
    ignored: frozenset[str]
    gone: frozenset[str]
    """Ids of strangers who are no more, which events may tell of."""
    erased: frozenset[str]
    """Those of them who were forgotten just now."""


class StrangerRecords:
    """The strangers in the gallery file. Methods raise GalleryError where it cannot be used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def version(self) -> int:
        return self._database.scalar("SELECT max(version) FROM stranger_changes")

    def faces(self, model_id: str) -> StrangerFaces:
        """As of one moment."""
        query = "SELECT id, stranger_id, unseal(vector) FROM stranger_faces WHERE model_id = ? ORDER BY id"
        with self._database.read() as connection:
            found = connection.execute(query, (model_id,)).fetchall()
            ignored = connection.execute("SELECT id FROM strangers WHERE state = 'ignored'").fetchall()
            erased = strangers_being_erased(connection)
            gone = merged_ids(connection) | erased
            version = connection.execute("SELECT max(version) FROM stranger_changes").fetchone()[0]
        vectors = [np.frombuffer(row[2], dtype="<f4") for row in found]
        return StrangerFaces(
            version=int(version or 0),
            face_ids=np.array([row[0] for row in found], dtype=np.int64),
            stranger_ids=[str(row[1]) for row in found],
            vectors=np.stack(vectors).astype(np.float32) if vectors else np.zeros((0, 0), np.float32),
            ignored=frozenset(str(row[0]) for row in ignored),
            gone=gone,
            erased=erased,
        )

    def all(self) -> list[Stranger]:
        """Last seen first."""
        query = (
            "SELECT s.id, s.state, s.first_seen_wall_s, s.last_seen_wall_s, s.sightings,"
            " coalesce(group_concat(DISTINCT f.camera), ''), count(f.id)"
            " FROM strangers s LEFT JOIN stranger_faces f ON f.stranger_id = s.id GROUP BY s.id"
            " ORDER BY s.last_seen_wall_s DESC, s.id"
        )
        with self._database.read() as connection:
            return [_stranger(row) for row in connection.execute(query)]

    def get(self, stranger_id: str) -> Stranger:
        """Raises GalleryError where there is none of this id."""
        found = next((stranger for stranger in self.all() if stranger.id == stranger_id), None)
        return found or _nobody(stranger_id)

    def chips(self, stranger_id: str) -> list[tuple[int, str, float, float, bytes]]:
        """Id, camera, time, quality and crop (JPEG) of each view, best first."""
        query = (
            "SELECT id, camera, seen_wall_s, quality, unseal(chip) FROM stranger_faces"
            " WHERE stranger_id = ? ORDER BY quality DESC"
        )
        with self._database.read() as connection:
            return [
                (int(i), str(c), float(t), float(q), bytes(b))
                for i, c, t, q, b in connection.execute(query, (stranger_id,))
            ]

    def crops(self) -> dict[str, list[int]]:
        """Ids of each stranger's views, best first."""
        query = "SELECT stranger_id, id FROM stranger_faces ORDER BY quality DESC"
        found: dict[str, list[int]] = {}
        with self._database.read() as connection:
            for stranger_id, view in connection.execute(query):
                found.setdefault(str(stranger_id), []).append(int(view))
        return found

    def record(self, sighting: Sighting) -> None:
        """Add what was seen; a stranger of a new id begins with it. Nobody comes back who is being erased."""
        with self._database.write() as connection:
            if sighting.stranger_id in strangers_being_erased(connection):
                return
            drop_merges(connection, [sighting.stranger_id])
            connection.execute(
                "INSERT INTO strangers VALUES (?, 'open', ?, ?, 1) ON CONFLICT (id) DO UPDATE SET"
                " sightings = sightings + 1, last_seen_wall_s = max(last_seen_wall_s, excluded.last_seen_wall_s)",
                (sighting.stranger_id, sighting.seen_wall_s, sighting.seen_wall_s),
            )
            for view in sighting.views:
                connection.execute(
                    "INSERT INTO stranger_faces"
                    " (stranger_id, model_id, vector, chip, quality, camera, track, seen_wall_s)"
                    " VALUES (?, ?, seal(?), seal(?), ?, ?, ?, ?)",
                    (
                        sighting.stranger_id,
                        sighting.model_id,
                        np.ascontiguousarray(view.vector, dtype="<f4").tobytes(),
                        view.chip_jpeg,
                        view.quality,
                        sighting.camera,
                        sighting.track,
                        sighting.seen_wall_s,
                    ),
                )
            _keep_best(connection, sighting.stranger_id)
            _changed(connection)

    def retract(self, track: str) -> None:
        """The track turned out to be somebody known: it was no sighting of a stranger."""
        query = "SELECT DISTINCT stranger_id FROM stranger_faces WHERE track = ?"
        with self._database.write() as connection:
            for (stranger_id,) in connection.execute(query, (track,)).fetchall():
                connection.execute("DELETE FROM stranger_faces WHERE track = ?", (track,))
                connection.execute("UPDATE strangers SET sightings = sightings - 1 WHERE id = ?", (stranger_id,))
                connection.execute(
                    "DELETE FROM strangers WHERE id = ? AND NOT EXISTS"
                    " (SELECT 1 FROM stranger_faces WHERE stranger_id = strangers.id)",
                    (stranger_id,),
                )
                _changed(connection)

    def merge(self, stranger_id: str, into: str, *, noted: bool = True) -> None:
        """Two ids are one person. Raises GalleryError where one of them does not exist.

        Args:
            noted: whether it is a change that can be undone; what the daemon finds out by itself is none.
        """
        with self._database.write() as connection:
            gone, kept = _row(connection, stranger_id), _row(connection, into)
            if gone[0] == kept[0]:
                raise GalleryConflict(f"{stranger_id} and {into} are the same already")
            if noted:
                note(connection, stranger_id, into=into)
            connection.execute("UPDATE stranger_faces SET stranger_id = ? WHERE stranger_id = ?", (into, stranger_id))
            connection.execute(
                "UPDATE strangers SET sightings = sightings + ?, first_seen_wall_s = min(first_seen_wall_s, ?),"
                " last_seen_wall_s = max(last_seen_wall_s, ?) WHERE id = ?",
                (gone[4], gone[2], gone[3], into),
            )
            connection.execute("DELETE FROM strangers WHERE id = ?", (stranger_id,))
            note_merge(connection, stranger_id, into)
            _keep_best(connection, into)
            _changed(connection)
            if noted:
                rows.log_change(connection, MERGED, "", f"{stranger_id} into {into}")

    def note_earlier(self, stranger_id: str, into: str) -> None:
        """An id that was told of turned out to be another one before it was written down."""
        with self._database.write() as connection:
            note_merge(connection, stranger_id, into)
            _changed(connection)

    def set_state(self, stranger_id: str, state: State) -> None:
        """Raises GalleryError where there is none of this id."""
        with self._database.write() as connection:
            _row(connection, stranger_id)
            connection.execute("UPDATE strangers SET state = ? WHERE id = ?", (state, stranger_id))
            _changed(connection)

    def assign(self, stranger_id: str, name: str) -> int:
        """The stranger is this person, who gets the views; returns how many.

        Raises:
            UsageError: the name cannot be one.
            GalleryError: there is no such stranger.
        """
        wanted = person_name(name)
        columns = "model_id, vector, chip, quality"
        with self._database.write() as connection:
            _row(connection, stranger_id)
            person_id = rows.ensure_person(connection, wanted, "command")
            views = connection.execute(
                f"INSERT INTO faces (person_id, {columns}, source, source_sha256, created_wall_s, added_by)"
                f" SELECT ?, {columns}, ?, 'stranger-' || id, ?, (SELECT actor FROM present) FROM stranger_faces"
                " WHERE stranger_id = ?",
                (person_id, f"unknown:{stranger_id}", time.time(), stranger_id),
            ).rowcount
            rows.log_change(connection, rows.FACES_ADDED, person_id, f"unknown:{stranger_id}")
            rows.log_change(connection, ASSIGNED, person_id, stranger_id)
            note(connection, stranger_id)
            _delete(connection, stranger_id)
            return views

    def forget(self, stranger_id: str) -> Erasure:
        """Delete a stranger and every view, and note that the rest of them is to be erased, as ``streamd.traces`` does.

        Raises GalleryError where there is none of this id.
        """
        with self._database.write() as connection:
            _row(connection, stranger_id)
            earlier = earlier_ids(connection, {stranger_id})
            views = _delete(connection, stranger_id)
            drop_strangers(connection, (stranger_id, *earlier))
            erasure = Erasure(stranger_id, stranger_id, (), (stranger_id, *earlier), views, begun_wall_s=time.time())
            note_erasure(connection, erasure)
            return erasure

    def drop_old(self, older_than_wall_s: float) -> int:
        """Delete strangers who were not seen since; those who are ignored stay. Returns how many went."""
        query = "SELECT id FROM strangers WHERE last_seen_wall_s < ? AND state = 'open'"
        with self._database.read() as connection:
            old = [str(row[0]) for row in connection.execute(query, (older_than_wall_s,))]
        if old:
            with self._database.write() as connection:
                for stranger_id in old:
                    _delete(connection, stranger_id)
                    drop_notes_of_stranger(connection, stranger_id)
        return len(old)


def _delete(connection: sqlite3.Connection, stranger_id: str) -> int:
    """Returns how many views went."""
    views = connection.execute("DELETE FROM stranger_faces WHERE stranger_id = ?", (stranger_id,)).rowcount
    connection.execute("DELETE FROM strangers WHERE id = ?", (stranger_id,))
    _changed(connection)
    return views


def _keep_best(connection: sqlite3.Connection, stranger_id: str) -> None:
    connection.execute(
        "DELETE FROM stranger_faces WHERE stranger_id = ? AND id NOT IN"
        " (SELECT id FROM stranger_faces WHERE stranger_id = ? ORDER BY quality DESC LIMIT ?)",
        (stranger_id, stranger_id, MOST_VIEWS),
    )


def _changed(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO stranger_changes (stranger_id) VALUES ('')")  # whose, nobody asks
    # Readers ask for the highest number only; the counter itself does not fall.
    connection.execute("DELETE FROM stranger_changes WHERE version < (SELECT max(version) FROM stranger_changes)")


def _row(connection: sqlite3.Connection, stranger_id: str) -> tuple[str, str, float, float, int]:
    row = connection.execute("SELECT * FROM strangers WHERE id = ?", (stranger_id,)).fetchone()
    if row is None:
        _nobody(stranger_id)
    return (str(row[0]), str(row[1]), float(row[2]), float(row[3]), int(row[4]))


def _stranger(row: tuple[str, State, float, float, int, str, int]) -> Stranger:
    return Stranger(*row[:5], tuple(sorted(filter(None, row[5].split(",")))), row[6])


def _nobody(stranger_id: str) -> NoReturn:
    raise NotInGallery(f"there is no unknown {stranger_id!r}; 'streamd unknown list --all' shows them")
