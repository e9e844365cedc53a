"""One line of the doctor's report."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """How bad it is, in order."""

    OK = 0
    WARN = 1
    FAIL = 2


@dataclass(frozen=True, slots=True)
class Finding:
    level: Level
    topic: str
    message: str
    advice: str = ""
    """What to do; empty where nothing needs doing."""
