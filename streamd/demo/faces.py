"""The faces of the demonstration: what they are, under which licence, and where they come from."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import yaml

from streamd.vision.fetch import Source, fetch, parse_sources
from streamd.vision.progress import Progress

_FETCHES_AT_ONCE = 2
"""pip spends most of its time on one core: two at a time halve the wait of an edge box."""


@dataclass(frozen=True, slots=True)
class FaceFile:
    """One photograph or video, with the hash that it must have."""

    name: str
    shows: str
    licence: str
    sha256: str
    sources: tuple[Source, ...]


def face_files() -> tuple[FaceFile, ...]:
    """Everything listed in ``faces.yaml``."""
    text = resources.files("streamd.demo").joinpath("faces.yaml").read_text(encoding="utf-8")
    return tuple(
        FaceFile(name, row["shows"], row["licence"], row["sha256"], parse_sources(row["sources"]))
        for name, row in yaml.safe_load(text).items()
    )


def pull_faces(target: Path, *, progress: Progress | None = None) -> dict[str, Path]:
    """Make sure that every face is in the folder ``target``; the paths by file name.

    Raises:
        ModelError: a file could not be had, or is not the one expected.
    """

    def pull(face: FaceFile) -> Path:
        return fetch(
            face.name,
            sources=face.sources,
            sha256=face.sha256,
            target=target / face.name,
            progress=progress,
        )

    files = face_files()
    with ThreadPoolExecutor(_FETCHES_AT_ONCE, thread_name_prefix="faces") as pool:
        return {face.name: path for face, path in zip(files, pool.map(pull, files), strict=True)}
