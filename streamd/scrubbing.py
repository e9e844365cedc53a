"""Takes people's names and secrets out of texts that are to be shown to somebody else. Pure.

A bug report may be read by anybody. What is hidden too much is better than too little: every word of a name goes,
wherever it stands, and so do photographs' names and what a log says of people who may have been forgotten since.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from streamd.config import redact

HIDDEN = "***"
LEAST_SECRET = 4
"""Shorter texts are no secret that could be told from other words."""
LEAST_WORD = 3
SECRET_KEYS = frozenset({"password", "token", "secret", "whip_token", "dsn", "headers", "command", "notes"})
"""Keys of the configuration whose values are never shown."""
NAMED_KEYS = frozenset({"users", "tokens", "cameras", "sinks", "retention_days", "search"})
"""Keys of the configuration below which the user's own words are keys."""
_PHOTO = re.compile(
    r"(?:(?!\s)[^/\n:'\"=]*/)?(?!\s)[^/\n:'\"=]+(\.(?:jpe?g|png|webp|bmp|tiff?|heic|gif|mp4|mov|avi|mkv))\b",
    re.IGNORECASE,
)
"""With the folder that it is in, which may be a person's."""
_OF_PEOPLE = re.compile(r"(/api/v1/people/|gallery folder: (?=['\"].*became ))[^\n]+?(?=\", \"|\"?\}?$)", re.MULTILINE)
_AUTHORISATION = re.compile(r"(?i)\b(authorization|cookie|x-csrf-token|bearer|basic)(\W{1,3})[^\s'\",}]+")
_TOKEN = re.compile(r"\bsd_[A-Za-z0-9_-]{8,}|\bscrypt:\S+|\bsha256:[0-9a-fA-F]{64}\b")
_EDGE = (r"(?<![^\W_])", r"(?![^\W_])")
"""An underscore parts words, too: ann_smith.jpg."""


class Scrubber:
    """Built once, for it holds every name."""

    def __init__(self, *, names: Iterable[str] = (), secrets: Iterable[str] = (), home: str = "") -> None:
        """``home`` is shown as ``~``."""
        self._stand_ins = dict(_stand_ins(names))
        self._names = _alternation(self._stand_ins, edges=_EDGE)
        hidden = {form for secret in secrets if len(secret) >= LEAST_SECRET for form in _forms(secret)}
        self._secrets = _alternation(hidden)
        self._home = home.rstrip("/")

    def text(self, text: str) -> str:
        """The text without secrets, names, and names of pictures."""
        text = text.replace(self._home, "~") if self._home else text
        if self._secrets is not None:
            text = self._secrets.sub(HIDDEN, text)
        text = _AUTHORISATION.sub(rf"\1\2{HIDDEN}", _TOKEN.sub(HIDDEN, redact(text)))
        if self._names is not None:
            text = self._names.sub(lambda found: self._stand_ins[_key(found[0])], text)
        return _PHOTO.sub(rf"{HIDDEN}\1", _OF_PEOPLE.sub(rf"\1{HIDDEN}", text))

    def tree(self, value: Any, *, own_keys: bool = False) -> Any:
        """A configuration as YAML gave it; ``own_keys``: its keys are the user's own words."""
        if isinstance(value, Mapping):
            return {
                self.text(str(key)) if own_keys else str(key): HIDDEN
                if key in SECRET_KEYS and not own_keys and entry
                else self.tree(entry, own_keys=key in NAMED_KEYS and not own_keys)
                for key, entry in value.items()
            }
        if isinstance(value, list):
            return [self.tree(entry) for entry in value]
        return self.text(value) if isinstance(value, str) else value


def secrets_in(value: Any) -> Iterator[str]:
    """Every text below a key that holds a secret, and every user, password, query and telling path in an URL."""
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _texts(entry) if key in SECRET_KEYS else secrets_in(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from secrets_in(entry)
    elif isinstance(value, str) and "://" in value:
        yield from _of_url(value)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for entry in value.values():
            yield from _texts(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _texts(entry)
    elif isinstance(value, str):
        yield value


def _of_url(url: str) -> Iterator[str]:
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    user, _, password = login.partition(":")
    for text in (login, password, parts.query, user if password else ""):
        yield from {text, unquote(text)} - {""}
    # Some cameras want the password in the path: /user=admin_password=x_channel=1.
    yield from (part for part in parts.path.split("/") if "=" in part)


def _stand_ins(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Every form of every name, and of each of its words, with what stands in its place."""
    ordered = sorted({name.strip() for name in names if name.strip()})
    for number, name in enumerate(ordered, start=1):
        words = [word for word in re.split(r"[\W_]+", name) if len(word) >= LEAST_WORD]
        for text in (*words, name):
            for form in _forms(text):
                yield _key(form), f"person-{number}"


def _forms(text: str) -> set[str]:
    """As it is, composed and decomposed, in an URL, and in JSON."""
    alike = {text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)}
    return alike | {quote(form) for form in alike} | {json.dumps(form)[1:-1] for form in alike}


def _key(text: str) -> str:
    return text.casefold()


def _alternation(texts: Collection[str], edges: tuple[str, str] = ("", "")) -> re.Pattern[str] | None:
    """Any of ``texts``, the longest first."""
    if not texts:
        return None
    body = "|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True))
    return re.compile(f"{edges[0]}(?:{body}){edges[1]}", re.IGNORECASE)
