"""Who is logged in at a browser. Pure but for one small file, so that a restart logs nobody out.

Of a session's secret, which the browser has in a cookie, a hash alone is kept.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

logger = logging.getLogger(__name__)

IDLE_S = 12 * 3600.0
"""A session that was not used for so long is over."""
LONGEST_S = 30 * 86_400.0
"""And after so long in any case."""
MOST = 1000
"""Sessions at a time; of more, those not used for longest end."""
_NOTED_EVERY_S = 300.0
"""How exactly the last use is written down."""


@dataclass(frozen=True, slots=True)
class Session:
    user: str
    csrf: str
    """What a page must send along with each change; another site's page cannot know it."""
    mark: str
    """Of the password that it began with: another password ends it."""
    began_wall_s: float
    used_wall_s: float


class Sessions:
    """Not thread-safe: the gateway's loop alone calls it."""

    def __init__(self, path: Path, *, now: Callable[[], float]) -> None:
        """``now`` is the wall clock, in Unix seconds: sessions outlive the process."""
        self._path = path
        self._now = now
        self._sessions = self._loaded()

    def begin(self, user: str, *, kept: str) -> tuple[str, Session]:
        """The secret for the cookie, and the session; ``kept`` is what is kept of the user's password."""
        secret = secrets.token_urlsafe(32)
        session = Session(user, secrets.token_urlsafe(24), _key(kept), self._now(), self._now())
        self._sessions[_key(secret)] = session
        self._drop_old()
        self._save()
        return secret, session

    def find(self, secret: str) -> Session | None:
        """The session of a cookie, which is used with it; None where it is over, or never was."""
        key = _key(secret)
        session = self._sessions.get(key)
        if session is None:
            return None
        if self._over(session):
            self._end(key)
            return None
        now_s = self._now()
        if abs(now_s - session.used_wall_s) > _NOTED_EVERY_S:  # the clock may have been ahead, and was set
            began_s = min(session.began_wall_s, now_s)
            self._sessions[key] = session = replace(session, began_wall_s=began_s, used_wall_s=now_s)
            self._save()
        return session

    def end(self, secret: str) -> None:
        self._end(_key(secret))

    def _end(self, key: str) -> None:
        if self._sessions.pop(key, None) is not None:
            self._save()

    def _over(self, session: Session) -> bool:
        now_s = self._now()
        return now_s - session.used_wall_s > IDLE_S or now_s - session.began_wall_s > LONGEST_S

    def _drop_old(self) -> None:
        kept = {key: s for key, s in self._sessions.items() if not self._over(s)}
        newest = sorted(kept, key=lambda key: kept[key].used_wall_s)[-MOST:]
        self._sessions = {key: kept[key] for key in newest}

    def _loaded(self) -> dict[str, Session]:
        try:
            rows = json.loads(self._path.read_text())
            return {str(key): Session(**row) for key, row in rows.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            logger.warning("%s: cannot be read, everybody has to log in again: %s", self._path, error)
            return {}

    def _save(self) -> None:
        scratch = self._path.with_name(self._path.name + ".part")
        body = json.dumps({key: asdict(session) for key, session in self._sessions.items()})
        try:
            descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(body)
            scratch.replace(self._path)
        except OSError as error:
            logger.warning("%s: cannot be written, a restart will log everybody out: %s", self._path, error)


def of_password(session: Session, kept: str) -> bool:
    """Whether the session began with the password of which this is kept."""
    return hmac.compare_digest(session.mark, _key(kept))


def same(given: str | None, expected: str) -> bool:
    """Compares secrets in constant time."""
    return given is not None and hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def _key(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
