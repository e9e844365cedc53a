"""A gallery in one file that can be carried elsewhere: a tar of a manifest, its signature and a SQLite file.

An archive is taken whole or not at all: the manifest's signature (Ed25519), the file's SHA-256 and every row are
checked before the first change. Faces of an encrypted gallery stay sealed in it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from streamd.backups import held
from streamd.errors import GalleryError
from streamd.events import timestamp
from streamd.gallery.audit import audit
from streamd.gallery.database import Database
from streamd.gallery.signing import Signer, is_signed
from streamd.gallery.store import GalleryStore
from streamd.gallery.vault import Vault, vault_token

FORMAT = "streamd.gallery/1"
_MANIFEST, _SIGNATURE, _FILE = "manifest.json", "manifest.sig", "gallery.sqlite"
_MEMBERS = (_MANIFEST, _SIGNATURE, _FILE)
_SMALL_BYTES = 1024 * 1024
_BLOCK_BYTES = 1024 * 1024
_LEFT_BEHIND = (
    "DELETE FROM undo",
    "DELETE FROM stranger_faces",
    "DELETE FROM stranger_undo",
    "DELETE FROM stranger_face_undo",
    "DELETE FROM stranger_merges",
    "DELETE FROM strangers",
    "DELETE FROM stranger_changes",
    "DELETE FROM photos",
    "DELETE FROM dismissed",
    "DELETE FROM removed",
    "DELETE FROM shared",
    "DELETE FROM changes",
    "DELETE FROM settings WHERE key <> 'vault' AND key NOT LIKE 'impostor:%'",
)
"""What belongs to the box and not to the people."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What an archive holds."""

    people: int
    faces: int
    gallery_version: int
    encrypted: bool
    signer: str
    """Public key, hexadecimal."""
    created_at: str


def export_gallery(store: GalleryStore, path: Path, signer: Signer) -> Contents:
    """Write everybody and their faces to ``path``, which appears complete or not at all.

    Raises:
        GalleryError: ``path`` exists, or cannot be written.
    """
    with _in_words(path), scratch_beside(path) as scratch:
        copied = scratch / _FILE
        version = store.version()
        store.database.copy_to(copied)
        people, faces = _strip(copied, store.database.vault)
        contents = Contents(
            people, faces, version, store.database.vault is not None, signer.public_key, timestamp(time.time())
        )
        manifest = _manifest(contents, copied)
        packed = scratch / "archive"
        with tarfile.open(packed, "w") as tar:
            _add(tar, _MANIFEST, manifest)
            _add(tar, _SIGNATURE, signer.sign(manifest))
            tar.add(copied, _FILE, filter=_anonymous)
        publish(packed, path)
    return contents


@contextmanager
def opened_archive(
    path: Path, scratch_dir: Path, *, trusted: Collection[str], vault: Vault | None
) -> Iterator[tuple[Contents, GalleryStore]]:
    """The people of an archive, checked: damaged and foreign ones are refused whole.

    Args:
        scratch_dir: where it is unpacked while it is open.
        trusted: public keys of those whose archives are taken.
        vault: opens the faces where the archive is encrypted.

    Raises:
        GalleryError: it cannot be read, is no archive, is damaged, is signed by nobody trusted, or has another key.
    """
    with _in_words(path), scratch_beside(scratch_dir / _FILE) as scratch:
        unpacked = scratch / _FILE
        contents = _unpack(path, unpacked, trusted)
        if contents.encrypted:
            _check_key(unpacked, path, vault)
        with GalleryStore(unpacked, vault=vault if contents.encrypted else None) as inside:
            if problems := audit(inside):
                raise GalleryError(f"archive {path} is damaged: {problems[0].message}; nothing was imported")
            yield contents, inside


def _check_key(unpacked: Path, path: Path, vault: Vault | None) -> None:
    try:
        with closing(sqlite3.connect(unpacked)) as connection:
            token = vault_token(connection)
    except sqlite3.DatabaseError:
        return  # opening it says what is wrong
    if token is not None and (vault is None or not vault.fits(token)):
        problem = "is encrypted" if vault is None else "is encrypted with another key"
        raise GalleryError(f"archive {path} {problem}: --key-file FILE opens it; nothing was imported")


@contextmanager
def scratch_beside(path: Path) -> Iterator[Path]:
    """A private directory on the same file system as ``path``, gone afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as name, held(Path(name)):
        yield Path(name)


def publish(made: Path, path: Path) -> None:
    """Give a finished file its name. Raises GalleryError where something has it already."""
    with made.open("rb") as file:
        os.fsync(file.fileno())
    made.chmod(0o600)
    try:
        os.link(made, path)
    except FileExistsError as error:
        raise GalleryError(f"{path} exists already; give another name, or remove it") from error


def _strip(copied: Path, vault: Vault | None) -> tuple[int, int]:
    """Leave only people, faces, labels and calibrations; returns how many people and faces."""
    database = Database(copied, vault=vault)
    try:
        with database.write() as connection:
            for statement in _LEFT_BEHIND:
                connection.execute(statement)
        database.erase_free_space()
        return database.scalar("SELECT count(*) FROM people"), database.scalar("SELECT count(*) FROM faces")
    finally:
        database.close()


def _manifest(contents: Contents, copied: Path) -> bytes:
    body = {
        "format": FORMAT,
        "created_at": contents.created_at,
        "gallery_version": contents.gallery_version,
        "people": contents.people,
        "faces": contents.faces,
        "encrypted": contents.encrypted,
        "signer": contents.signer,
        "files": {_FILE: {"bytes": copied.stat().st_size, "sha256": _sha256(copied)}},
    }
    return json.dumps(body, indent=1).encode()


def _unpack(path: Path, into: Path, trusted: Collection[str]) -> Contents:
    with tarfile.open(path, "r:") as tar:
        members = [_next(tar, name, path) for name in _MEMBERS[:2]]
        manifest, signature = (_read_small(tar, member, path) for member in members)
        body = _parsed(manifest, path)
        _check_signature(manifest, signature, str(body["signer"]), trusted=trusted, path=path)
        expected = body["files"][_FILE]
        data = tar.extractfile(_next(tar, _FILE, path))
        if data is None:
            raise _not_ours(path)
        digest = _copy(data, into)
        if digest != expected["sha256"]:
            raise GalleryError(f"archive {path} is damaged: {_FILE} has another checksum; nothing was imported")
    names = ("people", "faces", "gallery_version", "encrypted", "signer", "created_at")
    return Contents(**{name: body[name] for name in names})


def _next(tar: tarfile.TarFile, name: str, path: Path) -> tarfile.TarInfo:
    member = tar.next()
    if member is None or member.name != name or not member.isreg():
        raise _not_ours(path)
    return member


def _read_small(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> bytes:
    file = tar.extractfile(member) if member.size <= _SMALL_BYTES else None
    if file is None:
        raise _not_ours(path)
    return file.read()


def _parsed(manifest: bytes, path: Path) -> dict[str, Any]:
    try:
        body = json.loads(manifest)
        known = body["format"] == FORMAT
        body["signer"], body["files"][_FILE]["sha256"], body["people"], body["faces"], body["encrypted"]
        body["gallery_version"], body["created_at"]
    except (ValueError, KeyError, TypeError) as error:
        raise _not_ours(path) from error
    if not known:
        raise GalleryError(f"archive {path} has format {body['format']!r}; this program reads {FORMAT}: update streamd")
    return dict(body)


def _check_signature(manifest: bytes, signature: bytes, signer: str, *, trusted: Collection[str], path: Path) -> None:
    if not is_signed(manifest, signature, public_key=signer):
        raise GalleryError(f"archive {path} is damaged: its signature does not fit; nothing was imported")
    if signer not in trusted:
        raise GalleryError(
            f"archive {path} was made elsewhere, by {signer}; if that is a box of yours, add --trust {signer}"
        )


def _not_ours(path: Path) -> GalleryError:
    return GalleryError(f"{path} is not a gallery archive of streamd ('streamd gallery export' makes one)")


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without the owner and the time of a file on this box."""
    plain = tarfile.TarInfo(entry.name)
    plain.size = entry.size
    return plain


def _copy(source: IO[bytes], into: Path) -> str:
    digest = hashlib.sha256()
    with into.open("xb") as file:
        while block := source.read(_BLOCK_BYTES):
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except tarfile.TarError as error:
        raise GalleryError(f"{path} is damaged, or not a gallery archive: {error}; nothing was imported") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise GalleryError(f"{error.filename or path}: {reason}") from error
