"""What pydantic says of a value, in words for whoever wrote the file."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel

from streamd.config import CameraConfig, Config
from streamd.sinkconfig import SINK_KINDS
from streamd.zoneconfig import ZoneConfig

_PATTERNS = (
    ("^(tcp://", "should be like tcp://127.0.0.1:5571, or ipc:///run/streamd/events"),
    ("^tcp://", "should be like tcp://127.0.0.1:5571"),
    ("^(auto|cpu", "should be auto, cpu, or cuda:0"),
    ("^([A-Za-z0-9._-]+|", "should be an address and a port, like 127.0.0.1:8470"),
    ("^scrypt:", "should be a hash, as 'streamd user add' makes it, never the password itself"),
    ("^sha256:", "should be a hash, as 'streamd user token' makes it, never the token itself"),
    ("^[A-Za-z0-9][A-Za-z0-9._@", "a name should be 1 to 63 letters, digits, '.', '_', '@' and '-'"),
    ("^[a-z0-9]", "a label's key should be 1 to 32 of a-z, 0-9, '-' and '_', the first a letter or digit"),
    (
        "^[A-Za-z0-9]",
        "a name should be 1 to 63 letters, digits, '-' and '_', the first a letter or digit",
    ),
)
_KINDS = {
    "bool_type": "should be true or false",
    "bool_parsing": "should be true or false",
    "int_type": "should be a whole number",
    "int_parsing": "should be a whole number",
    "int_parsing_size": "should be a smaller number",
    "int_from_float": "should be a whole number",
    "float_type": "should be a number",
    "float_parsing": "should be a number",
    "finite_number": "should be a finite number",
    "string_type": "should be text (in quotes, where it looks like a number)",
    "string_too_short": "should not be empty",
    "path_type": "should be a path",
    "missing": "is needed",
    "union_tag_not_found": f"'kind' is needed: {', '.join(SINK_KINDS)}",
    "union_tag_invalid": f"'kind' should be one of {', '.join(SINK_KINDS)}",
    "tuple_type": "should be a list",
    "list_type": "should be a list",
    "model_type": "should hold 'key: value' lines",
    "dict_type": "should hold 'key: value' lines",
}
LONGEST_SHOWN = 60


def problem_words(error: Mapping[str, Any], text: str) -> str:
    """One pydantic error in words. ``text`` is the value as the file has it, '' where it is not a scalar."""
    kind, path = error["type"], tuple(error["loc"])
    if kind == "extra_forbidden":
        return unknown_key(path)
    if kind in ("value_error", "assertion_error"):
        return str(error["msg"]).partition(", ")[2]
    if kind in ("missing", "union_tag_not_found", "union_tag_invalid"):
        return _KINDS[kind]
    if kind == "too_short":
        least = error["ctx"]["min_length"]
        return f"should have at least {least} {'item' if least == 1 else 'items'}, not {len(error['input'])}"
    return _rule(error) + _contrast(path, error["input"], text)


def _rule(error: Mapping[str, Any]) -> str:
    pattern = str(error.get("ctx", {}).get("pattern", ""))
    for start, words in _PATTERNS:
        if pattern.startswith(start):
            return words
    if error["type"] in _KINDS:
        return _KINDS[error["type"]]
    return str(error["msg"]).removeprefix("Input ").replace("'", "")


def _contrast(path: tuple[Any, ...], value: Any, text: str) -> str:
    if path[-1:] in (
        ("url",),
        ("[key]",),
        ("password",),
        ("token",),
        ("whip_token",),
    ):  # may hold a password; stands in the path anyway
        return ""
    if value is None:
        return ", but is empty; leave the key out for its default"
    if isinstance(value, dict | list):
        return f", not a {'list' if isinstance(value, list) else 'mapping'}"
    return f", not {_shortened(text)}" if text else ""


def _shortened(text: str) -> str:
    """One line; what was substituted is not in it, because ``text`` is the file's own."""
    line = " ".join(text.split())
    return repr(line if len(line) <= LONGEST_SHOWN else line[: LONGEST_SHOWN - 3] + "...")


def unknown_key(path: tuple[Any, ...]) -> str:
    """What to do about a key that its section does not have."""
    section, key = _section(path[:-1]), str(path[-1])
    known = sorted(section.model_fields) if section else []
    if close := difflib.get_close_matches(key.lower(), known, n=1):
        return f"unknown key; did you mean '{close[0]}'?"
    if homes := list(_homes(key)):
        return f"unknown key; it belongs in {' or '.join(homes)}"
    return f"unknown key; known here: {', '.join(known)}"


def _section(path: tuple[Any, ...]) -> type[BaseModel] | None:
    """The model that validates what stands at ``path``."""
    model: Any = Config
    before = None
    for key in path:
        if model is dict:
            model = ZoneConfig if before == "zones" else CameraConfig
        elif path[0] == "sinks" and key in SINK_KINDS:
            model = SINK_KINDS[key]
        elif isinstance(model, type) and issubclass(model, BaseModel) and key in model.model_fields:
            annotation = model.model_fields[key].annotation
            model = dict if get_args(annotation) else annotation
        else:
            return None
        before = key
    return model if isinstance(model, type) and issubclass(model, BaseModel) else None


def _homes(key: str) -> Iterable[str]:
    """Sections that have such a key."""
    if key in CameraConfig.model_fields and key not in Config.model_fields:
        yield "'cameras.<name>'"
    for name, field in Config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            if key in field.annotation.model_fields:
                yield f"'{name}'"
        elif name == key:
            yield "the top level"


def section_names() -> frozenset[str]:
    """Top-level keys that hold further keys."""
    return frozenset(
        name
        for name, field in Config.model_fields.items()
        if isinstance(field.default, BaseModel) or name in ("cameras", "search")
    )
