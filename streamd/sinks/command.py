"""Runs a program for each event: no shell, one at a time, never for longer than it may take."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress

from streamd.errors import SinkAway, SinkRefused
from streamd.events import Event
from streamd.interfaces import Parcel
from streamd.sinkconfig import CommandSink

_SHOWN_BYTES = 300


class CommandDestination:
    """Implements ``interfaces.Destination``."""

    keeps_state = False
    forgets = False

    def __init__(self, config: CommandSink) -> None:
        self._command = list(config.command)
        self._timeout_s = config.timeout_s

    def open(self) -> None:
        return

    def recall(self, past: Sequence[Event]) -> None:
        return

    def deliver(self, parcels: Sequence[Parcel]) -> int:
        """Run it for the first; an exit code other than 0 is a refusal."""
        with tempfile.TemporaryFile() as complaints:
            try:
                process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=complaints,
                    env={**os.environ, **_variables(parcels[0].event)},
                    start_new_session=True,
                )
            except OSError as error:
                raise SinkAway(f"{self._command[0]}: {(error.strerror or str(error)).lower()}") from error
            with process:
                code = self._ended(process, parcels[0].body)
            if code:
                complaints.seek(max(0, complaints.tell() - _SHOWN_BYTES))
                said = complaints.read(_SHOWN_BYTES).decode(errors="replace").strip()
                raise SinkRefused(f"{self._command[0]}: exit code {code}" + (f": {said}" if said else ""))
        return 1

    def idle(self, now_wall_s: float) -> None:
        return

    def close(self) -> None:
        return

    def _ended(self, process: subprocess.Popen[bytes], body: bytes) -> int:
        try:
            process.communicate(body + b"\n", timeout=self._timeout_s)
        except subprocess.TimeoutExpired as error:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise SinkRefused(f"{self._command[0]}: killed after {self._timeout_s:g} s (timeout_s)") from error
        return process.returncode


def _variables(event: Event) -> dict[str, str]:
    person = str((event.identity or {}).get("name") or event.stranger or "")
    return {
        "STREAMD_TYPE": event.type.value,
        "STREAMD_CAMERA": event.camera,
        "STREAMD_PERSON": person.replace("\0", ""),
        "STREAMD_SEQ": str(event.seq),
    }
