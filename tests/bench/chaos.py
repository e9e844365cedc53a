"""A trial by chaos: random harm to a daemon and its surroundings, much of it at once, and what must hold all the same.

usage: chaos.py [--minutes 3] [--seed 1] [--out build/chaos]     (PYTHONPATH=tests, after `make models`)

Rounds of half a minute. In each some faults, chosen and timed by the seed, while people are enrolled, renamed, merged,
named and forgotten by commands and by the API: children and the supervisor are killed or stopped for seconds, the
configuration changes or is broken, cameras and subscribers come, stall and go, the disk is full, commands are killed,
every socket gets nonsense. After each round the daemon has ``READY_S`` to be ready, and is judged (``chaoschecks.py``);
at the end everybody of the trial is forgotten, the daemon is stopped, judged, and started and stopped once more.

The disk is a small tmpfs of its own, for which this has to be root; else it is never full. Each breach is printed as it
is found, and is in OUT.json; the log is in OUT.log. Exit code 1: something broke. A seed chooses the same faults again,
but not to the millisecond: what breaks for one in ten runs may not break in the next.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from chaoschecks import GONE_S, READY_S, Checks, Follower, is_ready, processes_of
from chaosnoise import nonsense_at_every_socket
from chaospeople import People, Told, Tongs
from e2e.daemon import Daemon, eventually
from rtsp_fixtures import RtspServer
from soak import FPS, SIZE, Views

from streamd.config import Config
from streamd.demo.faces import pull_faces
from streamd.errors import ExitCode, StreamdError

ROUND_S = 25.0
DISK_MB = 512
OPTIONS: tuple[tuple[str, str, tuple[Any, ...]], ...] = (
    ("detection", "longer_side_px", (480, 640)),
    ("detection", "tracked_interval_s", (0.3, 0.5)),
    ("recognition", "margin", (0.06, 0.1)),
    ("tracking", "reappear_s", (1.0, 4.0)),
    ("snapshots", "frames", ("none", "blurred")),
    ("gateway", "max_viewers", (4, 9)),
    ("log", "level", ("info", "debug")),
    ("gallery", "unknowns", (True, True, False)),
    ("workers", "count", (1, 2)),
)
NONSENSE = ("cameras: [", "nonsense: 1\n", "\0\1\2", "cameras: {}\n", "detection: {min_score: 7}\n", "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("build/chaos"), metavar="PREFIX")
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    summary = trial(args.minutes * 60, args.seed, args.out)
    args.out.with_suffix(".json").write_text(json.dumps(summary, indent=2) + "\n")
    print(json.dumps(summary, indent=2))
    sys.exit(1 if summary["broken"] else 0)


def trial(seconds: float, seed: int, out: Path) -> dict[str, Any]:
    faces = Config().state_dir / "demo" / "faces"
    pull_faces(faces)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        disk = stack.enter_context(small_disk(folder / "disk"))
        for name in ("rtsp", "tmp", "gallery/Barack Obama"):
            (folder / name).mkdir(parents=True)
        (folder / "gallery/Barack Obama/obama.jpg").write_bytes((faces / "obama.jpg").read_bytes())
        server = stack.enter_context(RtspServer(folder / "rtsp", size=SIZE, fps=FPS))
        chaos = Chaos(folder, disk, server, Views(faces), faces, seed)
        stack.callback(lambda: out.with_suffix(".log").write_text(chaos.daemon.logged()))
        with chaos.daemon:
            chaos.rage(time.monotonic() + seconds)
            chaos.end()
        return chaos.summary() | {"seed": seed, "minutes": seconds / 60}


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system that can be filled, or a plain folder."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "chaos", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0
    try:
        yield folder
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


class Chaos:
    def __init__(self, folder: Path, disk: Path, server: RtspServer, views: Views, faces: Path, seed: int) -> None:
        self._folder, self._disk, self._server, self._views, self._seed = folder, disk, server, views, seed
        self._chance = random.Random(seed)
        extra = {
            "state_dir": str(disk / "state"),
            "supervision": {"backoff_max_s": 3, "stall_after_s": 8},
            "capture": {"retry_max_s": 2, "open_timeout_s": 5},
            "sinks": {"lines": {"kind": "file", "path": str(disk / "sink" / "events.jsonl")}},
            "workers": {"count": 1 + seed % 2},
            "gallery": {"folder": str(folder / "gallery"), "check_photos": False},  # all of them show two people
        }
        env = {**os.environ, "TMPDIR": str(folder / "tmp")}
        cameras = {f"cam{n}": {"url": server.url(f"cam{n}")} for n in (1, 2, 3)}
        self.daemon = Daemon(folder / "d", models=Config().models_path, cameras=cameras, extra=extra, env=env)
        self.daemon.state = disk / "state"
        self._told = Told()
        self._tongs = Tongs(self.daemon, self._told, env)
        self._follower = Follower(self.daemon, self._told)
        self._checks = Checks(self.daemon, disk, self._follower, self._tongs, self._told)
        photos = [faces / "astronaut.png", faces / "biden.jpg"]
        self._faults = (
            self._kill_a_child,
            self._stop_a_child_for_a_while,
            self._stop_the_supervisor_for_a_while,
            self._kill_the_supervisor,
            self._change_the_configuration,
            self._break_the_configuration,
            self._fill_the_disk,
            self._kill_the_cameras,
            self._subscribers,
            self._nonsense_at_every_socket,
        )
        self._config = threading.Lock()
        self._scene = threading.Lock()
        self._calm = threading.Event()
        watched, erased = folder / "gallery", self._checks.erased
        self._people = People(self._tongs, self._told, photos, watched, calm=self._calm, erased=erased)
        self._ready_after_s: list[float] = []

    def summary(self) -> dict[str, Any]:
        slowest_s = round(max(self._ready_after_s, default=0.0), 1)
        done = dict(sorted(self._told.done.items()))
        return {"broken": self._told.broken, "done": done, "rounds": len(self._ready_after_s), "ready_s": slowest_s}

    # -- rounds ----------------------------------------------------------------------------------------------------

    def rage(self, end_s: float) -> None:
        scenes = threading.Thread(target=self._scenes, name="scenes", daemon=True)
        scenes.start()
        self._follower.start()
        while time.monotonic() < end_s and self._round():
            pass

    def _round(self) -> bool:
        """Whether the daemon came through it."""
        number = len(self._ready_after_s)
        kinds = self._chance.sample(self._faults, self._chance.randint(3, 6))
        words = ", ".join(kind.__name__.strip("_") for kind in kinds)
        print(f"round {number}: {words}", flush=True)
        self._calm.clear()
        threads = [threading.Thread(target=self._once, args=(kind, f"{self._seed}-{number}")) for kind in kinds]
        people = (*[self._people.story] * 3, self._people.stranger)
        threads += [
            threading.Thread(target=self._again, args=(kind, f"{self._seed}-{number}-{n}"))
            for n, kind in enumerate(people)
        ]
        for thread in threads:
            thread.start()
        for thread in threads[: len(kinds)]:
            thread.join()
        began_s = time.monotonic()
        self._calm.set()
        ready = self._becomes_ready(f"round {number} ({words})")
        self._ready_after_s.append(time.monotonic() - began_s)
        for thread in threads:
            thread.join()
        if ready:
            self._becomes_ready(f"the people of round {number}")
            self._checks.quiet()
        return ready

    def _once(self, kind: Callable[[random.Random], None], seed: str) -> None:
        chance = random.Random(f"{seed}-{kind.__name__}")
        threading.Event().wait(chance.uniform(0, ROUND_S * 0.6))
        try:
            kind(chance)
            self._told.did(f"fault: {kind.__name__.strip('_')}")
        except (OSError, LookupError, StreamdError) as error:  # another fault was there first
            self._told.did(f"fault in vain: {kind.__name__.strip('_')}: {type(error).__name__}")

    def _again(self, story: Callable[[random.Random], None], seed: str) -> None:
        chance = random.Random(seed)
        while not self._calm.wait(chance.uniform(0.5, 4)):
            story(chance)

    def _becomes_ready(self, after: str) -> bool:
        def look() -> bool:
            assert self.daemon.process is not None
            if self.daemon.process.poll() == ExitCode.UNAVAILABLE:  # as systemd would
                self._told.did("started again")
                self.daemon.start(wait=False)
            return is_ready(self.daemon)

        try:
            eventually(look, timeout_s=READY_S)
        except AssertionError:
            self._told.breaks(f"not ready {READY_S} s after {after}: {self.daemon.get('/readyz')}")
            return False
        return True

    def end(self) -> None:
        """Forget everybody, stop, judge, and start once more."""
        self._people.finish(self.daemon.state / "gallery.sqlite")
        eventually(self._follower.caught_up, what="the follower has what the journal has")
        self._follower.stop()
        self._stop()
        self._checks.nobody_left(self._folder)
        self._checks.ended(self._people.all)
        if left := [path.name for path in (self._folder / "tmp").iterdir()]:
            self._told.breaks(f"temporary files are left: {left}")
        self.daemon.start(wait=False)
        if self._becomes_ready("the last start"):
            self._stop()

    def _stop(self) -> None:
        try:
            if (code := self.daemon.stop()) != 0:
                self._told.breaks(f"streamd run ended with {code} on SIGTERM")
        except subprocess.TimeoutExpired:
            self._told.breaks("streamd run did not end within 60 s of SIGTERM")

    def _scenes(self) -> None:
        chance = random.Random(self._seed)
        while True:
            with self._scene, suppress(OSError, AssertionError, ValueError):  # the server is away
                self._server.show(f"cam{chance.choice((1, 2, 3))}", self._views.next(chance))
            time.sleep(chance.uniform(0.3, 2.0))

    # -- faults ----------------------------------------------------------------------------------------------------

    def _kill_a_child(self, chance: random.Random) -> None:
        for _ in range(chance.randint(1, 3)):
            os.kill(self._a_child(chance), signal.SIGKILL)
            threading.Event().wait(chance.uniform(0, 4))

    def _stop_a_child_for_a_while(self, chance: random.Random) -> None:
        pid = self._a_child(chance)
        os.kill(pid, signal.SIGSTOP)
        self._hold(pid, chance.uniform(1, 12))

    def _stop_the_supervisor_for_a_while(self, chance: random.Random) -> None:
        assert self.daemon.process is not None
        self.daemon.process.send_signal(signal.SIGSTOP)
        self._hold(self.daemon.process.pid, chance.uniform(1, 12))

    def _a_child(self, chance: random.Random) -> int:
        return chance.choice([child.pid for child in self.daemon.status().children if child.pid is not None])

    def _hold(self, pid: int, seconds: float) -> None:
        threading.Event().wait(seconds)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    def _kill_the_supervisor(self, chance: random.Random) -> None:
        """And start it again, at once or when its children are gone, as often as systemd would."""
        assert self.daemon.process is not None
        with self._config:  # a file that is broken at this moment would be a reason not to start
            before = {child.pid for child in self.daemon.status().children}
            self.daemon.process.kill()
            self.daemon.process.wait()
            killed_s = time.monotonic()
            if chance.random() < 0.5:
                self._await_gone(before, killed_s)
            for _ in range(10):
                self.daemon.start(wait=False)
                with suppress(subprocess.TimeoutExpired):
                    self._told.did(f"start refused with {self.daemon.process.wait(8)}")
                    threading.Event().wait(2)
                    continue
                break
        self._await_gone(before, killed_s)

    def _await_gone(self, pids: set[int | None], since_s: float) -> None:
        try:
            eventually(
                lambda: not pids & processes_of(self._folder).keys(), timeout_s=since_s + GONE_S - time.monotonic()
            )
        except AssertionError:
            left = {pid: line for pid, line in processes_of(self._folder).items() if pid in pids}
            self._told.breaks(f"{GONE_S} s after their supervisor was killed there are still {left}")

    def _change_the_configuration(self, chance: random.Random) -> None:
        for _ in range(chance.randint(1, 4)):
            with self._config:
                if chance.random() < 0.4:
                    section, key, values = chance.choice(OPTIONS)
                    self.daemon.body.setdefault(section, {})[key] = chance.choice(values)
                elif "guest" in self.daemon.body["cameras"]:
                    del self.daemon.body["cameras"]["guest"]
                else:
                    self.daemon.body["cameras"]["guest"] = {"url": self._server.url("cam4")}
                self.daemon.write_config()
                self.daemon.reload()
            threading.Event().wait(chance.uniform(0.1, 4))

    def _break_the_configuration(self, chance: random.Random) -> None:
        with self._config:
            self.daemon.config.write_text(chance.choice(NONSENSE))
            self.daemon.reload()
            threading.Event().wait(chance.uniform(0.5, 3))
            self.daemon.write_config()
            self.daemon.reload()

    def _fill_the_disk(self, chance: random.Random) -> None:
        if not self._disk.is_mount():
            raise OSError("the disk is not ours to fill")
        ballast = self._disk / "ballast"
        try:
            with suppress(OSError), ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(1 << 16))
            threading.Event().wait(chance.uniform(3, 12))
        finally:
            ballast.unlink(missing_ok=True)

    def _kill_the_cameras(self, chance: random.Random) -> None:
        with self._scene:
            self._server.kill()
            threading.Event().wait(chance.uniform(1, 8))
            self._server.start()

    def _subscribers(self, chance: random.Random) -> None:
        """Come, read, stall, read on, and go."""
        for _ in range(3):
            since = chance.choice((0, max(0, self._follower.position - 20)))
            with self.daemon.subscribe(since=since, timeout_s=3.0) as events:
                numbers = [event.seq for event in islice(events, chance.randint(1, 30))]
                threading.Event().wait(chance.uniform(0, 6))
                numbers += [event.seq for event in islice(events, max(0, self._follower.position - since))]
            if numbers != list(range(since + 1, since + 1 + len(numbers))):
                self._told.breaks(f"a subscriber since {since} got {numbers}")

    def _nonsense_at_every_socket(self, chance: random.Random) -> None:
        nonsense_at_every_socket(self.daemon, chance)


if __name__ == "__main__":
    main()
