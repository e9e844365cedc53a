"""Reads a configuration file: YAML, substitution, merged sections, validation; all problems at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from streamd.config import SECTIONS_PER_CAMERA, Config, redact
from streamd.configrules import broken_rules
from streamd.configtree import KeyPath, Place, Tree, parse
from streamd.configversions import NewerVersion, migrate
from streamd.configwords import problem_words, section_names
from streamd.errors import ConfigError, ConfigProblem
from streamd.sinkconfig import SINK_KINDS
from streamd.substitution import expand

MAX_BYTES = 1_000_000
STANDARD_FILES = (Path("streamd.yaml"), Path("/etc/streamd/streamd.yaml"))
FILE_VARIABLE = "STREAMD_CONFIG"

_PATHS: tuple[KeyPath, ...] = (
    ("state_dir",),
    ("runtime_dir",),
    ("models_dir",),
    ("gallery", "folder"),
    ("gallery", "key_file"),
    ("gallery", "uri"),
    ("frames", "server_key"),
    ("frames", "clients"),
    ("gateway", "certificate"),
    ("gateway", "key"),
)
"""Keys whose relative values are relative to the file's folder."""
_SECTIONS = section_names()
_MAX_ROUNDS = 8


def find_config() -> Path | None:
    """``$STREAMD_CONFIG``, else the first standard file there is, else None."""
    if given := os.environ.get(FILE_VARIABLE):
        return Path(given)
    return next((path for path in STANDARD_FILES if _may_be_there(path)), None)


def _may_be_there(path: Path) -> bool:
    try:
        return path.is_file()
    except PermissionError:  # in a folder that this user may not enter: reading it says so in words
        return True


def load_config(path: Path | None) -> Config:
    """The configuration in ``path``; without one, in the file that ``find_config`` names, else all defaults.

    Raises:
        ConfigError: every problem of the file at once, each with file, line and column.
    """
    found = path or find_config()
    if found is None:
        return load_text("version: 1", file="(defaults)", base=Path.cwd())
    return load_text(_read(found), file=str(found), base=found.absolute().parent)


def load_text(text: str, *, file: str, base: Path) -> Config:
    """The configuration in ``text``. Relative paths in it are relative to ``base``; ``file`` is for messages.

    Raises:
        ConfigError: every problem at once, sorted by line.
    """
    tree = parse(text, file=file, expand=expand)
    report = _Report(tree)
    for path in tree.spoilt:
        _remove(tree.value, path)
    _migrate(tree)
    data = _merged(_sections_filled(tree.value))
    for path in _path_keys(data):
        _make_absolute(data, path, base, report)
    config = _validated(data, report)
    if config is not None:
        for rule in broken_rules(config):
            if not any(report.touched(path) for path in rule.involved):
                report.add(report.most_specific(rule.involved), rule.message)
    if report.problems or config is None:
        raise ConfigError(report.sorted())
    return config


def _migrate(tree: Tree) -> None:
    """What else is wrong with a file for another program says nothing."""
    try:
        migrate(tree.value)
    except NewerVersion as error:
        place = tree.places[("version",)]
        raise ConfigError([ConfigProblem(tree.file, place.line, place.column, "version", str(error))]) from error


def _read(path: Path) -> str:
    def refuse(message: str, line: int = 0) -> ConfigError:
        return ConfigError([ConfigProblem(str(path), line, 1 if line else 0, "", message)])

    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise refuse(f"cannot be read: {(error.strerror or str(error)).lower()}") from error
    if len(data) > MAX_BYTES:
        raise refuse(f"larger than {MAX_BYTES} bytes; a configuration never is")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise refuse(f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8", line) from error


class _Report:
    """Problems found so far, each at the place of its key, none twice."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._bad: set[KeyPath] = set(tree.spoilt)
        self.problems: dict[tuple[int, int, str], ConfigProblem] = {}
        for problem in tree.problems:
            self._keep(problem)

    def add(self, path: KeyPath, message: str) -> None:
        home, place = self._home(path)
        if home in self._bad:
            return
        self._keep(ConfigProblem(self._tree.file, place.line, place.column, ".".join(home), message))

    def spoil(self, path: KeyPath) -> None:
        self._bad.add(path)
        self._bad.add(self._home(path)[0])

    def text(self, path: KeyPath) -> str:
        return self._home(path)[1].text

    def touched(self, path: KeyPath) -> bool:
        """Whether the value at ``path``, or what it stands in, already has a problem."""
        return any(path[:n] in self._bad for n in range(1, len(path) + 1))

    def touched_inside(self, path: KeyPath) -> bool:
        """Whether some value directly within ``path`` already has a problem."""
        return any(bad[:-1] == path for bad in self._bad)

    def most_specific(self, paths: Iterable[KeyPath]) -> KeyPath:
        """The first path that the file itself holds; defaults have no place."""
        candidates = tuple(paths)
        return next((p for p in candidates if self._origin(p) in self._tree.places), candidates[0])

    def sorted(self) -> list[ConfigProblem]:
        return sorted(self.problems.values(), key=lambda p: (p.line, p.column, p.path))

    def _keep(self, problem: ConfigProblem) -> None:
        clean = ConfigProblem(problem.file, problem.line, problem.column, redact(problem.path), redact(problem.message))
        # An anchor's or a merged section's problem comes once per use.
        self.problems.setdefault((clean.line, clean.column, clean.message), clean)

    def _origin(self, path: KeyPath) -> KeyPath:
        """Where a merged key was written: what a camera does not give itself is the global section's."""
        if path in self._tree.places or len(path) < 4 or path[0] != "cameras":
            return path
        return path[2:] if path[2] in SECTIONS_PER_CAMERA and path[2:] in self._tree.places else path

    def _home(self, path: KeyPath) -> tuple[KeyPath, Place]:
        """The path as written and its place; for what is not written, the place of the section around it."""
        home = self._origin(path)
        for n in range(len(home), 0, -1):
            if home[:n] in self._tree.places:
                return home, self._tree.places[home[:n]]
        return home, Place(1, 1) if self._tree.places else Place(0, 0)


def _sections_filled(value: dict[str, Any]) -> dict[str, Any]:
    """A section left empty (``capture:``, its keys commented out) means its defaults."""
    filled = {key: {} if item is None and key in _SECTIONS else item for key, item in value.items()}
    cameras = filled.get("cameras")
    if isinstance(cameras, dict):
        filled["cameras"] = {name: {} if camera is None else camera for name, camera in cameras.items()}
    return filled


def _merged(value: dict[str, Any]) -> dict[str, Any]:
    """The global sections under each camera's own, key by key."""
    cameras = value.get("cameras")
    if not isinstance(cameras, dict):
        return value
    return value | {"cameras": {name: _camera_merged(camera, value) for name, camera in cameras.items()}}


def _camera_merged(camera: Any, top: dict[str, Any]) -> Any:
    if not isinstance(camera, dict):
        return camera
    merged = dict(camera)
    for section in SECTIONS_PER_CAMERA:
        ours, own = top.get(section), camera.get(section)
        if isinstance(ours, dict):
            merged[section] = _laid_over(ours, own) if isinstance(own, dict) else (ours if own is None else own)
        elif own is None:
            merged.pop(section, None)
    return merged


def _laid_over(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    laid = dict(under)
    for key, value in over.items():
        below = laid.get(key)
        laid[key] = _laid_over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return laid


def _path_keys(data: dict[str, Any]) -> Iterator[KeyPath]:
    yield from _PATHS
    cameras = data.get("cameras")
    for name in cameras if isinstance(cameras, dict) else ():
        yield ("cameras", name, "url")
    sinks = data.get("sinks")
    for name in sinks if isinstance(sinks, dict) else ():
        for key in ("path", "ca_file", "credentials"):
            yield ("sinks", name, key)


def _make_absolute(data: dict[str, Any], path: KeyPath, base: Path, report: _Report) -> None:
    parent: Any = data
    for key in path[:-1]:
        parent = parent.get(key) if isinstance(parent, dict) else None
    value = parent.get(path[-1]) if isinstance(parent, dict) else None
    if not isinstance(value, str) or (
        path[-1] in ("url", "uri") and ("://" in value or value.lower().startswith("whip:"))
    ):
        return
    if not value:
        report.add(path, "should not be empty; leave the key out for its default")
        report.spoil(path)
        return
    try:
        parent[path[-1]] = str(base / Path(value).expanduser())
    except RuntimeError:
        report.add(path, "'~' has no meaning here: this user's home directory is not known; write the whole path")
        report.spoil(path)


def _validated(data: dict[str, Any], report: _Report) -> Config | None:
    """What is left of the configuration without the values that have problems, for the rules to look at."""
    for _ in range(_MAX_ROUNDS):
        try:
            return Config.model_validate(data)
        except ValidationError as invalid:
            for error in invalid.errors(include_url=False):
                path = _without_kind(tuple(str(key) for key in error["loc"] if key != "[key]"))
                # What lacks a value only because that was refused has no second problem.
                if not _follows(error) and (error["type"] != "value_error" or not report.touched_inside(path)):
                    report.add(path, problem_words(error, report.text(path)))
                report.spoil(path)
                # What lacks something that it needs is left out as a whole.
                _remove(data, path[:-1] if error["type"] == "missing" else path)
    return None


def _follows(error: ErrorDetails) -> bool:
    """Whether a list is too short only because some of its items are bad, which have problems of their own."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def _without_kind(path: KeyPath) -> KeyPath:
    """A sink's kind stands in pydantic's path, and not in the file's."""
    return path[:2] + path[3:] if path[:1] == ("sinks",) and path[2:3] and path[2] in SINK_KINDS else path


def _remove(data: dict[str, Any], path: KeyPath) -> None:
    """Take out what stands at ``path``, or the nearest thing around it."""
    parent = data
    for key in path[:-1]:
        below = parent.get(key)
        if not isinstance(below, dict):
            parent.pop(key, None)
            return
        parent = below
    if path:
        parent.pop(path[-1], None)
