"""One scalar of a YAML file as a value.

YAML 1.1 reads 1:30 as ninety, 010 as eight and 2026-01-01 as a date. Here decimal numbers, booleans and
nothing are themselves, and everything else is the text that was written.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

MAX_NUMBER = 2**53
"""Larger whole numbers are not exact in JSON."""
PREFIX = "tag:yaml.org,2002:"

Scalar = str | int | float | bool | None


def scalar_value(tag: str, text: str, expand: Callable[[str], str]) -> Scalar:
    """The value of ``text`` under YAML's ``tag``; ``expand`` substitutes in what is text.

    Raises:
        ValueError: the text does not fit the tag, or the tag is not one of plain YAML.
    """
    kind = tag.removeprefix(PREFIX)
    if "\0" in text or not _encodable(text):
        raise ValueError("holds a character that no text can have")
    if kind in _PLAIN:
        return _PLAIN[kind](text)
    if kind in ("str", "timestamp", "value"):
        return _finite(expand(text))
    raise ValueError(f"the tag {tag!r} is not understood")


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_WHOLE = re.compile(r"[-+]?\d{1,16}")


def _boolean(text: str) -> bool:
    if text.lower() not in _BOOLEANS:
        raise ValueError("should be true or false")
    return _BOOLEANS[text.lower()]


def _whole(text: str) -> int | str:
    """Decimal only: YAML 1.1 would read 1:30 as 90 and 010 as 8. What else looks like a number stays text."""
    digits = text.replace("_", "")
    if not _WHOLE.fullmatch(digits) or (digits.lstrip("+-").startswith("0") and digits.lstrip("+-") != "0"):
        return text
    if abs(int(digits)) > MAX_NUMBER:
        raise ValueError("this number is too large")
    return int(digits)


def _real(text: str) -> float | str:
    try:
        value = float(text.replace("_", ""))
    except ValueError:  # sexagesimal, or .inf
        if text.lower().lstrip("+-") in (".inf", ".nan"):
            raise ValueError("should be a finite number") from None
        return text
    if not math.isfinite(value):
        raise ValueError("should be a finite number")
    return value


def _finite(text: str) -> str:
    """``text``, unless validation would make infinity or no number of it."""
    if text.lower().lstrip("+-") in ("inf", "infinity", "nan"):
        raise ValueError("should be a finite number")
    return text


def _nothing(text: str) -> None:
    return None


_PLAIN: dict[str, Callable[[str], Scalar]] = {
    "bool": _boolean,
    "int": _whole,
    "float": _real,
    "null": _nothing,
}
