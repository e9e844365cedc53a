"""A soak: a daemon with four cameras, whose surroundings change all the time, and what its processes hold meanwhile.

usage: soak.py [--minutes 60] [--out build/soak]     (PYTHONPATH=tests, after `make models`)

People come and go before three cameras, a fourth camera's server dies and comes back, a fifth camera is added and taken
away; people are enrolled, renamed, labelled and forgotten, changes are taken back, strangers are named and un-named;
subscribers, pages (events as they come, stills, MJPEG) and WebRTC viewers come and go. Every ten seconds: memory, open
files and threads of every process, and the state directory's size.

Writes OUT.csv (a line for each process and moment, and for each part of the state directory), OUT.png and OUT.json.
The verdict on a process that lived for at least half of the time is on its anonymous memory, for PSS moves with whoever
else on the machine shares its libraries: the slope after the first five minutes (Theil and Sen's, with the 95 %
interval), and again of the last half. Less than 1 MB an hour, or an interval that reaches below that, is `flat` over
the whole time, and `levels off` in the last half; anything else `grows`. `--again` judges and draws anew from OUT.csv.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from e2e.daemon import Daemon
from numpy.typing import NDArray
from rtsp_fixtures import RtspServer, placed
from watcher import Watcher

from streamd.config import Config
from streamd.demo.faces import pull_faces
from streamd.errors import StreamdError

Picture = NDArray[np.uint8]
SIZE = (640, 360)
FPS = 10
EVERY_S = 10.0
SETTLED_S = 300.0
"""What comes before is start-up: models, arenas, caches."""
FLAT_MB_PER_HOUR = 1.0
STATE = "state/"
"""Before the name of a part of the state directory, among the processes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--out", type=Path, default=Path("build/soak"), metavar="PREFIX")
    parser.add_argument("--again", action="store_true", help="from an earlier run's OUT.csv")
    parser.add_argument("--watch", nargs=3, metavar=("URL", "CAMERA", "SECONDS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.watch:
        watch(args.watch[0], args.watch[1], float(args.watch[2]))
        return
    args.out.parent.mkdir(parents=True, exist_ok=True)
    summary = again(args.out) if args.again else soak(args.minutes * 60, args.out)
    print(json.dumps(summary, indent=2))


def soak(seconds: float, out: Path) -> dict[str, Any]:
    faces = Config().state_dir / "demo" / "faces"
    pull_faces(faces)
    views = Views(faces)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        servers = [stack.enter_context(server(folder / f"rtsp{n}")) for n in range(2)]
        enrolled = folder / "gallery" / "Barack Obama"
        enrolled.mkdir(parents=True)
        (enrolled / "obama.jpg").write_bytes((faces / "obama.jpg").read_bytes())
        cameras = {f"cam{n}": {"url": servers[0].url(f"cam{n}")} for n in (1, 2, 3)}
        cameras["comes-and-goes"] = {"url": servers[1].url("cam1")}
        made = Daemon(folder / "d", models=Config().models_path, cameras=cameras, gallery=enrolled.parent)
        daemon = stack.enter_context(made)
        surroundings = Surroundings(daemon, servers, views, faces)
        log = Samples(daemon, out.with_suffix(".csv"))
        began_s = time.monotonic()
        with surroundings.alive():
            while (passed_s := time.monotonic() - began_s) < seconds:
                log.take(passed_s)
                threading.Event().wait(max(0.0, EVERY_S - (time.monotonic() - began_s - passed_s)))
        summary = log.summary(seconds) | surroundings.summary()
        metrics = daemon.metrics()
        summary["restarts"] = {k: int(v) for k, v in metrics.by("streamd_restarts_total", "child").items() if v}
        summary["events"] = metrics.by("streamd_events_total", "type")
        summary["frames_looked_at"] = metrics.total("streamd_frames_total", outcome="looked_at")
        summary["exit_code"] = daemon.stop()
        numbers = [event.seq for event in daemon.journal()]
        summary["journal"] = {"events": len(numbers), "gaps": int(np.sum(np.diff(numbers) != 1))}
        logged = daemon.logged()
        summary["log"] = {"bytes": len(logged), **Counter(w for w in logged.split() if w in ("WARNING", "ERROR"))}
        out.with_suffix(".log").write_text(logged[-2_000_000:])
    out.with_suffix(".json").write_text(json.dumps(summary, indent=2) + "\n")
    log.draw(out.with_suffix(".png"))
    return summary


def again(out: Path) -> dict[str, Any]:
    log = Samples.read(out.with_suffix(".csv"))
    log.draw(out.with_suffix(".png"))
    path = out.with_suffix(".json")
    before = json.loads(path.read_text()) if path.exists() else {}
    summary: dict[str, Any] = before | log.summary(log.seconds)
    path.write_text(json.dumps(summary, indent=2) + "\n")
    return summary


@contextmanager
def server(folder: Path) -> Iterator[RtspServer]:
    folder.mkdir()
    with RtspServer(folder, size=SIZE, fps=FPS) as made:
        yield made


class Views:
    """Pictures of who stands before a camera: one known person, one stranger, both, and nobody."""

    def __init__(self, faces: Path) -> None:
        self._people = {
            "obama": _read(faces / "obama2.jpg")[100:900],
            "biden": _read(faces / "biden.jpg")[50:950, 200:900],
            "astronaut": _read(faces / "astronaut.png")[:400],
        }
        self._nobody = np.full((SIZE[1], SIZE[0], 3), (96, 104, 100), np.uint8)

    def next(self, chance: random.Random) -> Picture:
        who = chance.choice(["", "", "obama", "biden", "both", "astronaut"])
        if not who:
            return self._nobody
        at = (chance.uniform(0.3, 0.7), 0.5)
        if who != "both":
            return placed(self._people[who], SIZE, height=chance.randint(260, 350), at=at)
        left = placed(self._people["obama"], (SIZE[0] // 2, SIZE[1]), height=340)
        return np.hstack([left, placed(self._people["biden"], (SIZE[0] // 2, SIZE[1]), height=330)])


def _read(path: Path) -> Picture:
    picture = cv2.imread(str(path))
    assert picture is not None, path
    return np.asarray(picture, np.uint8)


class Surroundings:
    """All that happens to the daemon, each kind in a thread of its own, until the end."""

    def __init__(self, daemon: Daemon, servers: Sequence[RtspServer], views: Views, faces: Path) -> None:
        self._daemon = daemon
        self._servers = servers
        self._views = views
        self._photo = (faces / "astronaut.png").read_bytes()
        self._over = threading.Event()
        self._counts: Counter[str] = Counter()
        self._numbers: list[int] = []

    @contextmanager
    def alive(self) -> Iterator[None]:
        kinds = (self._scenes, self._a_server, self._a_camera, self._gallery, self._strangers, self._subscribers)
        kinds = (*kinds, self._follower, self._pages, self._viewers)
        threads = [threading.Thread(target=self._again, args=(kind,), name=kind.__name__) for kind in kinds]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join(60)

    def summary(self) -> dict[str, Any]:
        """What was done how often, and whether a subscriber who was there all the time missed an event."""
        steps = np.diff(self._numbers)
        return {"done": dict(sorted(self._counts.items())), "subscriber_gaps": int(np.sum(steps != 1))}

    def _again(self, kind: Callable[[random.Random], None]) -> None:
        chance = random.Random(kind.__name__)
        while not self._over.is_set():
            try:
                kind(chance)
            except (OSError, ValueError, AssertionError, StreamdError, subprocess.SubprocessError) as error:
                self._counts[f"failed: {kind.__name__.strip('_')}: {str(error)[:80]}"] += 1
                self._over.wait(2)

    def _did(self, what: str) -> None:
        self._counts[what] += 1

    # -- before the cameras ----------------------------------------------------------------------------------------

    def _scenes(self, chance: random.Random) -> None:
        self._servers[0].show(f"cam{chance.choice((1, 2, 3))}", self._views.next(chance))
        self._did("scenes")
        self._over.wait(chance.uniform(0.5, 3.0))

    def _a_server(self, chance: random.Random) -> None:
        for _ in range(20):
            self._servers[1].show("cam1", self._views.next(chance))
            if self._over.wait(4):
                return
        self._servers[1].kill()
        self._over.wait(chance.uniform(5, 40))
        self._servers[1].start()
        self._did("camera came back")

    def _a_camera(self, chance: random.Random) -> None:
        if self._over.wait(150):
            return
        self._ask("POST", "/api/v1/cameras", {"name": "guest", "url": self._servers[0].url("cam4")})
        self._over.wait(30)
        self._ask("DELETE", "/api/v1/cameras/guest")
        self._did("camera added and taken away")

    # -- people ----------------------------------------------------------------------------------------------------

    def _gallery(self, chance: random.Random) -> None:
        if self._over.wait(20):
            return
        name = f"Throw-away {self._counts['person enrolled']}"
        self._enroll(name)
        self._did("person enrolled")
        self._over.wait(5)
        self._ask("PATCH", f"/api/v1/people/{_quoted(name)}", {"labels": {"site": ["hq"]}, "notes": "soon gone"})
        self._ask("PATCH", f"/api/v1/people/{_quoted(name)}", {"name": name + " b"})
        self._ask("POST", "/api/v1/gallery/undo", {})
        self._did("renamed, labelled, taken back")
        self._over.wait(10)
        self._ask("DELETE", f"/api/v1/people/{_quoted(name)}")
        self._did("person forgotten")

    def _strangers(self, chance: random.Random) -> None:
        if self._over.wait(25):
            return
        found = self._ask("GET", "/api/v1/unknowns?all=true")
        if not found:
            return
        self._ask("POST", f"/api/v1/unknowns/{found[0]['id']}/assign", {"name": "Joe Biden"})
        self._did("stranger named")
        self._over.wait(15)
        if chance.random() < 0.5:
            self._ask("DELETE", "/api/v1/people/Joe%20Biden")
            self._did("named stranger forgotten")
        else:
            self._ask("POST", "/api/v1/gallery/undo", {})
            self._did("stranger un-named")

    def _enroll(self, name: str) -> None:
        edge = "----soak"
        head = f'--{edge}\r\nContent-Disposition: form-data; name="photo"; filename="a.png"\r\n'
        body = (head + "Content-Type: image/png\r\n\r\n").encode() + self._photo + f"\r\n--{edge}--\r\n".encode()
        url = f"{self._daemon.http}/api/v1/people/{_quoted(name)}/photos?force=true"
        asked = urllib.request.Request(url, body, {"Content-Type": f"multipart/form-data; boundary={edge}"})
        _answer(asked)

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data else {}
        return _answer(urllib.request.Request(self._daemon.http + path, data, headers, method=method))

    # -- those who look --------------------------------------------------------------------------------------------

    def _subscribers(self, chance: random.Random) -> None:
        with self._daemon.subscribe(since=chance.choice([None, None, 0]), timeout_s=2.0) as events:
            end_s = time.monotonic() + chance.uniform(2, 15)
            for _ in events:
                if time.monotonic() > end_s or self._over.is_set():
                    break
        self._did("subscribers")
        self._over.wait(3)

    def _follower(self, chance: random.Random) -> None:
        with self._daemon.subscribe(since=self._numbers[-1] if self._numbers else 0, timeout_s=1.0) as events:
            while not self._over.is_set():
                self._numbers += [event.seq for event in events]

    def _pages(self, chance: random.Random) -> None:
        camera = f"cam{chance.choice((1, 2, 3))}"
        look = chance.choice((self._events_page, self._stills, self._mjpeg))
        look(camera, time.monotonic() + chance.uniform(3, 15))
        self._did(f"page: {look.__name__.strip('_')}")
        self._over.wait(1)

    def _events_page(self, camera: str, end_s: float) -> None:
        self._read_until("/api/v1/events/stream", end_s)

    def _mjpeg(self, camera: str, end_s: float) -> None:
        self._read_until(f"/api/v1/cameras/{camera}/stream.mjpeg?annotated=true&fps=5", end_s)

    def _stills(self, camera: str, end_s: float) -> None:
        while time.monotonic() < end_s and not self._over.is_set():
            for path in (f"/api/v1/cameras/{camera}/picture.jpg?width=320", "/api/v1/system", "/api/v1/people"):
                _answer(urllib.request.Request(self._daemon.http + path))
            self._over.wait(1)

    def _read_until(self, path: str, end_s: float) -> None:
        with suppress(TimeoutError), urllib.request.urlopen(self._daemon.http + path, timeout=3) as answer:
            while time.monotonic() < end_s and not self._over.is_set() and answer.read1(65536):
                pass

    def _viewers(self, chance: random.Random) -> None:
        if self._over.wait(chance.uniform(5, 20)):
            return
        camera = f"cam{chance.choice((1, 2, 3))}"
        command = ["nice", sys.executable, __file__, "--watch", self._daemon.http, camera, "8"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self._did("WebRTC viewers" if ended.returncode == 0 else f"failed: viewer: {ended.stderr[-200:]}")


def watch(base: str, camera: str, seconds: float) -> None:
    import asyncio

    async def viewing() -> None:
        async with Watcher(base, camera) as watcher:
            await watcher.until(lambda: watcher.frames > 5, timeout_s=15, what="a picture")
            await asyncio.sleep(seconds)
            if hash(camera) % 2:  # others just vanish
                request = urllib.request.Request(base + watcher.location, method="DELETE")
                await asyncio.to_thread(_answer, request)

    asyncio.run(viewing())


def _answer(request: urllib.request.Request) -> Any:
    """The JSON of an answer, or its bytes. Raises OSError with what was said."""
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            data = answer.read()
            return json.loads(data) if "json" in (answer.headers.get("Content-Type") or "") else data
    except urllib.error.HTTPError as error:
        with error:
            raise OSError(f"{request.get_method()} {error.code} {error.read().decode()[:120]}") from error


def _quoted(name: str) -> str:
    return urllib.parse.quote(name)


# -- what is measured ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process, or the state directory (without a process id), holds at a moment."""

    at_s: float
    process: str
    pid: int
    rss_mb: float
    pss_mb: float
    anonymous_mb: float
    open_files: int
    threads: int


class Samples:
    """Every sample so far, in a file as well."""

    def __init__(self, daemon: Daemon | None, path: Path) -> None:
        self._daemon = daemon
        self._path = path
        self._all: list[Sample] = []
        if daemon is None:
            return
        with path.open("w") as file:
            csv.writer(file).writerow([field.name for field in fields(Sample)])

    @classmethod
    def read(cls, path: Path) -> Samples:
        """Those of an earlier run."""
        made = cls(None, path)
        with path.open() as file:
            for row in csv.DictReader(file):
                at_s, *memory = (float(row[k]) for k in ("at_s", "rss_mb", "pss_mb", "anonymous_mb"))
                counts = (int(row[key]) for key in ("open_files", "threads"))
                made._all.append(Sample(at_s, row["process"], int(row["pid"]), *memory, *counts))
        return made

    @property
    def seconds(self) -> float:
        return self._all[-1].at_s

    def take(self, at_s: float) -> None:
        assert self._daemon is not None
        assert self._daemon.process is not None
        pids = {"supervisor": self._daemon.process.pid}
        with suppress(StreamdError):
            pids |= {c.name: c.pid for c in self._daemon.status().children if c.pid is not None}
        made = [sample for name, pid in pids.items() if (sample := _process(at_s, name, pid))]
        state = _state_mb(self._daemon.state)
        made += [Sample(round(at_s, 1), STATE + part, 0, size_mb, 0, 0, 0, 0) for part, size_mb in state.items()]
        with self._path.open("a") as file:
            for sample in made:
                csv.writer(file).writerow([getattr(sample, field.name) for field in fields(Sample)])
        self._all += made

    def summary(self, seconds: float) -> dict[str, Any]:
        lived = {
            f"{name} (pid {pid})": verdict(rows, min(SETTLED_S, seconds / 4))
            for (name, pid), rows in self._by_process().items()
            if rows[-1].at_s - rows[0].at_s >= seconds / 2
        }
        others = Counter(name for name, _ in self._by_process())
        found = {"minutes": round(seconds / 60, 1), "processes": lived, "processes_seen": dict(others)}
        state = {part: {"first_mb": rows[0].rss_mb, "last_mb": rows[-1].rss_mb} for part, rows in self._state().items()}
        return found | ({"state_directory": state} if state else {})

    def draw(self, path: Path) -> None:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(2, 2, figsize=(12, 7), dpi=90, layout="constrained", sharex=True)
        shown = [("anonymous_mb", "anonymous memory, MB"), ("open_files", "open files"), ("threads", "threads")]
        for (key, title), axis in zip(shown, axes.flat, strict=False):
            for (name, _), rows in self._by_process().items():
                if len(rows) > 5:
                    axis.plot([r.at_s / 60 for r in rows], [getattr(r, key) for r in rows], label=name, linewidth=1)
            axis.set_title(title)
            axis.set_ylim(bottom=0)
        for part, rows in self._state().items():
            axes.flat[3].plot([r.at_s / 60 for r in rows], [r.rss_mb for r in rows], label=part, linewidth=1)
        axes.flat[3].set_title("state directory, MB")
        for axis in axes.flat:
            axis.grid(alpha=0.3)
            axis.set_xlabel("minutes")
        for axis in (axes.flat[0], axes.flat[3]):
            handles = dict(zip(*axis.get_legend_handles_labels()[::-1], strict=True))
            axis.legend(handles.values(), handles.keys(), fontsize=7)
        figure.savefig(path)

    def _by_process(self) -> dict[tuple[str, int], list[Sample]]:
        found: dict[tuple[str, int], list[Sample]] = defaultdict(list)
        for sample in self._all:
            if not sample.process.startswith(STATE):
                found[sample.process, sample.pid].append(sample)
        return found

    def _state(self) -> dict[str, list[Sample]]:
        """By part of the state directory; ``rss_mb`` is its size."""
        found: dict[str, list[Sample]] = defaultdict(list)
        for sample in self._all:
            if sample.process.startswith(STATE):
                found[sample.process.removeprefix(STATE)].append(sample)
        return found


def verdict(rows: Sequence[Sample], settled_s: float) -> dict[str, Any]:
    """Slopes of one process's figures, an hour; see the module."""
    later = [row for row in rows if row.at_s >= settled_s]
    half = later[len(later) // 2 :]
    found: dict[str, Any] = {"first": _figures(later[0]), "last": _figures(later[-1])}
    for key in ("rss_mb", "pss_mb", "anonymous_mb", "open_files", "threads"):
        slope, low, high = _theil_sen(later, key)
        last, least, _ = _theil_sen(half, key)
        found[f"{key}_per_hour"] = {"slope": slope, "from": low, "to": high, "last_half": last, "last_half_from": least}
    memory = found["anonymous_mb_per_hour"]
    flat = min(memory["slope"], memory["from"]) < FLAT_MB_PER_HOUR
    levels_off = min(memory["last_half"], memory["last_half_from"]) < FLAT_MB_PER_HOUR
    found["memory"] = "flat" if flat else "levels off" if levels_off else "grows"
    found["files"] = "flat" if found["open_files_per_hour"]["from"] <= 0.5 else "grow"
    return found


def _figures(row: Sample) -> dict[str, float]:
    return {key: getattr(row, key) for key in ("rss_mb", "pss_mb", "anonymous_mb", "open_files", "threads")}


def _theil_sen(rows: Sequence[Sample], key: str) -> tuple[float, float, float]:
    """Median of the slopes between all pairs, an hour, and the 95 % interval (Sen 1968, from Kendall's statistic)."""
    at_h = np.array([row.at_s / 3600 for row in rows])
    values = np.array([float(getattr(row, key)) for row in rows])
    first, second = np.triu_indices(len(rows), k=1)
    slopes = np.sort((values[second] - values[first]) / (at_h[second] - at_h[first]))
    if len(slopes) < 10:
        return 0.0, float("-inf"), float("inf")
    n = len(rows)
    spread = 1.96 * np.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low = max(0, round((len(slopes) - spread) / 2))
    high = min(len(slopes) - 1, round((len(slopes) + spread) / 2))
    return round(float(np.median(slopes)), 2), round(float(slopes[low]), 2), round(float(slopes[high]), 2)


def _process(at_s: float, name: str, pid: int) -> Sample | None:
    """None: it has ended."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        kb = {line.split(":")[0]: int(line.split()[1]) for line in rollup.splitlines()[1:]}
        files = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
        threads = sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return None
    rss, pss, anonymous = (round(kb[key] / 1024, 2) for key in ("Rss", "Pss", "Anonymous"))
    return Sample(round(at_s, 1), name, pid, rss, pss, anonymous, files, threads)


def _state_mb(folder: Path) -> dict[str, float]:
    sizes: dict[str, float] = defaultdict(float)
    for path in folder.rglob("*"):
        with suppress(OSError):
            if path.is_file():
                part = path.relative_to(folder).parts[0].removesuffix("-wal").removesuffix("-shm")
                sizes[part] += path.stat().st_size / 1e6
    return {part: round(size, 2) for part, size in sizes.items()}


if __name__ == "__main__":
    main()
