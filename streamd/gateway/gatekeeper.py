"""Who asks: by session cookie, by token, or, where nobody needs to log in, by being on this machine."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from aiohttp import web

from streamd.access import MAX_PASSWORD_CHARACTERS, Role, Who, hash_password, password_fits, token_fits
from streamd.config import CameraConfig
from streamd.gateway.operations import WHO, Refused
from streamd.gateway.sessions import LONGEST_S, Session, Sessions, of_password, same
from streamd.gateway.throttle import Throttle
from streamd.gatewayconfig import GatewayConfig

logger = logging.getLogger(__name__)

COOKIE, SECURE_COOKIE = "streamd_session", "__Host-streamd_session"
CSRF_HEADER = "X-CSRF-Token"
LOGIN_PATH = "/api/v1/session"
"""Whoever logs in has no session yet."""
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_TRIES_AT_ONCE = 2
"""Passwords checked at the same time: each takes a core for a while, and 32 MB."""
_LONGEST_QUEUE = 16
_MOST_FAMILIAR = 1000


@dataclass(frozen=True, slots=True)
class Login:
    """What a browser gets."""

    who: Who
    csrf: str
    secret: str | None = None
    """For the cookie, of a new session."""


class Gatekeeper:
    """Belongs to the gateway's loop."""

    def __init__(self, config: GatewayConfig, sessions: Path) -> None:
        self.config = config
        self.open = not config.users and not config.tokens
        """Nobody needs to log in: only this machine can reach us."""
        self.cameras: dict[str, CameraConfig] = {}
        """Those that are sent to us, with their tokens."""
        self._sessions = Sessions(sessions, now=time.time)
        self._throttle = Throttle()
        self._familiar: OrderedDict[tuple[str, str], None] = OrderedDict()
        """Users, and addresses from which they logged in, the newest last: there strangers who try the user's name make
        nobody wait."""
        self._csrf = secrets.token_urlsafe(24)
        self._proxies = [ipaddress.ip_network(address) for address in config.trusted_proxies]
        self._trying = asyncio.Semaphore(_TRIES_AT_ONCE)
        self._waiting = 0
        # Somebody who is not there is checked against this, so that a try takes as long.
        self._nobody = hash_password(secrets.token_urlsafe(12)) if config.users else ""

    # -- every request ---------------------------------------------------------------------------------------------

    def identify(self, request: web.Request) -> Who | None:
        """Raises Refused: the token is wrong, or the request comes from another site's page."""
        if self.open:
            self._check_host(request)
            self._check_site(request)
        self._check_origin(request)
        if (token := _bearer(request)) is not None:
            return self._by_token(token)
        if self.open:
            if _is_browser(request):
                self._check_csrf(request, self._csrf)
            return Who(Role.ADMIN)
        if (session := self._session(request)) is None:
            return None
        user = self.config.users[session.user]
        self._check_csrf(request, session.csrf)
        return Who(Role[user.role.upper()], session.user)

    def admits(self, request: web.Request) -> bool:
        """Whether whoever asked by this request may go on getting its answer, which is long: they may have logged out,
        or their session be over."""
        try:
            return self.identify(request) == request.get(WHO)
        except Refused:
            return False

    def login_of(self, request: web.Request, who: Who | None) -> Login | None:
        """What a page is told about whoever is logged in."""
        if self.open:
            return Login(Who(Role.ADMIN), self._csrf)
        session = self._session(request)
        return Login(who, session.csrf) if session is not None and who is not None else None

    def _session(self, request: web.Request) -> Session | None:
        secret = request.cookies.get(self._cookie(request))
        session = self._sessions.find(secret) if secret else None
        if session is None or secret is None:
            return None
        user = self.config.users.get(session.user)
        if user is None or not of_password(session, user.password):
            self._sessions.end(secret)
            return None
        return session

    def _by_token(self, token: str) -> Who:
        for name, kept in self.config.tokens.items():
            if token_fits(token, kept.token):
                return Who(Role[kept.role.upper()], name)
        for name, camera in self.cameras.items():
            if camera.whip_token is not None and token_fits(token, camera.whip_token):
                return Who(Role.CAMERA, name, camera=name)
        raise Refused(401, "unauthenticated", "this token is not known: it was replaced or taken away, or mistyped")

    def _check_host(self, request: web.Request) -> None:
        """Another site's page could have its own name point to this machine (DNS rebinding)."""
        host = _split(f"//{request.headers.get('Host', '')}").hostname or ""
        if host != "localhost" and not _is_loopback(host):
            raise Refused(403, "forbidden", f"the host {host[:80]!r} is not this machine's own name: use localhost")

    def _check_site(self, request: web.Request) -> None:
        """Another site's page is shown nothing of ours, but could have its browser ask for streams without an end."""
        asked, mode = request.headers.get("Sec-Fetch-Site"), request.headers.get("Sec-Fetch-Mode")
        if asked in ("cross-site", "same-site") and mode != "navigate":
            raise Refused(403, "forbidden", "this request comes from another site's page")

    def _check_origin(self, request: web.Request) -> None:
        origin = request.headers.get("Origin")
        if request.method in _SAFE or origin is None:
            return
        if _split(origin).netloc.lower() != self.host(request).lower():
            raise Refused(403, "csrf", "this request comes from another site's page")

    def _check_csrf(self, request: web.Request, expected: str) -> None:
        if request.method in _SAFE or (request.method == "POST" and request.path == LOGIN_PATH):
            return
        if not same(request.headers.get(CSRF_HEADER), expected):
            raise Refused(403, "csrf", f"the header {CSRF_HEADER} is missing, or of an earlier session: load anew")

    # -- logging in and out ----------------------------------------------------------------------------------------

    async def log_in(self, request: web.Request, name: str, password: str) -> Login:
        """Raises Refused: wrong, or too often wrong."""
        if self.open:
            return Login(Who(Role.ADMIN), self._csrf)
        here = name.casefold(), self.address(request)
        keys = [f"address {here[1]}"] if here in self._familiar else [f"address {here[1]}", f"user {here[0]}"]
        now_s = time.monotonic()
        if (wait_s := max(self._throttle.wait_s(key, now_s) for key in keys)) > 0:
            message = f"too many wrong passwords: try again in {_in_words(wait_s)}"
            raise Refused(429, "throttled", message, retry_after_s=wait_s)
        if not await self._fits(name, password):
            for key in keys:
                self._throttle.failed(key, time.monotonic())
            logger.warning("login refused: user %.64r from %s", name, self.address(request))
            raise Refused(401, "unauthenticated", "the name or the password is wrong")
        for key in keys:
            self._throttle.succeeded(key)
        self._familiar[here] = None
        self._familiar.move_to_end(here)
        if len(self._familiar) > _MOST_FAMILIAR:
            self._familiar.popitem(last=False)
        user = self.config.users[name]
        secret, session = self._sessions.begin(name, kept=user.password)
        logger.info("user %s logged in from %s", name, self.address(request))
        return Login(Who(Role[user.role.upper()], name), session.csrf, secret)

    async def _fits(self, name: str, password: str) -> bool:
        if len(password) > MAX_PASSWORD_CHARACTERS:
            return False
        if self._waiting >= _LONGEST_QUEUE:
            raise Refused(429, "throttled", "too many people log in just now: try again", retry_after_s=2.0)
        user = self.config.users.get(name)
        self._waiting += 1
        try:
            async with self._trying:
                fits = await asyncio.to_thread(password_fits, password, user.password if user else self._nobody)
        finally:
            self._waiting -= 1
        return fits and user is not None

    def log_out(self, request: web.Request) -> None:
        if secret := request.cookies.get(self._cookie(request)):
            self._sessions.end(secret)

    def set_cookie(self, request: web.Request, response: web.Response, secret: str | None) -> None:
        """Of a new session, or take it away."""
        name, secure = self._cookie(request), self.is_secure(request)
        if secret is None:
            response.del_cookie(name, path="/", secure=secure, httponly=True, samesite="Strict")
        else:
            response.set_cookie(
                name, secret, max_age=round(LONGEST_S), path="/", secure=secure, httponly=True, samesite="Strict"
            )

    def _cookie(self, request: web.Request) -> str:
        return SECURE_COOKIE if self.is_secure(request) else COOKIE

    # -- behind a proxy --------------------------------------------------------------------------------------------

    def address(self, request: web.Request) -> str:
        """Of whoever asks; what a trusted proxy says is believed."""
        peer = request.remote or ""
        forwarded = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",") if part.strip()]
        while forwarded and self._is_proxy(peer):
            peer = forwarded.pop()
        return peer

    def is_secure(self, request: web.Request) -> bool:
        if self._is_proxy(request.remote or ""):
            return request.headers.get("X-Forwarded-Proto", request.scheme) == "https"
        return request.scheme == "https"

    def host(self, request: web.Request) -> str:
        own = request.headers.get("Host", "")
        return request.headers.get("X-Forwarded-Host", own) if self._is_proxy(request.remote or "") else own

    def _is_proxy(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._proxies)


def _split(address: str) -> SplitResult:
    try:
        return urlsplit(address)
    except ValueError as error:
        raise Refused(400, "invalid", f"{address[:80]!r} is no address") from error


def _bearer(request: web.Request) -> str | None:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else None


def _is_browser(request: web.Request) -> bool:
    """Browsers say where a request comes from; programs on this machine need no token where nobody logs in."""
    return any(name in request.headers for name in ("Origin", "Sec-Fetch-Site", "Referer"))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _in_words(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{max(1, round(seconds))} s"
