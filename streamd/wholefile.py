"""A file that is written as a whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, text: str, *, mode: int) -> None:
    """Write ``text`` to a file of this mode, in place of what is there.

    Whoever reads it meanwhile, in another process or after a power cut, finds the one or the other. Two may write at
    the same time: the last one's stays.

    Raises:
        OSError: it cannot be written; what was there is as it was, and nothing lies beside it.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
