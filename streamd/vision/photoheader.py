"""The first bytes of a photo file: which kind it is, how large, and whether its end is there.

Sources: ITU T.81 (JPEG markers), the PNG specification section 5, RFC 9649 (WebP).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from streamd.vision.tifftags import BITS, HEIGHT, WIDTH, orientation_of, read_tags


@dataclass(frozen=True, slots=True)
class PhotoHeader:
    """What a file says of itself before it is decoded. Width and height are 0 where it does not say."""

    kind: str
    """``jpeg png webp bmp tiff``, or in words what else it seems to be."""
    width: int = 0
    height: int = 0
    supported: bool = False
    payload_at: int = 0
    """Offset of the compressed data, behind any embedded thumbnail."""
    sequential: bool = False
    """A JPEG that is decoded row by row, and so at a fraction of its size in a fraction of the memory."""
    transparent: bool = False
    """A PNG or WebP whose pixels have an alpha."""
    orientation: int = 1
    """Of what is ``transparent``: EXIF's, 1..8. Others are turned as they are decoded."""

    def complete(self, data: bytes) -> bool:
        """False where the end of the file is surely missing (decoders differ in what they make of that)."""
        if self.kind == "jpeg":
            return data.find(b"\xff\xd9", self.payload_at) >= 0
        if self.kind == "png":
            return data.rfind(b"IEND") >= 0
        if self.kind == "webp":
            return len(data) >= 8 + int(struct.unpack_from("<I", data, 4)[0])
        return True


def read_header(data: bytes) -> PhotoHeader:
    """Kind and size of a photo file; never raises, whatever the bytes are."""
    for magic, offset, parse in _PARSERS:
        if data.startswith(magic, offset):
            try:
                return parse(data)
            except (struct.error, IndexError):
                return PhotoHeader(_kind(parse), supported=True)
    return PhotoHeader(_other_kind(data))


def _kind(parse: Callable[[bytes], PhotoHeader]) -> str:
    return parse.__name__.removeprefix("_")


def _jpeg(data: bytes) -> PhotoHeader:
    at, width, height, sequential = 2, 0, 0, False
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            at = data.find(b"\xff", at) % (len(data) + 1)  # not found, -1: the end
            continue
        marker = data[at + 1]
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD8:  # fill bytes, markers without a body
            at += 1 if marker == 0xFF else 2
            continue
        length = struct.unpack_from(">H", data, at + 2)[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a frame header: SOF0..SOF15
            height, width = struct.unpack_from(">HH", data, at + 5)
            sequential = marker in (0xC0, 0xC1)
        if marker == 0xDA:  # the scan begins
            return PhotoHeader("jpeg", width, height, supported=True, payload_at=at + 2 + length, sequential=sequential)
        at += 2 + max(2, length)
    return PhotoHeader("jpeg", width, height, supported=True, payload_at=len(data))


def _png(data: bytes) -> PhotoHeader:
    width, height = struct.unpack_from(">II", data, 16)
    transparent, exif = data[25] in (4, 6), b""  # grey or colour with alpha
    for kind, body_at, length in _png_chunks(data):
        transparent = transparent or kind == b"tRNS"
        if kind == b"eXIf":
            exif = data[body_at : body_at + length]
    return PhotoHeader("png", width, height, supported=True, transparent=transparent, orientation=orientation_of(exif))


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type, offset and length of the body of each chunk."""
    at = 8
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 8], at + 8, length
        at += 12 + length


def _webp(data: bytes) -> PhotoHeader:
    chunk, transparent, exif = data[12:16], False, b""
    if chunk == b"VP8X":
        width = 1 + int.from_bytes(data[24:27], "little")
        height = 1 + int.from_bytes(data[27:30], "little")
        transparent = bool(int.from_bytes(data[20:21]) & 0x10)
        exif = next((data[at : at + length] for kind, at, length in _riff_chunks(data) if kind == b"EXIF"), b"")
    elif chunk == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        transparent = bool(bits >> 28 & 1)
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    return PhotoHeader("webp", width, height, supported=True, transparent=transparent, orientation=orientation_of(exif))


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type, offset and length of the body of each chunk."""
    at = 12
    while at + 8 <= len(data):
        (length,) = struct.unpack_from("<I", data, at + 4)
        yield data[at : at + 4], at + 8, length
        at += 8 + length + length % 2


def _bmp(data: bytes) -> PhotoHeader:
    if struct.unpack_from("<I", data, 14)[0] == 12:  # the header of OS/2
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return PhotoHeader("bmp", abs(width), abs(height), supported=True)


def _tiff(data: bytes) -> PhotoHeader:
    tags = read_tags(data)
    bits = tags.get(BITS, 1)
    if bits > 16:
        return PhotoHeader(f"a tiff of {bits} bits per sample")
    return PhotoHeader("tiff", tags.get(WIDTH, 0), tags.get(HEIGHT, 0), supported=True)


_PARSERS: tuple[tuple[bytes, int, Callable[[bytes], PhotoHeader]], ...] = (
    (b"\xff\xd8\xff", 0, _jpeg),
    (b"\x89PNG\r\n\x1a\n", 0, _png),
    (b"WEBP", 8, _webp),
    (b"BM", 0, _bmp),
    (b"II*\0", 0, _tiff),
    (b"MM\0*", 0, _tiff),
)

_OTHERS: tuple[tuple[bytes, int, str], ...] = (
    (b"GIF8", 0, "a gif"),
    (b"%PDF", 0, "a pdf"),
    (b"ftypavif", 4, "an avif file"),
    (b"ftyphe", 4, "a heic file"),
    (b"ftypmif", 4, "a heif file"),
    (b"ftyp", 4, "a video"),
    (b"\x1aE\xdf\xa3", 0, "a video"),
    (b"PK\x03\x04", 0, "an archive"),
    (b"II+\0", 0, "a bigtiff"),
    (b"MM\0+", 0, "a bigtiff"),
    (b"<svg", 0, "an svg"),
    (b"\0\0\0\x0cjP  ", 0, "a jpeg 2000 file"),
    (b"\0\0\0\x0cJXL ", 0, "a jpeg xl file"),
    (b"\xff\x0a", 0, "a jpeg xl file"),
)


def _other_kind(data: bytes) -> str:
    for magic, offset, kind in _OTHERS:
        if data.startswith(magic, offset):
            return kind
    text = data[:512].decode("utf-8", errors="replace")
    printable = sum(c.isspace() or (c.isprintable() and c != "\ufffd") for c in text)
    return "text" if text and printable > 0.95 * len(text) else "this file"
