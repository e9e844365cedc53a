"""Events as lines of JSON in a file that is put by when it is large.

The file's own last line says how far it is, so that no event is in it twice, whenever the process was killed. Whoever
is forgotten is taken out of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from streamd.erasure import Somebody, without_person
from streamd.errors import ProtocolError, SinkAway
from streamd.events import Event, EventType
from streamd.interfaces import Parcel
from streamd.sinkconfig import FileSink

_LOOK_BACK_BYTES = 2 << 20
"""More than is on its way at once, between two notes of how far it is."""


class FileDestination:
    """Implements ``interfaces.Destination``."""

    keeps_state = False
    forgets = True

    def __init__(self, config: FileSink) -> None:
        self._path = config.path
        self._max_bytes = int(config.max_mb * 1e6)
        self._keep = config.keep
        self._fd = -1
        self._last_seq = 0
        self._last_id = ""
        self._held = b""
        """What was written of late, before this one was opened: some of it may come again."""

    def open(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._mend()
        except OSError as error:
            raise self._away(error) from error

    def recall(self, past: Sequence[Event]) -> None:
        return

    def deliver(self, parcels: Sequence[Parcel]) -> int:
        try:
            for parcel in parcels:
                self._write(parcel)
            os.fdatasync(self._fd)
        except OSError as error:
            raise self._away(error) from error
        return len(parcels)

    def idle(self, now_wall_s: float) -> None:
        """A file that was moved away, as logrotate does, is left to whoever moved it."""
        try:
            if not self._is_ours():
                self.close()
                self.open()
        except OSError as error:
            raise self._away(error) from error

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, parcel: Parcel) -> None:
        event = parcel.event
        if event.type is EventType.PERSON_FORGOTTEN and event.identity:
            self._forget(str(event.identity.get("id")))
        if not parcel.wanted:
            return
        if event.id == self._last_id or (event.seq <= self._last_seq and event.id.encode() in self._held):
            return
        line = parcel.body + b"\n"
        while line:
            line = line[os.write(self._fd, line) :]
        self._last_seq, self._last_id = event.seq, event.id
        if os.fstat(self._fd).st_size >= self._max_bytes:
            self._rotate()

    def _mend(self) -> None:
        """Cut off a line that was not written to its end, and read what may come again."""
        size = os.fstat(self._fd).st_size
        start = max(0, size - _LOOK_BACK_BYTES)
        tail = os.pread(self._fd, size - start, start)
        whole = tail[: tail.rfind(b"\n") + 1]
        if len(whole) < len(tail):
            os.ftruncate(self._fd, start + len(whole))
        self._held = self._put_by(_LOOK_BACK_BYTES - len(whole)) + whole
        self._last_seq, self._last_id = _last(self._held)

    def _put_by(self, most_bytes: int) -> bytes:
        """The end of what was put by."""
        found = b""
        for number in range(1, self._keep + 1):
            older = self._older(number)
            if len(found) >= most_bytes or not older.exists():
                break
            found = _end(older, most_bytes - len(found)) + found
        return found

    def _rotate(self) -> None:
        for number in range(self._keep, 0, -1):
            older = self._older(number)
            if older.exists():
                older.replace(self._older(number + 1))
        self._path.replace(self._older(1))
        self._older(self._keep + 1).unlink(missing_ok=True)
        self.close()
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def _older(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _forget(self, person_id: str) -> None:
        """Rewrite the files without this person."""
        for path in (self._path, *map(self._older, range(1, self._keep + 1))):
            if path.exists() and person_id.encode() in path.read_bytes():
                scratch = path.with_name(path.name + ".part")
                scratch.touch(mode=0o600)
                with path.open("rb") as lines, scratch.open("wb") as kept:
                    kept.writelines(_without(line, person_id) for line in lines)
                    kept.flush()
                    os.fsync(kept.fileno())
                scratch.replace(path)
        self.close()
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def _is_ours(self) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._fd))
        except FileNotFoundError:
            return False

    def _away(self, error: OSError) -> SinkAway:
        return SinkAway(f"{self._path}: {error.strerror or error}")


def _end(path: Path, most_bytes: int) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - most_bytes))
        return file.read()


def _last(lines: bytes) -> tuple[int, str]:
    """Number and id of the last line; 0 and nothing where it is none of ours."""
    try:
        body = json.loads(lines[lines[:-1].rfind(b"\n") + 1 :])
        return int(body["seq"]), str(body["id"])
    except (ValueError, KeyError, TypeError):
        return 0, ""


def _without(line: bytes, person_id: str) -> bytes:
    if person_id.encode() not in line:
        return line
    try:
        return without_person(Event.from_json(line), Somebody(frozenset({person_id}), None)).to_json() + b"\n"
    except ProtocolError:
        return line
