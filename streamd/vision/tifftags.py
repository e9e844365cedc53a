"""The tags of a TIFF directory, which is also what an EXIF block is (TIFF 6.0, section 2)."""

from __future__ import annotations

import struct

WIDTH, HEIGHT, BITS, ORIENTATION = 256, 257, 258, 274
_SIZES = {3: "H", 4: "I"}
"""Of the types that are unsigned integers: short and long."""


def read_tags(data: bytes) -> dict[int, int]:
    """First value of each tag of the first directory that holds unsigned integers of 16 or 32 bits.

    Raises:
        struct.error: the data ends before the directory does, or is no TIFF.
    """
    order = "<" if data[:2] == b"II" else ">"
    at = struct.unpack_from(order + "I", data, 4)[0]
    tags = {}
    for entry in range(struct.unpack_from(order + "H", data, at)[0]):
        place = at + 2 + 12 * entry
        tag, form, count = struct.unpack_from(order + "HHI", data, place)
        if form not in _SIZES:
            continue
        size = _SIZES[form]
        value_at = place + 8
        if count * struct.calcsize(size) > 4:  # the values do not fit here: their offset does
            value_at = struct.unpack_from(order + "I", data, value_at)[0]
        tags[tag] = struct.unpack_from(order + size, data, value_at)[0]
    return tags


def orientation_of(exif: bytes) -> int:
    """How the picture has to be turned, 1..8 as EXIF 2.3 has it; 1, upright, where the block says nothing valid."""
    try:
        turned = read_tags(exif.removeprefix(b"Exif\0\0")).get(ORIENTATION, 1)
    except struct.error:
        return 1
    return turned if 1 <= turned <= 8 else 1
