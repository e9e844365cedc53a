"""Photographs that come in by HTTP: into a folder of their own on the disk, and gone when they have been looked at."""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
import unicodedata
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from aiohttp import BodyPartReader, web

from streamd.gateway.operations import Refused

logger = logging.getLogger(__name__)

MOST_PHOTOS = 50
MAX_PHOTO_BYTES = 20 * 1024 * 1024
MAX_TOTAL_BYTES = 400 * 1024 * 1024
FREE_BYTES = 200 * 1024 * 1024
"""Left on the disk, for the journal."""
CHUNK_S = 20.0
"""How long nothing may come before an upload is given up."""
LONGEST_S = 600.0
FIELD = "photo"


@asynccontextmanager
async def uploaded(request: web.Request, state_dir: Path) -> AsyncIterator[list[Path]]:
    """The photos of a form, as files; deleted afterwards.

    Raises:
        Refused: not a form, too many, too large, too slow, or no room for them.
    """
    if request.content_type != "multipart/form-data":
        raise Refused(415, "unsupported", "photos come as multipart/form-data, in fields called 'photo'")
    if (request.content_length or 0) > MAX_TOTAL_BYTES:
        raise Refused(413, "too_large", f"together at most {MAX_TOTAL_BYTES >> 20} MB at a time, in several uploads")
    with scratch(state_dir) as folder:
        yield await _received(request, folder)


@contextmanager
def scratch(state_dir: Path) -> Iterator[Path]:
    """A folder for pictures that are gone afterwards. Raises Refused: the disk does not take it."""
    root = state_dir / "uploads"
    try:
        root.mkdir(mode=0o700, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=root))
    except OSError as error:
        raise Refused(503, "unavailable", f"photos cannot be kept: {error.strerror}") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _received(request: web.Request, folder: Path) -> list[Path]:
    try:
        async with asyncio.timeout(LONGEST_S):
            return await _read(request, folder)
    except TimeoutError as error:
        raise Refused(408, "invalid", "the photos did not come in time") from error
    except ConnectionError:  # whoever sent them is gone
        raise
    except OSError as error:
        raise Refused(503, "unavailable", f"photos cannot be kept: {error.strerror or error}") from error


async def _read(request: web.Request, folder: Path) -> list[Path]:
    try:
        reader = await request.multipart()
        found: list[Path] = []
        total = 0
        while (part := await asyncio.wait_for(reader.next(), CHUNK_S)) is not None:
            if not isinstance(part, BodyPartReader) or part.name != FIELD:
                raise Refused(422, "invalid", f"there is a field other than {FIELD!r}")
            if len(found) >= MOST_PHOTOS:
                raise Refused(413, "too_large", f"at most {MOST_PHOTOS} photos at a time")
            # Each in a folder of its own: two may have the same name.
            path = folder / str(len(found)) / _file_name(part.filename)
            path.parent.mkdir()
            total += await _keep(part, path, room=MAX_TOTAL_BYTES - total)
            found.append(path)
    except (ValueError, AssertionError, RuntimeError) as error:
        raise Refused(422, "invalid", f"not a form as it should be: {str(error)[:200]}") from error
    except web.RequestPayloadError as error:
        raise Refused(400, "invalid", "the form is damaged") from error
    if not found:
        raise Refused(422, "invalid", "there is no photo in it")
    return found


async def _keep(part: BodyPartReader, path: Path, *, room: int) -> int:
    """Write a photo to the disk; how many bytes it has."""
    size = 0
    if shutil.disk_usage(path.parent).free < FREE_BYTES:
        raise Refused(503, "unavailable", "the disk is nearly full: no photos are taken")
    with path.open("xb") as file:
        while chunk := await asyncio.wait_for(part.read_chunk(64 * 1024), CHUNK_S):
            size += len(chunk)
            if size > min(MAX_PHOTO_BYTES, room):
                raise Refused(413, "too_large", f"{path.name}: a photo has at most {MAX_PHOTO_BYTES >> 20} MB")
            file.write(chunk)
    return size


def _file_name(given: str | None) -> str:
    """The last part of what the browser calls it, printable; with it the photo is told of, and kept in the gallery."""
    name = unicodedata.normalize("NFC", (given or "photo").replace("\\", "/").rpartition("/")[2])
    name = "".join(c if c.isprintable() else "_" for c in name).strip(". ")
    stem, dot, suffix = name.rpartition(".")
    short = f"{stem[:80]}{dot}{suffix[:10]}" if dot else name[:80]
    return short or "photo"


def tidy_uploads(state_dir: Path) -> None:
    """What a gateway that was killed left behind."""
    shutil.rmtree(state_dir / "uploads", ignore_errors=True)
