"""The tables of the gallery file, as the list of migrations that lead to them.

``PRAGMA user_version`` counts how many were applied. A released migration is never edited; a new one is added.

* ``changes`` numbers every change; its newest number is the gallery's version.
* ``removed`` is filled by a trigger, so that no deletion, however it comes about, is missed by a reader.
* ``photos`` is what the watched folder looked like when it was last acted on; ``reason`` is empty for a photo
  that was enrolled. ``dismissed`` stands for photos of forgotten people, whose names (paths) are not kept.
* ``labels`` go with their person, by the foreign key.
* ``present`` says which transaction is under way, and whose: ``batch`` is the number of its first change. Triggers note
  under it in ``undo`` what the transaction did to people, faces and labels, removed rows whole, until that is too old.
  An update of a face is not noted: only where its photo lies is ever changed.
* ``strangers`` are people without a name, with the views that they were recognised by. They are no part of the gallery
  that is searched for names, and seeing one again is no change of it.
* ``stranger_undo`` and ``stranger_face_undo`` hold what a name that was given to a stranger, or a merge of two, took
  away, under the number of that change.
* ``stranger_merges`` says whom ids of strangers that are no more belong to, as long as events may tell of them.
* ``shared`` has a row for each person and face of a gallery that several boxes share, also for those that are no more:
  the name ``uid`` that all boxes know it by, the ``stamp`` of its newest change (microseconds, rising), and whether the
  server has that. ``row_id`` is the person's or face's id here; of a person who turned out to be somebody else, that
  one's. Triggers keep it while ``present.sends`` is 1.
"""

from __future__ import annotations

STAMP = (
    "max(CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000,"
    " 1 + coalesce((SELECT max(stamp) FROM shared), 0))"
)


def _tells(trigger: str, uid: str, row_id: str, *, kind: str = "person", keep_row: bool = False) -> str:
    """A trigger that notes a change of a person or face for the other boxes."""
    row = "" if keep_row else "row_id = excluded.row_id, "
    return (
        f"CREATE TRIGGER {trigger} WHEN (SELECT sends FROM present) = 1 BEGIN"
        f" INSERT INTO shared VALUES ('{kind}', {uid}, {row_id}, {STAMP}, 0)"
        f" ON CONFLICT (kind, uid) DO UPDATE SET {row}stamp = excluded.stamp, sent = 0; END"
    )


_FACE_UID = "face_uid(new.person_id, new.model_id, new.source_sha256, new.chip)"

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
    (
        "ALTER TABLE people ADD COLUMN notes TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE people ADD COLUMN consent TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE faces ADD COLUMN added_by TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE changes ADD COLUMN batch INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE changes ADD COLUMN actor TEXT NOT NULL DEFAULT ''",
        "UPDATE changes SET batch = version",
        "CREATE INDEX changes_by_batch ON changes (batch)",
        """CREATE TABLE present (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            batch INTEGER NOT NULL,
            actor TEXT NOT NULL
        )""",
        "INSERT INTO present VALUES (1, 0, '')",
        """CREATE TABLE undo (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            batch INTEGER NOT NULL,
            kind TEXT NOT NULL CHECK (kind IN ('person', 'face', 'label')),
            done TEXT NOT NULL CHECK (done IN ('insert', 'delete', 'update')),
            row_id TEXT NOT NULL,
            person_id TEXT NOT NULL,
            before TEXT NOT NULL DEFAULT '{}',
            vector BLOB,
            chip BLOB
        )""",
        "CREATE INDEX undo_by_batch ON undo (batch)",
        "CREATE INDEX undo_by_person ON undo (person_id)",
        """CREATE TRIGGER people_inserted AFTER INSERT ON people BEGIN
            INSERT INTO undo (batch, kind, done, row_id, person_id)
            SELECT batch, 'person', 'insert', new.id, new.id FROM present; END""",
        """CREATE TRIGGER people_deleted AFTER DELETE ON people BEGIN
            INSERT INTO undo (batch, kind, done, row_id, person_id, before)
            SELECT batch, 'person', 'delete', old.id, old.id, json_object('name', old.name, 'origin', old.origin,
                'created_wall_s', old.created_wall_s, 'notes', old.notes, 'consent', old.consent) FROM present; END""",
        """CREATE TRIGGER people_updated AFTER UPDATE ON people BEGIN
            INSERT INTO undo (batch, kind, done, row_id, person_id, before)
            SELECT batch, 'person', 'update', old.id, old.id, json_object('name', old.name, 'origin', old.origin,
                'created_wall_s', old.created_wall_s, 'notes', old.notes, 'consent', old.consent) FROM present; END""",
        """CREATE TRIGGER faces_inserted AFTER INSERT ON faces BEGIN
            INSERT INTO undo (batch, kind, done, row_id, person_id)
            SELECT batch, 'face', 'insert', new.id, new.person_id FROM present; END""",
        """CREATE TRIGGER faces_deleted AFTER DELETE ON faces BEGIN
            INSERT INTO undo (batch, kind, done, row_id, person_id, before, vector, chip)
            SELECT batch, 'face', 'delete', old.id, old.person_id, json_object('model_id', old.model_id,
                'quality', old.quality, 'source', old.source, 'source_sha256', old.source_sha256,
                'created_wall_s', old.created_wall_s, 'added_by', old.added_by), old.vector, old.chip FROM present;
            END""",
        """CREATE TRIGGER labels_inserted AFTER INSERT ON labels BEGIN
            INSERT INTO undo (batch, kind, done, row_id, person_id, before)
            SELECT batch, 'label', 'insert', new.person_id, new.person_id,
                json_object('key', new.key, 'value', new.value) FROM present; END""",
        """CREATE TRIGGER labels_deleted AFTER DELETE ON labels BEGIN
            INSERT INTO undo (batch, kind, done, row_id, person_id, before)
            SELECT batch, 'label', 'delete', old.person_id, old.person_id,
                json_object('key', old.key, 'value', old.value) FROM present; END""",
        """CREATE TABLE strangers (
            id TEXT PRIMARY KEY,
            state TEXT NOT NULL CHECK (state IN ('open', 'ignored')),
            first_seen_wall_s REAL NOT NULL,
            last_seen_wall_s REAL NOT NULL,
            sightings INTEGER NOT NULL
        )""",
        """CREATE TABLE stranger_faces (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            stranger_id TEXT NOT NULL REFERENCES strangers (id) ON DELETE CASCADE,
            model_id TEXT NOT NULL,
            vector BLOB NOT NULL,
            chip BLOB NOT NULL,
            quality REAL NOT NULL,
            camera TEXT NOT NULL,
            track TEXT NOT NULL,
            seen_wall_s REAL NOT NULL
        )""",
        "CREATE INDEX stranger_faces_by_stranger ON stranger_faces (stranger_id)",
        "CREATE TABLE stranger_changes (version INTEGER PRIMARY KEY AUTOINCREMENT, stranger_id TEXT NOT NULL)",
    ),
    (
        "ALTER TABLE present ADD COLUMN sends INTEGER NOT NULL DEFAULT 0",
        """CREATE TABLE shared (
            kind TEXT NOT NULL CHECK (kind IN ('person', 'face')),
            uid TEXT NOT NULL,
            row_id TEXT NOT NULL,
            stamp INTEGER NOT NULL,
            sent INTEGER NOT NULL,
            PRIMARY KEY (kind, uid)
        ) WITHOUT ROWID""",
        "CREATE INDEX shared_by_row ON shared (kind, row_id)",
        "CREATE INDEX shared_by_stamp ON shared (stamp)",
        "CREATE INDEX shared_unsent ON shared (stamp) WHERE sent = 0",
        _tells("people_told_inserted AFTER INSERT ON people", "new.id", "new.id"),
        _tells("people_told_updated AFTER UPDATE ON people", "new.id", "new.id"),
        _tells("people_told_deleted AFTER DELETE ON people", "old.id", "old.id", keep_row=True),
        _tells("labels_told_inserted AFTER INSERT ON labels", "new.person_id", "new.person_id", keep_row=True),
        _tells("labels_told_deleted AFTER DELETE ON labels", "old.person_id", "old.person_id", keep_row=True),
        _tells("faces_told_inserted AFTER INSERT ON faces", _FACE_UID, "CAST(new.id AS TEXT)", kind="face"),
        f"""CREATE TRIGGER faces_told_deleted AFTER DELETE ON faces WHEN (SELECT sends FROM present) = 1 BEGIN
            UPDATE shared SET row_id = '', stamp = {STAMP}, sent = 0
            WHERE kind = 'face' AND row_id = CAST(old.id AS TEXT); END""",
    ),
    (
        """CREATE TABLE stranger_undo (
            batch INTEGER NOT NULL,
            stranger_id TEXT NOT NULL,
            into_id TEXT NOT NULL,
            state TEXT NOT NULL,
            first_seen_wall_s REAL NOT NULL,
            last_seen_wall_s REAL NOT NULL,
            sightings INTEGER NOT NULL,
            PRIMARY KEY (batch, stranger_id)
        ) WITHOUT ROWID""",
        """CREATE TABLE stranger_face_undo (
            batch INTEGER NOT NULL,
            stranger_id TEXT NOT NULL,
            id INTEGER NOT NULL,
            model_id TEXT NOT NULL,
            vector BLOB NOT NULL,
            chip BLOB NOT NULL,
            quality REAL NOT NULL,
            camera TEXT NOT NULL,
            track TEXT NOT NULL,
            seen_wall_s REAL NOT NULL
        )""",
        "CREATE INDEX stranger_face_undo_by_batch ON stranger_face_undo (batch)",
    ),
    (
        """CREATE TABLE stranger_merges (
            stranger_id TEXT PRIMARY KEY,
            into_id TEXT NOT NULL,
            at_wall_s REAL NOT NULL
        ) WITHOUT ROWID""",
        """INSERT OR REPLACE INTO stranger_merges SELECT substr(detail, 1, instr(detail, ' into ') - 1),
            substr(detail, instr(detail, ' into ') + 6), at_wall_s
            FROM changes WHERE what = 'stranger.merged' AND detail LIKE '% into %' ORDER BY version""",
        "DELETE FROM stranger_merges WHERE stranger_id IN (SELECT id FROM strangers)",
    ),
)
