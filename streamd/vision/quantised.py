"""The form of a network that computes in 8 bits: a file beside the prepared one, and what it was found to lose.

``streamd models quantize`` makes it (``quantising``) and measures it; here is what a worker needs to know of it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from streamd.errors import ModelError
from streamd.placement import Library
from streamd.vision.fetch import sha256_of
from streamd.wholefile import write_whole

LIBRARIES: tuple[Library, ...] = ("onnxruntime-int8", "openvino-int8")


@dataclass(frozen=True, slots=True)
class Quantised:
    """What is written down beside the 8-bit form of a network."""

    of: str
    """SHA-256 of the prepared file that it was made from."""
    sha256: str
    """Of itself."""
    calibrated_on: str
    lossless: list[Library]
    """Libraries in which it was measured on labelled pairs, and lost nothing there; ``auto`` takes no other."""
    measured: str | None = None
    """On what, in words; None where it was not."""


def file_of(path: Path) -> Path:
    """Where the 8-bit form of the prepared file ``path`` lies."""
    return path.with_suffix(".int8.onnx")


def record_of(path: Path) -> Path:
    return path.with_suffix(".int8.json")


def read_record(path: Path) -> Quantised | None:
    """What is written down, if it is of this prepared file and of the 8-bit file that is there."""
    try:
        record = Quantised(**json.loads(record_of(path).read_text(encoding="utf-8")))
        prepared = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["sha256"]
        valid = record.of == prepared and record.sha256 == sha256_of(file_of(path))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return record if valid and set(record.lossless) <= set(LIBRARIES) else None


def write_record(path: Path, record: Quantised) -> None:
    """Raises ModelError."""
    target = record_of(path)
    try:
        write_whole(target, json.dumps(asdict(record), indent=2) + "\n", mode=0o644)
    except OSError as error:
        raise ModelError(f"cannot write {target}: {error}") from error


def ready(path: Path) -> Path:
    """The 8-bit file, checked. Raises ModelError: there is none, or it is of another model; has the command."""
    if read_record(path) is None:
        raise ModelError(
            f"model '{path.stem}' has no 8-bit form in {path.parent} that was made from it: "
            f"run 'streamd models quantize {path.stem}'"
        )
    return file_of(path)
