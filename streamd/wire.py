"""The headers of streamd's messages: small versioned JSON objects. Pure, and safe on any bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streamd.errors import ProtocolError

VERSION = 1
MAX_HEADER_BYTES = 1 << 20
"""Longer headers are not ours (a whole configuration travels in one)."""

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Header:
    """A decoded header: its kind, and fields fetched by the type that the caller relies on."""

    kind: str
    fields: Json

    def text(self, name: str) -> str:
        return _expect(self.fields.get(name), str, f"{self.kind}.{name}")  # type: ignore[no-any-return]  # checked

    def integer(self, name: str) -> int:
        return _expect(self.fields.get(name), int, f"{self.kind}.{name}")  # type: ignore[no-any-return]  # checked

    def number(self, name: str) -> float:
        """A finite number; integers are accepted."""
        value = _expect(self.fields.get(name), (int, float), f"{self.kind}.{name}")
        try:
            return float(value)
        except OverflowError as error:  # an integer of hundreds of digits
            raise ProtocolError(f"{self.kind}.{name}: too large") from error

    def flag(self, name: str) -> bool:
        value = self.fields.get(name)
        if not isinstance(value, bool):
            raise ProtocolError(f"{self.kind}.{name}: {value!r} is not true or false")
        return value

    def pair(self, name: str) -> tuple[int, int]:
        """Two integers of at least 1: a width and a height."""
        value = self.fields.get(name)
        if not isinstance(value, list) or len(value) != 2:
            raise ProtocolError(f"{self.kind}.{name}: {value!r} is not a pair")
        first, second = (_expect(v, int, f"{self.kind}.{name}") for v in value)
        if first < 1 or second < 1:
            raise ProtocolError(f"{self.kind}.{name}: {value!r} is not a size")
        return first, second


def encode(kind: str, **fields: Any) -> bytes:
    """One header as UTF-8 JSON."""
    return _ENCODER.encode({"v": VERSION, "kind": kind, **fields}).encode()


def decode(data: bytes) -> Header:
    """Read a header.

    Raises:
        ProtocolError: anything that ``encode`` of this version did not make.
    """
    if len(data) > MAX_HEADER_BYTES:
        raise ProtocolError(f"header of {len(data)} bytes: more than {MAX_HEADER_BYTES}")
    try:
        body = _DECODER.decode(data.decode())
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"header is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise ProtocolError(f"header is a {type(body).__name__}, not an object")
    if body.get("v") != VERSION or isinstance(body.get("v"), bool):
        raise ProtocolError(f"header version {body.get('v')!r}: this program speaks {VERSION}")
    kind = body.get("kind")
    if not isinstance(kind, str):
        raise ProtocolError(f"header kind {kind!r} is not a string")
    return Header(kind, {k: v for k, v in body.items() if k not in ("v", "kind")})


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


# Made once: json.dumps and json.loads make one for each call that is given options.
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _expect(value: Any, kind: type | tuple[type, ...], name: str) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ProtocolError(f"{name}: {value!r} has the wrong type")
    if isinstance(value, float) and not abs(value) < float("inf"):
        raise ProtocolError(f"{name}: {value!r} is not finite")
    return value
