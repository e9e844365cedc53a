"""The approximate index on disk: a cache, which is taken only where everything about it agrees with the gallery.

Two files beside the gallery: ``index-<model>.graph`` is hnswlib's own, ``index-<model>.rows`` says what each of its
rows stands for, after a line of JSON with the fingerprint: how far it goes, the model, dimension and count, and the
checksums.
Of an encrypted gallery both are sealed in chunks, and the graph is read through memory alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import BufferedRandom
from pathlib import Path
from typing import IO, Any

import numpy as np

from streamd.errors import GalleryError
from streamd.gallery.delta import Mark
from streamd.gallery.hnsw import Graph, GraphRows, HnswIndex
from streamd.gallery.vault import Vault

_FORMAT = "streamd.index/1"
_CHUNK_BYTES = 8 * 1024 * 1024
_LENGTH = struct.Struct("<Q")


class StaleIndex(Exception):
    """What is saved does not fit; says why."""


@dataclass(frozen=True, slots=True, eq=False)
class SavedIndex:
    index: HnswIndex
    mark: Mark
    """How far the gallery is in it."""


def index_files(gallery: Path) -> list[Path]:
    """Everything that is saved beside this gallery, half-written files included."""
    return sorted(gallery.parent.glob("index-*.graph*")) + sorted(gallery.parent.glob("index-*.rows*"))


def drop_saved(gallery: Path) -> int:
    """Delete what is saved; returns how many files went."""
    files = index_files(gallery)
    for file in files:
        file.unlink(missing_ok=True)
    return len(files)


def save_index(gallery: Path, model_id: str, saved: SavedIndex, vault: Vault | None) -> None:
    """Write both files; a reader finds the old ones, the new ones, or none that agree. Raises OSError."""
    graph_path, rows_path = _paths(gallery, model_id)
    graph_sum = _write_graph(saved.index.graph, graph_path, vault)
    rows = saved.index.rows
    parts = [rows.face_ids.tobytes(), rows.codes.tobytes(), json.dumps(rows.people).encode()]
    body = b"".join(parts)
    header = {
        "format": _FORMAT,
        "model": model_id,
        "mark": asdict(saved.mark),
        "count": len(rows.face_ids),
        "dim": saved.index.graph.dim,
        "ef": saved.index.graph.ef,
        "sealed": vault is not None,
        "graph": graph_sum,
        "rows": _sum(body),
    }
    with _replacing(rows_path) as (file, _):
        file.write(json.dumps(header).encode() + b"\n")
        _write_sealed(file, body, vault)


def load_index(gallery: Path, model_id: str, vault: Vault | None) -> SavedIndex | None:
    """What was saved; None where nothing was. Raises StaleIndex where it is damaged, or of another model or key."""
    graph_path, rows_path = _paths(gallery, model_id)
    if not rows_path.exists():
        return None
    try:
        return _load(graph_path, rows_path, model_id, vault)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, struct.error, GalleryError) as error:
        raise StaleIndex(f"cannot be read ({error})") from error


def _load(graph_path: Path, rows_path: Path, model_id: str, vault: Vault | None) -> SavedIndex:
    with rows_path.open("rb") as file:
        header: dict[str, Any] = json.loads(file.readline(64 * 1024))
        for name, expected in (("format", _FORMAT), ("model", model_id), ("sealed", vault is not None)):
            if header[name] != expected:
                raise StaleIndex(f"{name} is {header[name]!r}, not {expected!r}")
        body = _read_sealed(file, vault)
    if _sum(body) != header["rows"]:
        raise StaleIndex("the checksum of its rows does not fit")
    count = int(header["count"])
    face_ids = np.frombuffer(body, np.int64, count)
    codes = np.frombuffer(body, np.int32, count, offset=face_ids.nbytes)
    people = [str(person) for person in json.loads(body[face_ids.nbytes + codes.nbytes :])]
    with _readable(graph_path, vault) as (path, checksum):
        if checksum != header["graph"]:
            raise StaleIndex("the checksum of its graph does not fit")
        graph = Graph.load(path, size=count, dim=int(header["dim"]), ef=int(header["ef"]))
    return SavedIndex(HnswIndex.restored(graph, GraphRows(face_ids, codes, people)), Mark(**header["mark"]))


def _paths(gallery: Path, model_id: str) -> tuple[Path, Path]:
    stem = "index-" + re.sub(r"[^A-Za-z0-9_.-]", "_", model_id)
    return gallery.with_name(stem + ".graph"), gallery.with_name(stem + ".rows")


@contextmanager
def _replacing(path: Path) -> Iterator[tuple[BufferedRandom, Path]]:
    """A file of this user's alone, and where it lies, which takes the place of ``path`` in the end; nothing is left of
    one that cannot be written."""
    scratch = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(scratch, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w+b") as file:
            yield file, scratch
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def _write_graph(graph: Graph, path: Path, vault: Vault | None) -> str:
    with _replacing(path) as (file, scratch):
        if vault is None:
            graph.save(scratch)
        else:
            with _memory() as (memory, plain):
                graph.save(plain)
                memory.seek(0)
                while chunk := memory.read(_CHUNK_BYTES):
                    _write_chunk(file, vault.seal(chunk))
            file.flush()
        file.seek(0)
        return hashlib.file_digest(file, "blake2b").hexdigest()


@contextmanager
def _readable(path: Path, vault: Vault | None) -> Iterator[tuple[Path, str]]:
    """A path that hnswlib can read, and the checksum of what is on the disk."""
    with path.open("rb") as file:
        checksum = hashlib.file_digest(file, "blake2b").hexdigest()
        if vault is None:
            yield path, checksum
            return
        file.seek(0)
        with _memory() as (memory, plain):
            while chunk := _read_chunk(file):
                memory.write(vault.open(chunk))
            memory.flush()
            yield plain, checksum


@contextmanager
def _memory() -> Iterator[tuple[IO[bytes], Path]]:
    """A file that never touches the disk."""
    descriptor = os.memfd_create("streamd-index")
    with os.fdopen(descriptor, "w+b") as file:
        yield file, Path(f"/proc/self/fd/{descriptor}")


def _write_sealed(file: IO[bytes], data: bytes, vault: Vault | None) -> None:
    for at in range(0, len(data), _CHUNK_BYTES):
        chunk = data[at : at + _CHUNK_BYTES]
        _write_chunk(file, chunk if vault is None else vault.seal(chunk))


def _read_sealed(file: IO[bytes], vault: Vault | None) -> bytes:
    chunks = []
    while chunk := _read_chunk(file):
        chunks.append(chunk if vault is None else vault.open(chunk))
    return b"".join(chunks)


def _write_chunk(file: IO[bytes], data: bytes) -> None:
    file.write(_LENGTH.pack(len(data)))
    file.write(data)


def _read_chunk(file: IO[bytes]) -> bytes:
    head = file.read(_LENGTH.size)
    if not head:
        return b""
    (length,) = _LENGTH.unpack(head)
    if length > 2 * _CHUNK_BYTES:
        raise ValueError(f"a chunk of {length} bytes")
    data = file.read(length)
    if len(data) != length:
        raise ValueError("the file ends early")
    return data


def _sum(data: bytes) -> str:
    return hashlib.blake2b(data).hexdigest()
