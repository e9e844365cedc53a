"""The tables of the gallery file, as the list of migrations that lead to them.

``PRAGMA user_version`` counts how many were applied. A released migration is never edited; a new one is added.

* ``changes`` numbers every change; its newest number is the gallery's version.
* ``removed`` is filled by a trigger, so that no deletion, however it comes about, is missed by a reader.
* ``photos`` is what the watched folder looked like when it was last acted on; ``reason`` is empty for a photo
  that was enrolled. ``dismissed`` stands for photos of forgotten people, whose names (paths) are not kept.
* ``labels`` go with their person, by the foreign key.
"""

from __future__ import annotations

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE people (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            origin TEXT NOT NULL CHECK (origin IN ('command', 'folder')),
            created_wall_s REAL NOT NULL
        )""",
        """CREATE TABLE faces (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            person_id TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
            model_id TEXT NOT NULL,
            vector BLOB NOT NULL,
            chip BLOB NOT NULL,
            quality REAL NOT NULL,
            source TEXT NOT NULL,
            source_sha256 TEXT NOT NULL,
            created_wall_s REAL NOT NULL
        )""",
        "CREATE INDEX faces_by_person ON faces (person_id)",
        "CREATE INDEX faces_by_model ON faces (model_id)",
        "CREATE INDEX faces_by_source ON faces (source)",
        "CREATE INDEX faces_by_photo ON faces (source_sha256)",
        """CREATE TABLE changes (
            version INTEGER PRIMARY KEY AUTOINCREMENT,
            at_wall_s REAL NOT NULL,
            what TEXT NOT NULL,
            person_id TEXT NOT NULL,
            detail TEXT NOT NULL
        )""",
        "CREATE INDEX changes_by_person ON changes (person_id)",
        "CREATE TABLE removed (id INTEGER PRIMARY KEY AUTOINCREMENT, face_id INTEGER NOT NULL)",
        """CREATE TRIGGER faces_removed AFTER DELETE ON faces
            BEGIN INSERT INTO removed (face_id) VALUES (old.id); END""",
        """CREATE TABLE photos (
            path TEXT PRIMARY KEY,
            size INTEGER NOT NULL,
            mtime_ns INTEGER NOT NULL,
            model_id TEXT NOT NULL,
            reason TEXT NOT NULL
        )""",
        """CREATE TABLE dismissed (
            path_sha256 TEXT PRIMARY KEY,
            size INTEGER NOT NULL,
            mtime_ns INTEGER NOT NULL
        )""",
        "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    ),
    (
        """CREATE TABLE labels (
            person_id TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
            key TEXT NOT NULL,
            value TEXT NOT NULL,
            PRIMARY KEY (person_id, key, value)
        ) WITHOUT ROWID""",
    ),
)
