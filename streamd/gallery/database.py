"""The gallery's SQLite file: opened safely, migrated, and its failures put in plain words."""

from __future__ import annotations

import errno
import hashlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streamd.backups import back_up, drop_backups
from streamd.errors import OTHERS, GalleryError
from streamd.gallery.schema import MIGRATIONS
from streamd.gallery.vault import Vault, check_vault, vault_token

BUSY_TIMEOUT_S = 5.0
"""How long a writer waits for another process's transaction."""
_CHECKED_BYTES = 32 * 1024 * 1024
"""Files up to this size are checked whole when opened (about 50 ms); larger ones are checked as they are read."""
SEALED_TABLES = ("faces", "undo", "stranger_faces", "stranger_face_undo")
"""Tables with the columns ``vector`` and ``chip``."""
_BEGIN_BATCH = "UPDATE present SET batch = (SELECT coalesce(max(version), 0) + 1 FROM changes), actor = ?"


class Database:
    """One connection, shared by the threads of a process under a lock."""

    def __init__(self, path: Path, *, vault: Vault | None = None, actor: str = "") -> None:
        """Open or create ``path``. Raises GalleryError for a file or place that cannot be used.

        Args:
            vault: seals vectors and crops; must be the one that the file was sealed with. SQL reads them as
                ``unseal(vector)`` and writes them as ``seal(?)``, which do nothing without a vault.
            actor: who makes the changes, for the log.
        """
        self.path = path
        self.vault = vault
        self.actor = actor
        self.refusal = ""
        """Why every change is refused; empty where none is."""
        self._lock = threading.RLock()
        with self._in_words():
            _create_private(path)
            self._connection = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare()
            except (sqlite3.Error, GalleryError, OSError):
                self._connection.close()
                raise

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A consistent view: all statements inside see one moment."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction that no other writer can enter; all of it happens, or nothing."""
        if self.refusal:
            raise GalleryError(f"gallery {self.path}: {self.refusal}")
        with self._transaction("BEGIN IMMEDIATE") as connection:
            if vault_token(connection) != self._token:
                raise GalleryError(f"gallery {self.path}: its key was changed meanwhile; start this process again")
            connection.execute(_BEGIN_BATCH, (self.actor,))
            yield connection

    def scalar(self, query: str) -> int:
        """The one integer that a cheap query gives, without a transaction around it."""
        with self._lock, self._in_words():
            return int(self._connection.execute(query).fetchone()[0] or 0)

    def erase_free_space(self) -> bool:
        """Rewrite the file without deleted content, empty the write-ahead log, and delete copies from before upgrades.

        Returns False where another process was reading all the while; deleted rows are zeroed all the
        same, but may linger in the log until its next checkpoint.
        """
        with self._lock, self._in_words():
            drop_backups(self.path.parent)
            try:
                self._connection.execute("VACUUM")
            except sqlite3.Error:
                self.empty_log()  # what it wrote until there was no room any more, and what was deleted before
                raise
            return self.empty_log()

    def empty_log(self) -> bool:
        """Take the write-ahead log over into the file. Returns False where another process was reading all along."""
        with self._lock, self._in_words():
            deadline_s = time.monotonic() + BUSY_TIMEOUT_S
            while self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                if time.monotonic() >= deadline_s:
                    return False
                time.sleep(0.01)
            return True

    def copy_to(self, path: Path) -> None:
        """Write the whole file, as of one moment, to ``path``, which must not exist; others go on meanwhile."""
        with self._lock, self._in_words():
            self._connection.execute("VACUUM INTO ?", (str(path),))

    def reseal(self, vault: Vault | None) -> int:
        """Seal everything with ``vault`` from now on (None: not at all), in one transaction; returns how many faces
        people have.

        Processes that have the file open with the old key read nothing any more.
        """
        before = self.vault

        def resealed(sealed: bytes | None) -> bytes | None:
            if sealed is None:
                return None
            plain = sealed if before is None else before.open(sealed)
            return plain if vault is None else vault.seal(plain)

        with self.write() as connection:
            connection.create_function("reseal", 1, resealed)
            faces = 0
            for table in SEALED_TABLES:
                query = f"UPDATE {table} SET vector = reseal(vector), chip = reseal(chip)"
                rows = connection.execute(query).rowcount
                faces += rows if table == "faces" else 0
            connection.execute("DELETE FROM settings WHERE key = 'vault'")
            if vault is not None:
                connection.execute("INSERT INTO settings VALUES ('vault', ?)", (vault.token(),))
        self._use(vault)
        return faces

    def find_damage(self) -> list[str]:
        """What SQLite itself finds wrong with the file and its references; reads all of it."""
        with self._lock, self._in_words():
            damage = [str(row[0]) for row in self._connection.execute("PRAGMA integrity_check(20)")]
            broken = [
                f"row {row[1]} of {row[0]} refers to a missing row"
                for row in self._connection.execute("PRAGMA foreign_key_check")
            ]
        return [line for line in damage if line != "ok"] + broken

    def _use(self, vault: Vault | None) -> None:
        self.vault = vault
        self._token = vault_token(self._connection)

        def kept(data: bytes | None) -> bytes | None:
            return data

        seal, unseal = (kept, kept) if vault is None else (vault.seal, vault.open)
        self._connection.create_function("seal", 1, seal)
        self._connection.create_function("unseal", 1, lambda data: None if data is None else unseal(data))

        def face_uid(person_id: str, model_id: str, source_sha256: str, chip: bytes) -> str:
            """The same for the same face on every box."""
            told = hashlib.blake2b(unseal(chip) or b"", digest_size=20)
            told.update(f"{person_id}\n{model_id}\n{source_sha256}".encode())
            return told.hexdigest()

        self._connection.create_function("face_uid", 4, face_uid)

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._lock, self._in_words():
            self._connection.execute(begin)
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.ProgrammingError as error:
            raise GalleryError(f"gallery {self.path}: {str(error).lower()}") from error
        except sqlite3.DatabaseError as error:
            raise GalleryError(f"gallery {self.path}: {_words(error, self.path)}") from error
        except OSError as error:
            reason = OTHERS if isinstance(error, PermissionError) else (error.strerror or str(error)).lower()
            raise GalleryError(f"gallery {self.path}: {reason} ({error.filename or self.path})") from error

    def _prepare(self) -> None:
        run = self._connection.execute
        run("PRAGMA foreign_keys = ON")
        run("PRAGMA secure_delete = ON")
        self._check_version()
        self._check_intact()
        self._enter_wal()
        self._migrate()
        check_vault(self._connection, self.vault, self.path)
        self._use(self.vault)

    def _enter_wal(self) -> None:
        """Going over to WAL needs the file for itself for a moment, and SQLite does not wait for that by itself."""
        deadline_s = time.monotonic() + BUSY_TIMEOUT_S
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() >= deadline_s:
                    raise
            time.sleep(0.01)

    def _check_version(self) -> int:
        found = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        if found > len(MIGRATIONS):
            raise GalleryError(
                f"gallery {self.path}: format {found} was written by a newer streamd; this one reads up to "
                f"{len(MIGRATIONS)}: update streamd, or go back with 'streamd state restore'"
            )
        return found

    def _check_intact(self) -> None:
        if self.path.stat().st_size > _CHECKED_BYTES:
            return
        answer = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if answer != "ok":
            raise sqlite3.DatabaseError(f"malformed: {answer}")

    def _migrate(self) -> None:
        if self._check_version() == len(MIGRATIONS):
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            if before := self._check_version():
                back_up(self.path, before)
            for number in range(before, len(MIGRATIONS)):
                for statement in MIGRATIONS[number]:
                    self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


def _create_private(path: Path) -> None:
    """Faces are personal data: a new file is its owner's alone; SQLite gives its log the same mode.

    A file that exists is not touched: closing a descriptor of it would drop the locks of every connection that this
    process has to it, and then the next process to leave would delete the log that they write to.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _words(error: sqlite3.DatabaseError, path: Path) -> str:
    text = str(error).lower()
    if "full" in text or getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_SHMSIZE:  # no room for its index
        return "no space left on the disk; free some and try again"
    if "readonly" in text or "unable to open" in text or "authorization" in text:
        return f"cannot be written; check the owner and mode of {path.parent}"
    if _is_busy(error):
        return f"another process has been writing for over {BUSY_TIMEOUT_S:g} s; try again"
    if "user-defined function raised" in text:
        return "the sealed faces cannot be opened: the key was changed meanwhile, or the file is damaged"
    if "not a database" in text or "malformed" in text:
        return f"the file is damaged ({text}); move it away and enrol again, or restore a backup"
    return text


def _is_busy(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
