"""What a worker holds after thousands of appearances, twenty times as many a minute as in the soak.

usage: appearances.py [--seconds 300] [--pause 0.2] [--changes] [--same-scene]   (PYTHONPATH=tests, after `make models`)

Four made-up cameras push pictures over the frame link into a worker that runs alone, with a publisher and without a
supervisor: another scene every six looks, and nobody, a known person, strangers or both in it. Pictures are tidied
every 15 s, not every ten minutes. With ``--changes`` people are enrolled, renamed and forgotten meanwhile, and
strangers named and un-named; with ``--same-scene`` nobody says that the scene is another, so that faces are followed
until they are gone for long enough.

Prints a line every 15 s, then JSON: events, and, from a quarter of the time to the end, how many scenes were shown and
how many kB of anonymous memory the worker took meanwhile, in all and for each scene.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import cv2
import numpy as np
import zmq

sys.path.insert(0, str(Path(__file__).parent))

from e2e.daemon import free_ports
from galleryparts import face
from soak import SIZE, Picture, Views

from streamd.child import Launch, Serve, run_alone
from streamd.config import CameraConfig, Config, DetectionConfig, EventsConfig, GalleryConfig, LogConfig
from streamd.demo.faces import pull_faces
from streamd.domain import Frame, FrameId, Yuv420
from streamd.endpoints import frames_endpoint
from streamd.errors import GalleryError
from streamd.framelink import CaptureEnd
from streamd.gallery.store import GalleryStore
from streamd.gallery.strangers import StrangerRecords
from streamd.journal import Journal
from streamd.sockets import Sockets
from streamd.statedir import prepare_directories

CAMERAS = ("cam1", "cam2", "cam3", "cam4")
LOOKS = 6
"""At each scene."""
EVERY_S = 15.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--pause", type=float, default=0.2, help="seconds between two scenes of a camera")
    parser.add_argument("--changes", action="store_true")
    parser.add_argument("--same-scene", action="store_true")
    args = parser.parse_args()
    faces = Config().state_dir / "demo" / "faces"
    pull_faces(faces)
    with tempfile.TemporaryDirectory(prefix="appearances-") as folder:
        config = configured(Path(folder), faces)
        prepare_directories(config)
        with child("publisher", config), child("worker@0", config) as worker, Sockets() as sockets:
            shown = Scenes(faces)
            cameras = [Camera(sockets, name, config, shown, args.pause, cut=not args.same_scene) for name in CAMERAS]
            over = threading.Event()
            changing = threading.Thread(target=change, args=(config, over))
            if args.changes:
                changing.start()
            samples = watch(cameras, worker, args.seconds)
            over.set()
            if args.changes:
                changing.join()
        with Journal(config.journal_file, read_only=True) as journal:
            events = journal.last_seq
    later = samples[len(samples) // 4 :]
    (before, before_kb), (after, after_kb) = later[0], later[-1]
    growth = {"scenes": after - before, "kb": after_kb - before_kb}
    print(json.dumps({"events": events, **growth, "kb_per_scene": round(growth["kb"] / growth["scenes"], 3)}))


def configured(folder: Path, faces: Path) -> Config:
    gallery = folder / "gallery" / "Barack Obama"
    gallery.mkdir(parents=True)
    (gallery / "obama.jpg").write_bytes((faces / "obama.jpg").read_bytes())
    at_once = DetectionConfig(
        undecided_interval_s=0.01, tracked_interval_s=0.02, motion_interval_s=0.01, still_interval_s=0.02
    )
    publish, replay = free_ports(2)
    return Config(
        state_dir=folder / "state",
        models_dir=Config().models_path,
        cameras={name: CameraConfig(url="rtsp://127.0.0.1/none", detection=at_once) for name in CAMERAS},
        gallery=GalleryConfig(folder=gallery.parent),
        events=EventsConfig(publish=f"tcp://127.0.0.1:{publish}", replay=f"tcp://127.0.0.1:{replay}"),
        log=LogConfig(level="warning"),
    )


@contextmanager
def child(name: str, config: Config) -> Iterator[BaseProcess]:
    process = get_context("spawn").Process(target=work, args=(name, config), name=name)
    process.start()
    try:
        yield process
    finally:
        process.terminate()
        process.join(30)


def work(name: str, config: Config) -> None:
    """A role, in a process of its own."""
    serve: Serve
    if name == "publisher":
        from streamd.publisher import serve
    else:
        from streamd import upkeep
        from streamd.worker import serve

        upkeep.TIDY_EVERY_S = EVERY_S
    sys.exit(run_alone(Launch(name, 0, "", config), serve))


class Scenes:
    """Scenes to choose from, in both forms that the frame link wants."""

    def __init__(self, faces: Path) -> None:
        views, self._chance = Views(faces), random.Random(5)
        self._all = [(view, _planes(view)) for view in (views.next(self._chance) for _ in range(60))]

    def next(self) -> tuple[Picture, Yuv420]:
        return self._chance.choice(self._all)


def _planes(view: Picture) -> Yuv420:
    return Yuv420(np.asarray(cv2.cvtColor(view, cv2.COLOR_BGR2YUV_I420), np.uint8), "bt601", False)


class Camera:
    """A capture without a camera: always something new, and another scene every few looks."""

    def __init__(
        self, sockets: Sockets, name: str, config: Config, scenes: Scenes, pause_s: float, *, cut: bool
    ) -> None:
        endpoint = frames_endpoint(config.sockets_dir, 0)
        self.socket = sockets.connect(zmq.DEALER, endpoint, identity=name.encode(), hwm=2, queue_unconnected=False)
        self.scenes_shown = 0
        self._end = CaptureEnd(self.socket)
        self._name, self._scenes, self._pause_s, self._cuts = name, scenes, pause_s, cut
        self._seq, self._looks, self._quiet_until_s = 0, 0, 0.0
        self._scene = scenes.next()
        self._sent: Frame | None = None
        self._wants_picture: bool | None = None

    def step(self, now_s: float) -> None:
        asked = self._end.asked()
        if self._sent is not None and asked.picture_of == self._sent.id.seq:
            self._end.send_picture(self._sent)
        if asked.frame:
            self._wants_picture = asked.picture
        if now_s < self._quiet_until_s:
            return
        if self._wants_picture is None:
            self._end.announce(motion=0.5, now_s=now_s)
        else:
            self._look(now_s, picture=self._wants_picture)
            self._wants_picture = None

    def _look(self, now_s: float, *, picture: bool) -> None:
        image, planes = self._scene
        self._seq += 1
        frame_id, cut = FrameId(self._name, "e", self._seq), self._cuts and not self._looks
        self._sent = Frame(frame_id, now_s, time.time(), image, planes, 0.5, cut=cut, full_size=SIZE)
        given = self._sent if picture else Frame(frame_id, now_s, time.time(), image, None, 0.5, cut, SIZE)
        self._end.send(given)
        self._looks += 1
        if self._looks == LOOKS:
            self._looks, self._scene = 0, self._scenes.next()
            self._quiet_until_s = now_s + self._pause_s
            self.scenes_shown += 1


def watch(cameras: list[Camera], worker: BaseProcess, seconds: float) -> list[tuple[int, int]]:
    """Serve the cameras; how many scenes were shown, and the worker's anonymous memory in kB, every 15 s."""
    poller = zmq.Poller()
    for camera in cameras:
        poller.register(camera.socket, zmq.POLLIN)
    samples: list[tuple[int, int]] = []
    began_s = time.monotonic()
    while (passed_s := time.monotonic() - began_s) < seconds and worker.is_alive():
        poller.poll(20)
        for camera in cameras:
            camera.step(time.monotonic())
        if passed_s >= len(samples) * EVERY_S:
            samples.append((sum(camera.scenes_shown for camera in cameras), anonymous_kb(worker)))
            print(f"{passed_s:6.0f} s  {samples[-1][0]:6} scenes  {samples[-1][1]} kB", flush=True)
    return samples


def anonymous_kb(process: BaseProcess) -> int:
    rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Anonymous:"))


def change(config: Config, over: threading.Event) -> None:
    """Enrol, rename, take back and forget; name strangers, and take that back or forget them."""
    chance = np.random.default_rng(7)
    with GalleryStore(config.gallery_file, actor="command") as store:
        strangers, number = StrangerRecords(store.database), 0
        while not over.wait(0.5):
            if not store.faces_by_model():  # the folder has not been looked at yet
                continue
            number += 1
            name = f"Throw-away {number}"
            vector = chance.normal(size=128).astype(np.float32)
            for model_id in store.faces_by_model():
                store.add_faces(name, [face(vector / np.linalg.norm(vector), f"photo:{number}", model_id=model_id)])
            over.wait(0.3)
            store.rename(name, f"{name} b")
            store.undo()
            store.forget(name)
            found = strangers.all()
            if number % 2 or not found:
                continue
            with suppress(GalleryError):  # the worker may have written of this stranger meanwhile
                strangers.assign(found[0].id, "Joe Biden")
                over.wait(0.6)
                if number % 4:
                    store.forget("Joe Biden")
                else:
                    store.undo()


if __name__ == "__main__":
    main()
