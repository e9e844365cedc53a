"""Who made an archive: each state directory has an Ed25519 key (RFC 8032) of its own."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from streamd.errors import GalleryError

KEY_FILE = "signing.key"
_SEED_BYTES = 32


class Signer:
    """Signs with the key of a state directory."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def of(cls, state_dir: Path) -> Signer:
        """The directory's key, which is made where there is none. Raises GalleryError: it cannot be used."""
        path = state_dir / KEY_FILE
        try:
            if not path.exists():
                _write_seed(path)
            seed = path.read_bytes()
        except OSError as error:
            raise GalleryError(f"signing key {path}: {(error.strerror or str(error)).lower()}") from error
        if len(seed) != _SEED_BYTES:
            raise GalleryError(f"signing key {path} has {len(seed)} bytes, not {_SEED_BYTES}; move it away")
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @property
    def public_key(self) -> str:
        """64 hexadecimal digits."""
        return self._key.public_key().public_bytes_raw().hex()

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)


def is_signed(data: bytes, signature: bytes, *, public_key: str) -> bool:
    """Whether ``signature`` is by the holder of ``public_key``."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def _write_seed(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    scratch = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(os.urandom(_SEED_BYTES))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(scratch, path)  # of two who make one at the same moment, the first stays
    except FileExistsError:
        pass
    finally:
        scratch.unlink()
