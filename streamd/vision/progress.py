"""How a long download is shown: a callback, and one line of a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TextIO

Progress = Callable[[str, int, int | None], None]
"""Called with a name, the bytes there so far, and the bytes in all (None where unknown)."""

Tell = Callable[[int, int | None], None]
"""The same with the name filled in."""

_MIB = 1024 * 1024


def telling(progress: Progress | None, name: str) -> Tell:
    """``progress`` with its name filled in; does nothing where there is none."""

    def tell(done_bytes: int, total_bytes: int | None) -> None:
        if progress is not None:
            progress(name, done_bytes, total_bytes)

    return tell


def terminal_progress(stream: TextIO | None = None) -> Progress | None:
    """A progress line on ``stream`` (standard error), or None where nobody would see it."""
    out = stream or sys.stderr
    return _Line(out) if out.isatty() else None


class _Line:
    """Rewrites one line, and only when what it says has changed."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._shown = ""

    def __call__(self, name: str, done_bytes: int, total_bytes: int | None) -> None:
        text = _describe(name, done_bytes, total_bytes)
        if text == self._shown:
            return
        complete = total_bytes is not None and done_bytes >= total_bytes
        self._out.write(f"\r\x1b[K{text}" + ("\n" if complete else ""))
        self._out.flush()
        self._shown = text


def _describe(name: str, done_bytes: int, total_bytes: int | None) -> str:
    done_mib = done_bytes / _MIB
    if total_bytes is None:
        return f"{name}: {done_mib:.1f} MiB" if done_bytes else f"{name}: asking for it"
    share = done_bytes / total_bytes if total_bytes else 1.0
    return f"{name}: {share:4.0%} of {total_bytes / _MIB:.1f} MiB"
