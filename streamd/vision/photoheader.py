"""The first bytes of a photo file: which kind it is, how large, and whether its end is there.

Sources: ITU T.81 (JPEG markers), the PNG specification section 5, RFC 9649 (WebP), TIFF 6.0 section 2.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass


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
    at, width, height = 2, 0, 0
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
        if marker == 0xDA:  # the scan begins
            return PhotoHeader("jpeg", width, height, supported=True, payload_at=at + 2 + length)
        at += 2 + max(2, length)
    return PhotoHeader("jpeg", width, height, supported=True, payload_at=len(data))


def _png(data: bytes) -> PhotoHeader:
    width, height = struct.unpack_from(">II", data, 16)
    return PhotoHeader("png", width, height, supported=True)


def _webp(data: bytes) -> PhotoHeader:
    chunk = data[12:16]
    if chunk == b"VP8X":
        width = 1 + int.from_bytes(data[24:27], "little")
        height = 1 + int.from_bytes(data[27:30], "little")
    elif chunk == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    return PhotoHeader("webp", width, height, supported=True)


def _bmp(data: bytes) -> PhotoHeader:
    if struct.unpack_from("<I", data, 14)[0] == 12:  # the header of OS/2
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return PhotoHeader("bmp", abs(width), abs(height), supported=True)


def _tiff(data: bytes) -> PhotoHeader:
    order = "<" if data[:2] == b"II" else ">"
    at = struct.unpack_from(order + "I", data, 4)[0]
    sides = {256: 0, 257: 0}
    for entry in range(struct.unpack_from(order + "H", data, at)[0]):
        tag, form = struct.unpack_from(order + "HH", data, at + 2 + 12 * entry)
        if tag in sides:
            sides[tag] = struct.unpack_from(order + ("H" if form == 3 else "I"), data, at + 10 + 12 * entry)[0]
    return PhotoHeader("tiff", sides[256], sides[257], supported=True)


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
)


def _other_kind(data: bytes) -> str:
    for magic, offset, kind in _OTHERS:
        if data.startswith(magic, offset):
            return kind
    text = data[:512].decode("utf-8", errors="replace")
    printable = sum(c.isspace() or (c.isprintable() and c != "\ufffd") for c in text)
    return "text" if text and printable > 0.95 * len(text) else "this file"
