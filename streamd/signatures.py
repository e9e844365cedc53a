"""Signs and checks webhook requests: ``Streamd-Signature: t=<Unix seconds>,v1=<HMAC-SHA256, hexadecimal>``.

The code is over ``<t>.<body>``, so that a request cannot be kept and sent again later.
"""

from __future__ import annotations

import hashlib
import hmac

HEADER = "Streamd-Signature"
TOLERANCE_S = 300.0


def signature(secret: str, body: bytes, now_wall_s: float) -> str:
    """The header's value for a request."""
    moment = str(int(now_wall_s))
    return f"t={moment},v1={_code(secret, moment, body)}"


def signature_is_valid(
    secret: str, header: str, body: bytes, now_wall_s: float, *, tolerance_s: float = TOLERANCE_S
) -> bool:
    """Whether a request was signed with this secret, and not long ago."""
    parts = dict(part.strip().partition("=")[::2] for part in header.split(","))
    moment = parts.get("t", "")
    if not (moment.isascii() and moment.isdecimal()) or len(moment) > 12:
        return False
    if abs(now_wall_s - int(moment)) > tolerance_s:
        return False
    return hmac.compare_digest(_code(secret, moment, body).encode(), parts.get("v1", "").encode())


def _code(secret: str, moment: str, body: bytes) -> str:
    return hmac.new(secret.encode(), moment.encode() + b"." + body, hashlib.sha256).hexdigest()
