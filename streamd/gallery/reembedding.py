"""Embeds the gallery again with another model, from the crops that it keeps.

The old model's embeddings stay, and go on answering, until the new model has all of them: vectors of two models are
never compared.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from streamd.domain import Bgr
from streamd.gallery import rows
from streamd.gallery.savedindex import drop_saved
from streamd.gallery.store import GalleryStore
from streamd.interfaces import Embedder
from streamd.vision.crops import cut_chip
from streamd.vision.embedding import alignment_of, embed_each
from streamd.vision.geometry import ARCFACE, TEMPLATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamd.domain import Image

logger = logging.getLogger(__name__)

REEMBEDDED = "faces.reembedded"
_BATCH = 8
_MISSING = (
    " FROM faces f WHERE f.model_id <> ? AND f.id > ? AND NOT EXISTS (SELECT 1 FROM faces g"
    " WHERE g.model_id = ? AND g.person_id = f.person_id AND g.source_sha256 = f.source_sha256)"
)


def missing_faces(store: GalleryStore, model_id: str) -> int:
    """How many faces have no embedding of this model yet."""
    with store.database.read() as connection:
        return int(connection.execute("SELECT count(*)" + _MISSING, (model_id, 0, model_id)).fetchone()[0])


def missing_stranger_views(store: GalleryStore, model_id: str) -> int:
    """How many views of strangers have an embedding of another model."""
    with store.database.read() as connection:
        query = "SELECT count(*) FROM stranger_faces WHERE model_id <> ?"
        return int(connection.execute(query, (model_id,)).fetchone()[0])


def is_behind(store: GalleryStore, model_id: str) -> bool:
    """Whether there is anybody whom this model does not know yet, and could.

    Faces whose crops cannot be read are told of, and do not count: no embedding of theirs will ever come.
    """
    after, unreadable = 0, 0
    while found := _next_chips(store, model_id, after):
        if any(chip is not None for _, chip in found):
            return True
        after, unreadable = found[-1][0], unreadable + len(found)
    if unreadable:
        logger.warning(
            "%d faces are not known to %s, and their crops cannot be read: 'streamd gallery audit' names them",
            unreadable,
            model_id,
        )
    return missing_stranger_views(store, model_id) > 0


def fuller_models(store: GalleryStore, model_id: str) -> list[str]:
    """Models that know more faces than this one, or as many and more views of strangers; the one with most first.

    None where this one was the last to have been finished: what others know is what came late, or cannot be read.
    """
    last = "SELECT detail FROM changes WHERE what = ? AND detail LIKE 'all with %' ORDER BY version DESC LIMIT 1"
    query = "SELECT model_id, count(*) FROM stranger_faces GROUP BY model_id"
    with store.database.read() as connection:
        if connection.execute(last, (REEMBEDDED,)).fetchone() == (_all_with(model_id),):
            return []
        views = {str(other): int(count) for other, count in connection.execute(query)}
    faces = store.faces_by_model()
    known = {other: (faces.get(other, 0), views.get(other, 0)) for other in {model_id, *faces, *views}}
    fuller = [other for other in known if known[other] > known[model_id]]
    return sorted(fuller, key=known.__getitem__, reverse=True)


def embed_again(store: GalleryStore, embedder: Embedder) -> Iterator[int]:
    """Embed some faces at a time, each time in one transaction; yields how many. Killed, it goes on where it stopped.

    Raises:
        GalleryError: the gallery cannot be read or written.
    """
    after, model_id = 0, embedder.model_id
    while found := _next_chips(store, model_id, after):
        after = found[-1][0]
        readable = [(face_id, chip) for face_id, chip in found if chip is not None]
        if len(readable) < len(found):
            logger.error("%d crops cannot be read: 'streamd gallery audit' names them", len(found) - len(readable))
        if vectors := _embedded(embedder, readable):
            _add(store, model_id, vectors)
            yield len(vectors)


def embed_strangers(store: GalleryStore, embedder: Embedder) -> Iterator[dict[int, bytes | None]]:
    """Embed some views of strangers at a time; yields the embeddings by view, None where its crop cannot be read.

    Nothing is written before ``finish``: strangers known to this model by half would be given a second id.

    Raises:
        GalleryError: the gallery cannot be read.
    """
    after = 0
    query = "SELECT id, unseal(chip) FROM stranger_faces WHERE model_id <> ? AND id > ? ORDER BY id LIMIT ?"
    while True:
        with store.database.read() as connection:
            rows_found = connection.execute(query, (embedder.model_id, after, _BATCH)).fetchall()
        if not rows_found:
            return
        found = [(int(view), _decoded(data)) for view, data in rows_found]
        after = found[-1][0]
        embedded: dict[int, bytes | None] = {view: None for view, _ in found}
        embedded |= _embedded(embedder, [(view, chip) for view, chip in found if chip is not None])
        yield embedded


def finish(store: GalleryStore, model_id: str, strangers: Mapping[int, bytes | None]) -> None:
    """Every face has an embedding of the new model: those of others go, and strangers get theirs.

    Args:
        strangers: what ``embed_strangers`` gave. Views without an embedding go.

    Raises:
        GalleryError: the gallery cannot be read or written.
    """
    with store.database.write() as connection:
        for view, vector in strangers.items():
            if vector is None:
                connection.execute("DELETE FROM stranger_faces WHERE id = ? AND model_id <> ?", (view, model_id))
                continue
            update = "UPDATE stranger_faces SET model_id = ?, vector = seal(?) WHERE id = ? AND model_id <> ?"
            connection.execute(update, (model_id, vector, view, model_id))
        if strangers:  # whoever answers with this model already reads them again
            connection.execute("INSERT INTO stranger_changes (stranger_id) VALUES ('')")
        connection.execute(
            "DELETE FROM faces WHERE model_id <> ? AND EXISTS (SELECT 1 FROM faces g WHERE g.model_id = ?"
            " AND g.person_id = faces.person_id AND g.source_sha256 = faces.source_sha256)",
            (model_id, model_id),
        )
        # The same faces under another model: nothing that anybody would want back.
        connection.execute("DELETE FROM undo WHERE batch = (SELECT batch FROM present)")
        rows.log_change(connection, REEMBEDDED, "", _all_with(model_id))
    drop_saved(store.path)


def is_finished(store: GalleryStore, model_id: str, *, since: int) -> bool:
    """Whether ``finish`` came to its end after version ``since`` of the gallery."""
    query = "SELECT 1 FROM changes WHERE version > ? AND what = ? AND detail = ?"
    with store.database.read() as connection:
        return connection.execute(query, (since, REEMBEDDED, _all_with(model_id))).fetchone() is not None


def as_wanted(embedder: Embedder, chips: Sequence[Image]) -> Image:
    """Kept crops as this embedder wants faces aligned; what lies beyond a crop is black."""
    alignment = alignment_of(embedder)
    if alignment == ARCFACE:
        return np.stack(chips)
    return np.stack([cut_chip(Bgr(chip), TEMPLATE, alignment) for chip in chips])


def _all_with(model_id: str) -> str:
    return f"all with {model_id}"


def _next_chips(store: GalleryStore, model_id: str, after: int) -> list[tuple[int, Image | None]]:
    query = "SELECT f.id, unseal(f.chip)" + _MISSING + " ORDER BY f.id LIMIT ?"
    with store.database.read() as connection:
        found = connection.execute(query, (model_id, after, model_id, _BATCH)).fetchall()
    return [(int(face_id), _decoded(data)) for face_id, data in found]


def _embedded(embedder: Embedder, chips: Sequence[tuple[int, Image]]) -> dict[int, bytes]:
    """Embeddings by the crops' ids, without those of which the embedder makes nothing."""
    if not chips:
        return {}
    rows_found, _ = embed_each(embedder, as_wanted(embedder, [chip for _, chip in chips]))
    found = {i: _bytes(row) for (i, _), row in zip(chips, rows_found, strict=True) if np.isfinite(row).all()}
    if len(found) < len(chips):
        logger.error("%s makes nothing of %d crops", embedder.model_id, len(chips) - len(found))
    return found


def _add(store: GalleryStore, model_id: str, vectors: Mapping[int, bytes]) -> None:
    columns = "chip, quality, source, source_sha256, created_wall_s, added_by"
    with store.database.write() as connection:
        for face_id, vector in vectors.items():
            connection.execute(
                f"INSERT INTO faces (person_id, model_id, vector, {columns})"
                f" SELECT person_id, ?, seal(?), {columns} FROM faces WHERE id = ?",  # gone meanwhile: nothing is added
                (model_id, vector, face_id),
            )
        connection.execute("DELETE FROM undo WHERE batch = (SELECT batch FROM present)")
        rows.log_change(connection, REEMBEDDED, "", f"{len(vectors)} with {model_id}")


def _bytes(vector: NDArray[np.float32]) -> bytes:
    return np.ascontiguousarray(vector, dtype="<f4").tobytes()


def _decoded(data: bytes) -> Image | None:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    return None if picture is None else np.asarray(picture, np.uint8)
