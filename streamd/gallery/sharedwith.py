"""Through which server a gallery is shared, as its file notes it, and who may change it with which configuration."""

from __future__ import annotations

import hashlib
import logging
import re

from streamd.config import GalleryConfig
from streamd.gallery import rows
from streamd.gallery.mirror import COMPARED, CURSOR
from streamd.gallery.schema import STAMP
from streamd.gallery.store import GalleryStore

logger = logging.getLogger(__name__)

_IDENTITY, _PLACE_SETTING = "shared_with", "shared_place"
"""The server as a checksum, and in words, for people."""
_PLACE = re.compile(
    r"\w+://(?:[^@/?#\s]*@)?((?:[\w.\-]+|\[[0-9a-fA-F:.]+\])(?::\d+)?(?:/[\w.\-]*)?)(?:\?[^@]*)?", re.ASCII
)
"""An address whose host, port and database may be shown; one of another form may hold a password anywhere."""


def keep_shared(store: GalleryStore, config: GalleryConfig) -> None:
    """Note what is to be sent from now on, if the gallery is shared; with a new server that is everything.

    For the daemon, and where it is asked for: whoever else comes with another configuration has the wrong one.
    Raises GalleryError.
    """
    identity, place = _identity(config), _place(config)
    with store.database.read() as connection:
        is_same = (rows.setting(connection, _IDENTITY) or "") == identity
        if is_same and (rows.setting(connection, _PLACE_SETTING) or "") == place:
            return
    with store.database.write() as connection:
        connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (_PLACE_SETTING, place))
        if is_same:
            return
        logger.info("gallery %s is %s from now on", store.path, f"shared through {place}" if place else "not shared")
        connection.execute("UPDATE present SET sends = ?", (int(bool(identity)),))
        connection.execute("DELETE FROM settings WHERE key IN (?, ?)", (CURSOR, COMPARED))
        connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (_IDENTITY, identity))
        if not identity:
            connection.execute("DELETE FROM shared")
            return
        connection.execute("UPDATE shared SET sent = 0")
        connection.execute(
            f"INSERT OR IGNORE INTO shared SELECT 'person', id, id, {STAMP}, 0 FROM people WHERE id NOT IN"
            " (SELECT row_id FROM shared WHERE kind = 'person')"
        )
        connection.execute(
            "INSERT OR IGNORE INTO shared SELECT 'face', face_uid(person_id, model_id, source_sha256, chip),"
            f" CAST(id AS TEXT), {STAMP}, 0 FROM faces WHERE CAST(id AS TEXT) NOT IN"
            " (SELECT row_id FROM shared WHERE kind = 'face')"
        )


def shared_otherwise(store: GalleryStore, config: GalleryConfig) -> str:
    """Why nothing may be changed with this configuration: the gallery is shared in another way. Empty where it may.

    Raises GalleryError.
    """
    place = _place(config)
    with store.database.read() as connection:
        known = rows.setting(connection, _IDENTITY) or ""
        known_place = rows.setting(connection, _PLACE_SETTING) or ""
    if known in ("", _identity(config)) or (place and place == known_place):
        return ""  # one that is not shared yet is sent as a whole once the daemon shares it
    meant = "run 'streamd gallery sync'" if place else "start the daemon with it"
    return (
        f"nothing is changed: it is shared through {known_place or 'a server'}, and this configuration says "
        f"{place or 'that it is not shared'}; give the daemon's with -c FILE, or, if the change is meant, {meant}"
    )


def _identity(config: GalleryConfig) -> str:
    address = "" if config.kind == "local" else f"{config.kind} {config.uri or config.dsn}"
    return hashlib.sha256(address.encode()).hexdigest() if address else ""


def _place(config: GalleryConfig) -> str:
    """The server without user and password; empty where there is none."""
    if config.kind == "local":
        return ""
    engine = {"milvus": "Milvus", "pgvector": "PostgreSQL"}[config.kind]
    found = _PLACE.fullmatch(config.uri or config.dsn or "")
    return f"{engine} at {found[1]}" if found else engine
