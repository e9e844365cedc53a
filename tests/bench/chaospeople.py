"""People of a trial by chaos: enrolled, renamed, merged, named and forgotten; each has a word in every name they bear.

The word says what must not be found any more once they are forgotten, whatever was done to them.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2e.daemon import Daemon

from streamd.gallery.erasures import erasures_under_way
from streamd.gallery.store import GalleryStore

GENTLE_CODES = (0, 64, 69, 78)
"""How a command may end while the daemon is hurt: refused in words, never by a fault of its own."""
REFUSALS = (200, 201, 204, 400, 401, 404, 409, 422, 429, 502, 503, 507)
COMMAND_S = 150.0


@dataclass
class Somebody:
    """One person of the trial, also under later names."""

    name: str
    words: set[str]
    ids: set[str] = field(default_factory=set)


class Told:
    """What was done, and what was found broken; said by many threads."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        self.broken: list[str] = []
        self._lock = threading.Lock()

    def did(self, what: str) -> None:
        with self._lock:
            self.done[what] += 1

    def breaks(self, what: str) -> None:
        with self._lock:
            if what not in self.broken:
                self.broken.append(what)
                print("BROKEN:", what, flush=True)


class Tongs:
    """The daemon as its owner takes hold of it: commands and the API."""

    def __init__(self, daemon: Daemon, told: Told, env: dict[str, str]) -> None:
        self._daemon = daemon
        self._told = told
        self._env = env

    def command(self, *words: str, kill_after_s: float | None = None) -> Any:
        """The JSON that a command prints; None where it was refused, or killed."""
        line = [sys.executable, "-m", "streamd", *words, "-c", str(self._daemon.config), "--json"]
        started = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self._env)
        killed = False
        try:
            out, err = started.communicate(timeout=COMMAND_S if kill_after_s is None else kill_after_s)
        except subprocess.TimeoutExpired:
            killed = kill_after_s is not None
            os.kill(started.pid, signal.SIGKILL if killed else signal.SIGABRT)
            out, err = started.communicate()
        said = " ".join(words[: 1 if words[0] == "enroll" else 2])
        if killed:
            self._told.did(f"command killed: {said}")
            return None
        if started.returncode not in GENTLE_CODES or "Traceback" in err:
            self._told.breaks(f"'streamd {' '.join(words)}' ended with {started.returncode}: {err[-1500:]}")
        if started.returncode != 0:
            self._told.did(f"command refused with {started.returncode}: {said}")
            if said != "gallery audit":  # which says so if it finds something
                return None
        try:
            return json.loads(out)
        except ValueError:
            return [json.loads(line) for line in out.splitlines()]

    def ask(self, method: str, path: str, body: object = None, *, photo: bytes | None = None) -> Any:
        """The JSON of an answer; None where it was refused, or nobody answered."""
        data, headers = None, {}
        if body is not None:
            data, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
        if photo is not None:
            edge = "----chaos"
            head = f'--{edge}\r\nContent-Disposition: form-data; name="photo"; filename="a.png"\r\n\r\n'
            data = head.encode() + photo + f"\r\n--{edge}--\r\n".encode()
            headers = {"Content-Type": f"multipart/form-data; boundary={edge}"}
        request = urllib.request.Request(self._daemon.http + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                said = error.read().decode()[:200]
            if error.code not in REFUSALS:
                self._told.breaks(f"{method} {path} was answered {error.code}: {said}")
            self._told.did(f"API refused: {method} {error.code}")
        except (OSError, ValueError) as error:  # a gateway that was killed, also amid its answer
            self._told.did(f"API silent: {type(error).__name__}")
        return None


class People:
    """Everybody of the trial, and what becomes of them."""

    def __init__(
        self,
        tongs: Tongs,
        told: Told,
        photos: Sequence[Path],
        folder: Path,
        *,
        calm: threading.Event,
        erased: Callable[[Somebody], None],
    ) -> None:
        """``folder`` is the one that the daemon watches. ``calm`` ends stories early. ``erased`` is called with whoever
        was forgotten for good."""
        self.all: list[Somebody] = []
        self._tongs = tongs
        self._told = told
        self._photos = photos
        self._folder = folder
        self._calm = calm
        self._erased = erased
        self._lock = threading.Lock()

    def story(self, chance: random.Random) -> None:
        """One person's life; a second one where two are merged."""
        who = self._somebody()
        if not self._enrolled(who, chance):
            return
        for _ in range(chance.randint(0, 4)):
            if self._calm.is_set():
                return
            chance.choice((self._rename, self._describe, self._add, self._merge_another))(who, chance)
        if chance.random() < 0.8:
            self.forget(who, chance)

    def stranger(self, chance: random.Random) -> None:
        """A stranger gets a name, perhaps loses it again, and is forgotten."""
        found = self._tongs.ask("GET", "/api/v1/unknowns?all=true")
        if not found:
            return
        who, unknown = self._somebody(), chance.choice(found)["id"]
        if chance.random() < 0.5:
            given = self._tongs.command("unknown", "assign", unknown, who.name)
        else:
            given = self._tongs.ask("POST", f"/api/v1/unknowns/{unknown}/assign", {"name": who.name})
        if given is None or not self._known(who):
            return
        self._told.did("stranger named")
        if chance.random() < 0.3:
            self._rename(who, chance)
        self.forget(who, chance)

    def forget(self, who: Somebody, chance: random.Random) -> None:
        """By the API, by a command, or by a command that is killed, and then goes on."""
        way = chance.choice(("api", "command", "killed"))
        if way == "api":
            receipt = self._tongs.ask("DELETE", f"/api/v1/people/{_quoted(who.name)}?photos=true")
        else:
            after_s = chance.uniform(0.3, 3.0) if way == "killed" else None
            receipt = self._tongs.command("person", "forget", who.name, "--photos", kill_after_s=after_s)
        if receipt is None and way == "killed":
            receipt = self._tongs.command("person", "forget", who.name, "--photos")
        if receipt and not receipt.get("undone"):
            self._told.did(f"forgotten by {way}")
            if receipt["noticed"] and receipt["erased"]:
                self._erased(who)

    # -- what is done to somebody ----------------------------------------------------------------------------------

    def _somebody(self) -> Somebody:
        with self._lock:
            word = f"Zq{len(self.all)}z"
            who = Somebody(f"{word} Ann", {word})
            self.all.append(who)
        return who

    def _enrolled(self, who: Somebody, chance: random.Random) -> bool:
        photo, way = self._photo(who, chance), chance.choice(("api", "command", "folder"))
        if way == "api":
            self._tongs.ask("POST", f"/api/v1/people/{_quoted(who.name)}/photos?force=true", photo=photo.read_bytes())
        elif way == "command":
            self._tongs.command("enroll", who.name, str(photo), "--force")
        else:
            (self._folder / who.name).mkdir()
            (self._folder / who.name / "photo.png").write_bytes(photo.read_bytes())
        for _ in range(20 if way == "folder" else 1):
            if self._known(who):
                self._told.did(f"enrolled by {way}")
                return True
            threading.Event().wait(0.5)
        return False

    def _photo(self, who: Somebody, chance: random.Random) -> Path:
        """A file of their own: one that somebody else brought before would be refused."""
        made = self._folder.parent / "photos" / f"{who.name}.png"
        made.parent.mkdir(exist_ok=True)
        made.write_bytes(chance.choice(self._photos).read_bytes() + chance.randbytes(8))
        return made

    def _known(self, who: Somebody) -> bool:
        found = self._tongs.command("person", "show", who.name)
        if found:
            who.ids.add(found["id"])
        return bool(found)

    def _rename(self, who: Somebody, chance: random.Random) -> None:
        before, after = who.name, f"{who.name.split()[0]} {chance.choice(('Bea', 'Cid', 'Dora'))}"
        if before == after:
            return
        if chance.random() < 0.5:
            self._tongs.command("person", "rename", before, after)
        else:
            self._tongs.ask("PATCH", f"/api/v1/people/{_quoted(before)}", {"name": after})
        if self._tongs.command("person", "show", after):
            who.name = after
            self._told.did("renamed")
            if chance.random() < 0.4:
                self._undo(who, "person.renamed")

    def _undo(self, who: Somebody, what: str) -> None:
        """The newest change of that kind of theirs: another's is not ours to take back."""
        changes = self._tongs.command("gallery", "log") or []
        versions = [
            change["version"] for change in changes if change["what"] == what and change["person_id"] in who.ids
        ]
        if versions and self._tongs.command("gallery", "undo", str(versions[-1])):
            self._told.did(f"taken back: {what}")
            names = [person["name"] for person in self._tongs.command("person", "list") or []]
            who.name = next((name for name in names if name.split()[0] == who.name.split()[0]), who.name)

    def _describe(self, who: Somebody, chance: random.Random) -> None:
        word = who.name.split()[0]
        if chance.random() < 0.5:
            self._tongs.command("person", "label", who.name, f"site={word}")
            self._tongs.command("person", "note", who.name, "--notes", f"{word} came by")
        else:
            change = {"labels": {"site": [word]}, "notes": f"{word} came by"}
            self._tongs.ask("PATCH", f"/api/v1/people/{_quoted(who.name)}", change)
        self._told.did("described")

    def _add(self, who: Somebody, chance: random.Random) -> None:
        photo = self._photo(who, chance)
        self._tongs.ask("POST", f"/api/v1/people/{_quoted(who.name)}/photos?force=true", photo=photo.read_bytes())

    def _merge_another(self, who: Somebody, chance: random.Random) -> None:
        other = self._somebody()
        if not self._enrolled(other, chance):
            return
        if chance.random() < 0.5:
            self._tongs.command("person", "merge", other.name, who.name)
        else:
            self._tongs.ask("POST", f"/api/v1/people/{_quoted(other.name)}/merge", {"into": who.name})
        self._told.did("merged")
        if chance.random() < 0.3:
            self._undo(who, "person.merged")
        left = self._tongs.command("person", "list")
        if left is not None and not any(person["id"] in other.ids for person in left):
            who.words |= other.words
            who.ids |= other.ids
        elif left is not None:
            self.forget(other, chance)

    def finish(self, gallery: Path) -> None:
        """Forget everybody of the trial who is left, with whatever was begun and not finished."""
        for _ in range(5):
            people = self._tongs.command("person", "list") or []
            left = {person["name"] for person in people if person["name"].startswith("Zq")}
            with GalleryStore(gallery) as store:
                left |= {erasure.name for erasure in erasures_under_way(store.database)} - {
                    ""
                }  # the daemon's to finish
            if not left:
                return
            for name in sorted(left):
                self._tongs.command("person", "forget", name, "--photos")
        self._told.breaks(f"somebody cannot be forgotten: {sorted(left)}")


def _quoted(name: str) -> str:
    return urllib.parse.quote(name)
