"""Changes of the configuration file by program: a few keys, with every comment and all else left as it is.

The changed text is validated as a whole before it takes the place of the old one, in one step.
"""

from __future__ import annotations

import io
import os
import re
import tempfile
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streamd.config import Config
from streamd.configfile import load_config, load_text
from streamd.errors import UnavailableError, UsageError

Change = Callable[[MutableMapping[str, Any]], None]
"""Changes the document in place: mappings and plain values, without substitution."""
_WIDTH = 4096
"""Longer lines would be folded."""


class ConfigFile:
    """A configuration file that is read again where it changed, and that can be changed. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: tuple[int, int, int] | None = None
        self._config: Config | None = None

    def config(self) -> Config:
        """What the file says now. Raises ConfigError."""
        stamp = self._stamped()
        config = self._config
        if config is None or stamp != self._stamp:
            config = load_config(self.path)
            self._config, self._stamp = config, stamp
        return config

    def edit(self, change: Change) -> Config:
        """Change the file, and give what it says then.

        Raises:
            ConfigError: the file, or what would become of it, is not valid; it stays as it was.
            UnavailableError: it cannot be written.
            UsageError: it was changed meanwhile; or what ``change`` raises.
        """
        text = self._read()
        changed = edited(text, change)
        config = load_text(changed, file=str(self.path), base=self.path.absolute().parent)
        if self._read() != text:
            raise UsageError(f"{self.path} was changed by somebody else just now: look at it again")
        _replace(self.path, changed)
        return config

    @property
    def writable(self) -> bool:
        """Whether ``edit`` may work."""
        return os.access(self.path, os.W_OK) and os.access(self.path.absolute().resolve().parent, os.W_OK)

    def _stamped(self) -> tuple[int, int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _read(self) -> str:
        try:
            return self.path.read_text("utf-8-sig")
        except OSError as error:
            raise UnavailableError(f"{self.path}: cannot be read: {error.strerror or error}") from error


def edited(text: str, change: Change) -> str:
    """``text`` with a change, everything else as it was.

    Raises:
        UsageError: the text is no YAML mapping.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.error import YAMLError

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = _WIDTH
    yaml.indent(**_indentation(text))
    try:
        document = yaml.load(text)
    except YAMLError as error:
        raise UsageError(f"the configuration cannot be changed while it is no YAML: {error}") from error
    if not isinstance(document, CommentedMap):
        raise UsageError("the configuration cannot be changed: it holds no 'key: value' lines")
    change(document)
    out = io.StringIO()
    yaml.dump(document, out)
    return out.getvalue()


def _indentation(text: str) -> dict[str, int]:
    """As the file has it: of nested keys, of list items with their dash, and of the dash."""
    nested = _NESTED.search(text)
    mapping = len(nested[2]) - len(nested[1]) if nested else 2
    item = _ITEM.search(text)
    offset = len(item[2]) - len(item[1]) if item else 2
    return {"mapping": max(1, mapping), "sequence": offset + 2, "offset": offset}


_NESTED = re.compile(r"^( *)[^\s#][^\n]*:[ \t]*(?:#[^\n]*)?\n(?:[ \t]*(?:#[^\n]*)?\n)*(\1 +)[^\s#-]", re.MULTILINE)
_ITEM = re.compile(r"^( *)[^\s#][^\n]*:[ \t]*(?:#[^\n]*)?\n(?:[ \t]*(?:#[^\n]*)?\n)*(\1 *)- ", re.MULTILINE)


def section(document: MutableMapping[str, Any], *path: str) -> MutableMapping[str, Any]:
    """The mapping at a path, made where it is not there."""
    from ruamel.yaml.comments import CommentedMap

    for key in path:
        below = document.get(key)
        if not isinstance(below, MutableMapping) or (not below and getattr(below, "fa", None) is not None):
            # An empty ``{}`` stands on one line, which would have what is added to it on that line, too.
            document[key] = below = CommentedMap()
        document = below
    return document


def _replace(path: Path, text: str) -> None:
    """In one step, with the file's mode and owner; a link stays a link."""
    target = path.resolve()
    try:
        status = target.stat()
        with _scratch(target) as (descriptor, name):
            os.fchmod(descriptor, status.st_mode & 0o7777)
            if (status.st_uid, status.st_gid) != (os.getuid(), os.getgid()) and os.getuid() == 0:
                os.fchown(descriptor, status.st_uid, status.st_gid)
            with os.fdopen(os.dup(descriptor), "wb") as file:
                file.write(text.encode())
            os.fsync(descriptor)
            Path(name).replace(target)
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be written: {error.strerror or error}") from error


@contextmanager
def _scratch(target: Path) -> Iterator[tuple[int, str]]:
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        yield descriptor, name
    finally:
        os.close(descriptor)
        Path(name).unlink(missing_ok=True)
