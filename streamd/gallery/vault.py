"""Encryption at rest: vectors and crops are sealed one by one with AES-256-GCM.

A sealed value is a random nonce of 12 bytes, the ciphertext and its tag of 16 bytes (NIST SP 800-38D). With random
nonces one key serves 2^32 values; names, labels and times are not sealed, only what shows or describes a face.
"""

from __future__ import annotations

import base64
import binascii
import os
import sqlite3
import stat
from pathlib import Path

from streamd.errors import GalleryError

KEY_BYTES = 32
_NONCE_BYTES = 12
_CONTEXT = b"streamd gallery 1"
_TOKEN = b"streamd gallery key"


class Vault:
    """Seals and opens with one key."""

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._cipher = AESGCM(key)

    def seal(self, data: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, _CONTEXT)

    def open(self, sealed: bytes) -> bytes:
        """Raises GalleryError: sealed with another key, or changed since."""
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _CONTEXT)
        except (InvalidTag, ValueError) as error:
            raise GalleryError("sealed data cannot be opened: another key, or damaged") from error

    def token(self) -> str:
        """Lets a key be recognised: kept in the file that it seals."""
        return self.seal(_TOKEN).hex()

    def fits(self, token: str) -> bool:
        """Whether ``token`` was made with this key."""
        try:
            return self.open(bytes.fromhex(token)) == _TOKEN
        except (GalleryError, ValueError):
            return False


def load_vault(path: Path | None) -> Vault | None:
    """The vault of a key file: 32 bytes, or their hexadecimal or base64 text. None for None.

    Raises:
        GalleryError: the file cannot be read, is no key, or others than its owner may read it.
    """
    if path is None:
        return None
    try:
        status = path.stat()
        data = path.read_bytes() if status.st_size <= 4096 else b""
    except OSError as error:
        raise GalleryError(
            f"gallery.key_file {path} cannot be read: {(error.strerror or str(error)).lower()}"
        ) from error
    if status.st_mode & (stat.S_IROTH | stat.S_IWOTH):
        raise GalleryError(f"gallery.key_file {path} may be read by everybody: chmod 600 {path}")
    return Vault(_key(data, path))


def write_new_key(path: Path) -> None:
    """Make a key file, mode 0600. Raises GalleryError where it exists or cannot be written."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise GalleryError(f"key file {path} exists already; a key is never overwritten") from error
    except OSError as error:
        raise GalleryError(f"key file {path} cannot be written: {(error.strerror or str(error)).lower()}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(KEY_BYTES).hex().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)  # half a key would be in the way of the next try
        raise GalleryError(f"key file {path} cannot be written: {(error.strerror or str(error)).lower()}") from error


def check_vault(connection: sqlite3.Connection, vault: Vault | None, path: Path) -> None:
    """Raises GalleryError where ``vault`` is not the one that the file at ``path`` was sealed with.

    A file without faces takes over the vault that it is opened with.
    """
    token = vault_token(connection)
    if token is None and vault is None:
        return
    if token is None and vault is not None:
        if connection.execute("SELECT EXISTS (SELECT 1 FROM faces) + EXISTS (SELECT 1 FROM stranger_faces)").fetchone()[
            0
        ]:
            raise GalleryError(
                f"gallery {path} is not encrypted, but a key is set: 'streamd gallery rekey' encrypts it"
            )
        connection.execute("INSERT OR IGNORE INTO settings VALUES ('vault', ?)", (vault.token(),))
        return
    if vault is None:
        raise GalleryError(f"gallery {path} is encrypted: set gallery.key_file to the file with its key")
    if token is None or not vault.fits(token):
        raise GalleryError(f"gallery {path}: the key in gallery.key_file is not the one that it was encrypted with")


def vault_token(connection: sqlite3.Connection) -> str | None:
    """What a key is recognised by; None where the file is not sealed."""
    row = connection.execute("SELECT value FROM settings WHERE key = 'vault'").fetchone()
    return None if row is None else str(row[0])


def _key(data: bytes, path: Path) -> bytes:
    if len(data) == KEY_BYTES:
        return data
    text = data.strip()
    for decode in (bytes.fromhex, lambda t: base64.b64decode(t, validate=True)):
        try:
            key = decode(text.decode("ascii"))
        except (ValueError, binascii.Error, UnicodeDecodeError):
            continue
        if len(key) == KEY_BYTES:
            return key
    raise GalleryError(f"gallery.key_file {path} is no key: {KEY_BYTES} bytes, or 64 hexadecimal digits, are needed")
