"""Who may do what through the gateway: roles, and how passwords and tokens are kept.

Passwords are hashed with scrypt (RFC 7914), which takes 32 MB and some 80 ms a try; tokens are long and random, so that
a plain hash of them is as good.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from enum import IntEnum

_N, _R, _P = 2**15, 8, 1
"""OWASP's password storage cheat sheet takes N = 2^17 or, for less memory, more rounds; an edge box has little."""
_MAX_MEMORY = 64 * 1024 * 1024
_SALT_BYTES, _KEY_BYTES, _TOKEN_BYTES = 16, 32, 32
MIN_PASSWORD_CHARACTERS = 8
MAX_PASSWORD_CHARACTERS = 256
TOKEN_PREFIX = "sd_"
"""Makes a token that was pasted into the wrong place easy to find."""


class Role(IntEnum):
    """Each may do what those before it may."""

    CAMERA = 0
    """Sends one camera's picture, and sees nothing."""
    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Who:
    """Somebody who asks."""

    role: Role
    name: str | None = None
    """None where nobody needs to say who they are."""
    camera: str | None = None
    """The one camera that a token is for."""

    def may(self, least: Role) -> bool:
        return self.role >= least

    @property
    def actor(self) -> str:
        """As the gallery's log names them."""
        return self.name or "web"


def hash_password(password: str) -> str:
    """As it stands in the configuration: ``scrypt:<N>:<salt>:<key>``."""
    salt = secrets.token_bytes(_SALT_BYTES)
    return f"scrypt:{_N}:{_text(salt)}:{_text(_derived(password, salt, _N))}"


def password_fits(password: str, kept: str) -> bool:
    """Whether ``kept`` is a hash of it. Takes as long for a wrong one as for the right one."""
    parts = kept.split(":")
    if len(parts) != 4 or parts[0] != "scrypt" or not parts[1].isdigit():
        return False
    try:
        salt, key = _bytes(parts[2]), _bytes(parts[3])
        return hmac.compare_digest(_derived(password, salt, int(parts[1])), key)
    except ValueError:  # not base64, or N not a power of two
        return False


def new_token() -> tuple[str, str]:
    """A token to be shown once, and what is kept of it."""
    token = TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
    return token, hash_token(token)


def hash_token(token: str) -> str:
    # What comes in a header may be no text at all.
    return f"sha256:{hashlib.sha256(token.encode(errors='surrogateescape')).hexdigest()}"


def token_fits(token: str, kept: str) -> bool:
    return hmac.compare_digest(hash_token(token), kept)


def _derived(password: str, salt: bytes, n: int) -> bytes:
    data = password.encode(errors="surrogatepass")
    return hashlib.scrypt(data, salt=salt, n=n, r=_R, p=_P, maxmem=_MAX_MEMORY, dklen=_KEY_BYTES)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
