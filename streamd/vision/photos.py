"""Photographs: files of any common kind to BGR pictures, upright, or one clear reason why not.

The size is read from the header before anything is decoded, because a file of a few kilobytes can claim
gigabytes of pixels.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from streamd.errors import PhotoRefused
from streamd.vision.photoheader import PhotoHeader, read_header

if TYPE_CHECKING:
    from streamd.domain import Image

MAX_PIXELS = 50_000_000
"""More are never decoded: 50 megapixels take 150 MB, and as much again on the way."""
MAX_JPEG_PIXELS = 250_000_000
"""A JPEG from a telephone of 200 megapixels is decoded at half its size, in the memory of its half."""
_REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
MAX_FILE_BYTES = 200 * 1024 * 1024
DETECTION_SIDE_PX = 1920
"""Faces are looked for in a copy of at most this longer side."""
_ROWS = 256
_REVERSED = {1: (1, 1), 2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}
"""By orientation: the order of rows and of columns, from 5 on after rows and columns were exchanged."""
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
"""File names (lower case) that are taken for photos in a folder."""


def read_photo(path: Path) -> Image:
    """The photo as BGR uint8 of shape (h, w, 3), turned upright by its EXIF orientation.

    Sixteen bits become eight, grey and CMYK become BGR, what is transparent becomes black (as what lies beyond the
    edge does when a face is cut), of several pictures in one file the first is taken, and a JPEG of more than
    ``MAX_PIXELS`` comes at a half or a quarter of its size.

    Raises:
        PhotoRefused: ``unreadable``, with the path and what is wrong with it.
    """
    return decode_photo(read_photo_bytes(path), origin=str(path))


def read_photo_bytes(path: Path) -> bytes:
    """The file's content. Raises PhotoRefused for what is missing, not a file, empty or far too large."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _check_status(os.fstat(descriptor), path)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                data = file.read(MAX_FILE_BYTES + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise _refused(path, "no such file") from None
    except PermissionError:
        raise _refused(path, "permission denied; make it readable for this user") from None
    except OSError as error:
        raise _refused(path, f"cannot be read: {(error.strerror or str(error)).lower()}") from error
    except ValueError as error:  # a zero byte in the name
        raise _refused(path, f"not a file name: {error}") from error
    if not data:
        raise _refused(path, "the file is empty")
    return data


def _check_status(status: os.stat_result, path: Path) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise _refused(path, "is a folder, not a photo")
    if not stat.S_ISREG(status.st_mode):
        raise _refused(path, "is not a regular file")
    if status.st_size > MAX_FILE_BYTES:
        raise _refused(path, f"{status.st_size} bytes is more than the {MAX_FILE_BYTES} that are read")


def decode_photo(data: bytes, *, origin: str = "photo") -> Image:
    """As ``read_photo``, from the file's bytes; ``origin`` names it in messages."""
    header = read_header(data)
    _check_header(header, data, origin)
    image = _decode(data, header)
    if image is None or image.dtype != np.uint8 or image.ndim != 3:
        raise _refused(origin, f"damaged or cut-off {header.kind} file; copy it again")
    return image


def shrink_for_detection(image: Image, longer_side_px: int = DETECTION_SIDE_PX) -> tuple[Image, float]:
    """A copy whose longer side is at most ``longer_side_px``, and its scale (1.0: the image itself)."""
    height, width = image.shape[:2]
    scale = longer_side_px / max(width, height)
    if scale >= 1.0:
        return image, 1.0
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8), scale


def _check_header(header: PhotoHeader, data: bytes, origin: str) -> None:
    if not header.supported:
        raise _refused(origin, f"{header.kind} is not a photo that can be read; use jpeg, png, webp, bmp or tiff")
    if header.width < 1 or header.height < 1:
        raise _refused(origin, f"damaged {header.kind} file: its header gives no size")
    most = MAX_JPEG_PIXELS if header.sequential else MAX_PIXELS
    if header.width * header.height > most:
        size = f"{header.width} x {header.height} pixels"
        raise _refused(origin, f"{size} is more than {most // 1_000_000} megapixels; scale it down")
    if not header.complete(data):
        raise _refused(origin, f"the {header.kind} file is cut off; copy it again")


def _decode(data: bytes, header: PhotoHeader) -> Image | None:
    factor = next(f for f in _REDUCED if header.width * header.height <= MAX_PIXELS * f * f)
    decoded = _read(data, cv2.IMREAD_UNCHANGED if header.transparent else _REDUCED[factor])
    if decoded is None or not header.transparent or decoded.ndim != 3 or decoded.shape[2] != 4:
        return decoded
    return _upright(_on_black(decoded), header.orientation)


def _read(data: bytes, flags: int) -> Image | None:
    # OpenCV would write its own lines to standard error for each damaged file.
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
    finally:
        cv2.utils.logging.setLogLevel(level)
    return decoded if decoded is None else np.asarray(decoded)


def _on_black(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> Image:
    """BGRA of 8 or 16 bits as a viewer shows it before a black background; row by row, to need little memory."""
    shown = np.empty((*pixels.shape[:2], 3), np.uint8)
    shift = 8 * (pixels.dtype.itemsize - 1)
    for above in range(0, len(pixels), _ROWS):
        rows = (pixels[above : above + _ROWS] >> shift).astype(np.uint16)
        shown[above : above + _ROWS] = (rows[..., :3] * rows[..., 3:] + 127) // 255
    return shown


def _upright(image: Image, orientation: int) -> Image:
    """Turned as EXIF's orientation 1..8 says."""
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    down, across = _REVERSED[orientation]
    return np.ascontiguousarray(image[::down, ::across])


def _refused(origin: object, message: str) -> PhotoRefused:
    return PhotoRefused("unreadable", f"{origin}: {message}")
