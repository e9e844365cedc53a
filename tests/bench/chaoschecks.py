"""What must hold of a daemon whatever is done to it; see ``chaos.py``. Each breach is said in words."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections import defaultdict
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from chaospeople import Somebody, Told, Tongs
from e2e.daemon import Daemon, eventually

from streamd.errors import StreamdError
from streamd.events import Event, EventType

READY_S = 60.0
"""After the last fault every process runs again, and none reports trouble."""
GONE_S = 45.0
"""After their supervisor was killed no child is left: they drain, 20 s at most."""
MORE_FILES = 12
"""Open files of one process may differ by this between two quiet moments: subscribers, viewers, requests."""


class Follower:
    """A subscriber who was there all the time, and what it heard."""

    def __init__(self, daemon: Daemon, told: Told) -> None:
        self.events: list[Event] = []
        self._daemon = daemon
        self._told = told
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(30)

    @property
    def position(self) -> int:
        return self.events[-1].seq if self.events else 0

    def caught_up(self) -> bool:
        last = self._daemon.journal()[-1].seq
        return self.position >= last

    def _follow(self) -> None:
        while not self._over.is_set():
            with self._daemon.subscribe(since=self.position, timeout_s=1.0) as subscription:
                until_s = time.monotonic() + 40
                while time.monotonic() < until_s and not self._over.is_set():
                    if (event := subscription.next(1.0)) is not None:
                        self.events.append(event)
                if subscription.missed:
                    self._told.breaks(f"a subscriber with since= missed {subscription.missed} events")


class Checks:
    def __init__(self, daemon: Daemon, disk: Path, follower: Follower, tongs: Tongs, told: Told) -> None:
        """``disk`` holds the state directory and the file sink."""
        self._daemon = daemon
        self._disk = disk
        self._follower = follower
        self._tongs = tongs
        self._told = told
        self._files: dict[int, tuple[str, int]] = {}

    # -- at each quiet moment --------------------------------------------------------------------------------------

    def quiet(self) -> None:
        """While the daemon is ready and nobody changes anything."""
        self._journal(self._daemon.journal())
        self._log()
        self._open_files()
        audit = self._tongs.command("gallery", "audit")
        if audit is None or not audit["clean"]:
            self._told.breaks(f"the gallery does not pass its audit: {audit}")
        by_command, by_api = self._tongs.command("person", "list"), self._tongs.ask("GET", "/api/v1/people")
        if by_command is None or by_api is None or _ids(by_command) != _ids(by_api):
            self._told.breaks(f"the command lists {by_command}, the API {by_api}")
        self._people_by_events(by_command or [])

    def _journal(self, events: list[Event]) -> None:
        numbers = [event.seq for event in events]
        if numbers != list(range(1, len(numbers) + 1)):
            gap = next((a, b) for a, b in pairwise(numbers) if b != a + 1)
            self._told.breaks(f"the journal has a gap or a repeat between {gap}")
        if len({event.id for event in events}) != len(events):
            self._told.breaks("an event is in the journal twice")
        for track, kinds in _by_track(events).items():
            for kind in ("face.appeared", "face.left"):
                if kinds.count(kind) > 1:
                    self._told.breaks(f"appearance {track} has {kinds.count(kind)} {kind}: {kinds}")
            if "face.appeared" in kinds and kinds[0] != "face.appeared":
                self._told.breaks(f"appearance {track} does not begin with face.appeared: {kinds}")

    def _people_by_events(self, people: list[dict[str, Any]]) -> None:
        """Who is in the gallery was told of, and who is not is not in it; the last changes may be on their way."""

        ids = _ids(people)
        changes = self._tongs.command("gallery", "log") or []
        texts = " ".join(change["detail"] for change in changes if change["what"] == "person.merged")
        merged = set(re.findall(r"\b[0-9a-f]{32}\b", texts)) - ids

        def differ() -> set[str]:
            told: set[str] = set()
            for event in self._daemon.journal():
                who = str((event.identity or {}).get("id"))
                if event.type is EventType.PERSON_ENROLLED and event.identity is not None:
                    told.add(who)
                elif event.type is EventType.PERSON_FORGOTTEN:
                    told.discard(who)
            return (told - merged) ^ ids

        try:
            eventually(lambda: not differ(), timeout_s=15)
        except AssertionError:
            self._told.breaks(f"person.* events and the gallery disagree about {differ()}")

    def _log(self) -> None:
        text = self._daemon.logged()
        for sign in ("Traceback (most recent", "internal error", "broken, and tried again", "Segmentation fault"):
            if (at := text.find(sign)) >= 0:
                self._told.breaks(f"the log has '{sign}': {text[max(0, at - 300) : at + 2500]}")

    def _open_files(self) -> None:
        assert self._daemon.process is not None
        pids = {"supervisor": self._daemon.process.pid}
        pids |= {child.name: child.pid for child in self._daemon.status().children if child.pid is not None}
        for name, pid in pids.items():
            count = _open_files(pid)
            _, first = self._files.setdefault(pid, (name, count))
            if count > first + MORE_FILES:
                self._told.breaks(f"{name} has {count} open files, and had {first} when it was first looked at")

    # -- whoever was forgotten -------------------------------------------------------------------------------------

    def erased(self, who: Somebody) -> None:
        """Nothing is left in the state directory of somebody whose receipt says so; sinks follow."""
        for word in sorted(who.words):
            if places := self._found(word, self._daemon.state):
                self._told.breaks(f"'{word}' ({who.name}) was forgotten, and is found in {places}")

    def _found(self, word: str, folder: Path) -> list[str]:
        needle, places = word.lower().encode(), []
        for path in [path for path in folder.rglob("*") if path.is_file()]:
            with suppress(OSError):
                data = path.read_bytes().lower()
                if (at := data.find(needle)) >= 0 or needle in path.name.lower().encode():
                    places.append(f"{path.relative_to(self._disk)}: {data[max(0, at - 120) : at + 120]!r}")
        return places

    # -- at the end ------------------------------------------------------------------------------------------------

    def ended(self, everybody: list[Somebody]) -> None:
        """After a clean stop, with everybody of the trial forgotten."""
        events = self._daemon.journal()
        self._journal(events)
        self._log()
        for track, kinds in _by_track(events).items():
            if "face.appeared" in kinds and "face.left" not in kinds:
                self._told.breaks(f"appearance {track} began and has not ended: {kinds}")
        heard = [event.seq for event in self._follower.events]
        if heard != list(range(1, len(heard) + 1)):
            self._told.breaks("a subscriber with since= did not get every event once, in order")
        if len(events) - len(heard) > 50 or [e.id for e in events[: len(heard)]] != [
            e.id for e in self._follower.events
        ]:
            self._told.breaks(f"a subscriber heard {len(heard)} events, the journal has {len(events)}")
        for word in sorted(word for who in everybody for word in who.words):
            if places := self._found(word, self._disk):
                self._told.breaks(f"'{word}' was forgotten, and is found at the end in {places}")
        for event in events:
            who_id = str((event.identity or {}).get("id"))
            if "name" in (event.identity or {}) and any(who_id in who.ids for who in everybody):
                self._told.breaks(f"event {event.seq} ({event.type.value}) still names somebody forgotten")
        self._pictures(events)
        self._sink()
        scraps = ("*.part", ".probe-*", ".state.json.*", "uploads/*")
        if left := [str(path) for pattern in scraps for path in self._disk.rglob(pattern)]:
            self._told.breaks(f"scraps are left in the state directory: {left}")

    def _pictures(self, events: list[Event]) -> None:
        named = {str(path) for event in events for path in (event.snapshot or {}).values() if isinstance(path, str)}
        folder = self._daemon.state / "snapshots"
        kept = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        if orphans := kept - named:
            self._told.breaks(f"{len(orphans)} of {len(kept)} pictures belong to no event: {sorted(orphans)[:3]}")

    def _sink(self) -> None:
        lines = [json.loads(line) for line in (self._disk / "sink" / "events.jsonl").read_bytes().splitlines()]
        numbers = [line["seq"] for line in lines]
        if any(b <= a for a, b in pairwise(numbers)):
            self._told.breaks("the file sink has an event twice, or out of order")

    def nobody_left(self, folder: Path) -> None:
        try:
            eventually(lambda: not processes_of(folder), timeout_s=GONE_S)
        except AssertionError:
            self._told.breaks(f"processes are left: {processes_of(folder)}")


def processes_of(folder: Path) -> dict[int, str]:
    """Programs of streamd whose environment names a folder, by process id."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                line = (entry / "cmdline").read_bytes()
                if b"streamd" in line and os.fsencode(folder) in (entry / "environ").read_bytes():
                    found[int(entry.name)] = line.replace(b"\0", b" ").decode()
    return found


def _open_files(pid: int) -> int:
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return 0


def _ids(people: list[dict[str, Any]]) -> set[str]:
    return {str(person["id"]) for person in people}


def _by_track(events: list[Event]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for event in events:
        if event.track is not None:
            found[event.track].append(event.type.value)
    return found


def is_ready(daemon: Daemon) -> bool:
    with suppress(StreamdError):
        return daemon.get("/readyz")[0] == 200
    return False
