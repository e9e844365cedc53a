"""The configuration's manual as a configuration file: every key, its default and its sentence."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from streamd.config import SECTIONS_PER_CAMERA, CameraConfig, Config
from streamd.sinkconfig import SINK_KINDS
from streamd.zoneconfig import ZoneConfig

WIDTH = 100

_INTRODUCTION = """\
Every key of streamd, with its default: the output of 'streamd check --print-defaults'. A file needs only what
differs; config/minimal.yaml is a whole one. Names end in their unit: _s seconds, _ms milliseconds, _px pixels.
In texts, ${NAME} and ${NAME:-default} take an environment variable, ${cred:name} a file of
$CREDENTIALS_DIRECTORY (systemd's LoadCredential=), and $$ is a dollar sign. Relative paths start at this file's
folder, ~ is the home directory. Keys without a value take what their sentence says.
"""
_EXAMPLES: dict[str, str] = {"state_dir": "/var/lib/streamd"}
"""Shown commented out where the default depends on the host."""
_CAMERA_EXAMPLE: dict[str, Any] = {
    "door": {
        "url": "rtsp://viewer:${DOOR_PASSWORD}@192.0.2.10/stream1",
        "detection": {"min_face_px": 60},
        "zones": {"step": {"points": [[0.2, 0.3], [0.8, 0.3], [0.8, 1], [0.2, 1]], "dwell_s": 2}},
        "masks": [[[0, 0], [0.3, 0], [0, 0.2]]],
    },
    "yard": {"remote": True},
}
_SINK_EXAMPLES: dict[str, Any] = {
    "url": "scheme://host",
    "path": "/var/log/streamd/events.jsonl",
    "command": ["/usr/local/bin/ring-the-bell"],
}


def manual() -> str:
    """YAML that loads as all defaults."""
    lines = [*_comment(_INTRODUCTION)]
    for name, field in Config.model_fields.items():
        if name == "cameras":
            lines += ["", *_cameras(field)]
        elif name == "sinks":
            lines += ["", *_sinks(field)]
        elif isinstance(field.default, BaseModel):
            lines += ["", *_section(name, type(field.default))]
        else:
            lines += ["", *_key(name, field)]
    return "\n".join(lines) + "\n"


def _section(name: str, section: type[BaseModel]) -> Iterator[str]:
    text = inspect.getdoc(section) or ""
    yield from _comment(text.replace("per camera", f"per camera, under cameras.<name>.{name}"))
    yield f"{name}:"
    for key, field in section.model_fields.items():
        yield from textwrap.indent("\n".join(_key(key, field)), "  ").splitlines()


def _key(name: str, field: FieldInfo) -> Iterator[str]:
    yield from _comment(f"{field.description} {_choices(field.annotation)}")
    if name in _EXAMPLES:
        yield f"# {name}: {_EXAMPLES[name]}"
    else:
        yield _assignment(name, field.default)


def _cameras(field: FieldInfo) -> Iterator[str]:
    yield from _comment(f"{field.description} Each may have its own {', '.join(SECTIONS_PER_CAMERA)}.")
    for name in ("url", "substream", "whip_token", "remote", "zones", "masks"):
        yield from _comment(f"{name}: {CameraConfig.model_fields[name].description}")
    yield from _comment("Each of the zones has:")
    for name, zone in ZoneConfig.model_fields.items():
        yield from _comment(f"{name}: {zone.description} {_choices(zone.annotation)}")
    yield "cameras: {}"
    for line in yaml.safe_dump(_CAMERA_EXAMPLE, sort_keys=False, width=WIDTH, default_flow_style=None).splitlines():
        yield f"#   {line}"


def _sinks(field: FieldInfo) -> Iterator[str]:
    yield from _comment(f"{field.description} What each kind takes, with its defaults:")
    yield "sinks: {}"
    for kind, section in SINK_KINDS.items():
        yield "#"
        yield from _comment(inspect.getdoc(section) or "")
        yield f"#   my-{kind}:"
        yield f"#     kind: {kind}"
        fields = [(key, entry) for key, entry in section.model_fields.items() if key != "kind"]
        for key, entry in sorted(fields, key=lambda item: not item[1].is_required()):
            for line in _comment(f"{entry.description} {_choices(entry.annotation)}"):
                yield f"#     {line}"
            value = _SINK_EXAMPLES.get(key) if entry.is_required() else entry.default
            shown = _assignment(key, list(value) if isinstance(value, tuple) else value)
            yield from textwrap.indent(shown, "#     ").splitlines()


def _assignment(name: str, value: Any) -> str:
    if value is None:
        return f"{name}:"
    return yaml.safe_dump({name: value}, width=WIDTH).rstrip("\n")


def _choices(annotation: Any) -> str:
    if get_origin(annotation) is not Literal or len(get_args(annotation)) < 2:
        return ""
    return f"One of: {', '.join(get_args(annotation))}."


def _comment(text: str) -> Iterator[str]:
    for line in textwrap.wrap(" ".join(text.replace("``", "`").split()), WIDTH - 2):
        yield f"# {line}"
