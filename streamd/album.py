"""Pictures beside the journal: the best of each face, and, where wanted, the whole view with strangers blurred.

They are written by a thread, so that a slow disk delays nobody. An event names its pictures before they are written;
one that could not be written is missing, counted, and told in the log.
"""

from __future__ import annotations

import logging
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from streamd.appearances import Appearance
from streamd.config import SnapshotsConfig
from streamd.domain import Box, Frame, Picture
from streamd.events import Event, EventType, SnapshotFields
from streamd.gallery.vault import Vault
from streamd.metrics import Metrics
from streamd.vision.crops import crop_bgr
from streamd.vision.scaling import smaller

if TYPE_CHECKING:
    from streamd.domain import Image

logger = logging.getLogger(__name__)

SEALED = ".sealed"
PART = ".part"
"""Behind the name of a picture that is being written."""
WAITING_BOUND = 16
"""Pictures that wait to be written; further ones are dropped."""
REST_S = 10.0
"""After a picture could not be written none is promised for this long."""
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_MARGIN = 0.35
"""Of a face's box, on each side."""
_FACE_PX = 256
_JPEG_QUALITY = 88
_SAME_IOU = 0.3
_BLOCKS = 6
"""A blurred face is this many even squares across."""
_TOLD = frozenset({EventType.FACE_IDENTIFIED, EventType.FACE_UNKNOWN, EventType.FACE_REVISED, EventType.FACE_LEFT})


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A frame, and who is in it."""

    frame: Frame
    followed: Sequence[Appearance]
    found: Sequence[Box] = ()
    """Every face that the detector found, whether it is followed or not."""

    def people(self) -> list[str]:
        """Ids of those with a name."""
        return sorted({a.told.identity.person_id for a in self.followed if a.told.identity is not None})

    def strangers(self) -> list[Box]:
        """Faces of everybody else."""
        known = [a.track.box for a in self.followed if a.told.identity is not None]
        others = [box for box in self.found if all(box.iou(k) < _SAME_IOU for k in known)]
        return others + [a.track.box for a in self.followed if a.told.identity is None]


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    path: Path
    make: Callable[[], Image]


class Album:
    """Owns the folder of snapshots and the thread that writes into it."""

    def __init__(self, folder: Path, config: SnapshotsConfig, *, vault: Vault | None, metrics: Metrics) -> None:
        self._folder = folder
        self._config = config
        self.hides_strangers = config.frames == "blurred"
        """Whether everybody in a frame is to be found, for those who are not enrolled are blurred."""
        self._vault = vault
        self._metrics = metrics
        self._jobs: queue.Queue[_Job | None] = queue.Queue(WAITING_BOUND)
        self._failed_at_s = float("-inf")
        self._thread = threading.Thread(target=self._run, name="album", daemon=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            with suppress(queue.Full):  # a disk that hangs does not hold up the end
                self._jobs.put(None, timeout=5.0)
            self._thread.join(5.0)

    def look(self, appearance: Appearance, picture: Picture, box: Box, quality: float) -> None:
        """Remember a face's picture if it is the best so far."""
        if self._config.faces and quality > appearance.portrait_quality:
            appearance.portrait_quality = quality
            appearance.portrait = _shrunk(crop_bgr(picture, _enlarged(box, _MARGIN)))
            appearance.portrait_name = None

    def illustrate(self, event: Event, appearance: Appearance, scene: Scene) -> Event:
        """The event, with its pictures named and on their way to the disk."""
        if event.type not in _TOLD or time.monotonic() - self._failed_at_s < REST_S:
            return event
        snapshot: SnapshotFields = {}
        if (face := self._face(event, appearance)) is not None:
            snapshot["face"] = face
        if self._config.frames != "none" and event.type is not EventType.FACE_LEFT:
            hidden = scene.strangers() if self._config.frames == "blurred" else []
            name, picture = self._name(event, "frame"), scene.frame.picture
            if picture is not None and self._queue(name, partial(_blurred, picture, hidden)):
                snapshot["frame"], snapshot["people"] = name, scene.people()
        return replace(event, snapshot=snapshot) if snapshot else event

    def _face(self, event: Event, appearance: Appearance) -> str | None:
        """The name of the best picture, which is written once."""
        portrait = appearance.portrait
        if appearance.portrait_name is None and portrait is not None and portrait.size:
            name = self._name(event, "face")
            if self._queue(name, lambda: portrait):
                appearance.portrait_name = name
        return appearance.portrait_name

    def _name(self, event: Event, what: str) -> str:
        day = datetime.fromisoformat(event.at).astimezone(UTC).date().isoformat()
        return f"{day}/{event.track}-{event.id[:8]}-{what}.jpg{SEALED if self._vault else ''}"

    def _queue(self, name: str, make: Callable[[], Image]) -> bool:
        try:
            self._jobs.put_nowait(_Job(self._folder / name, make))
        except queue.Full:
            self._metrics.snapshots.labels(outcome="dropped").inc()
            return False
        return True

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self._write(job)
                self._metrics.snapshots.labels(outcome="kept").inc()
            except Exception as error:  # the disk, mostly; whatever it is, the next picture is tried
                if time.monotonic() - self._failed_at_s > REST_S:
                    foreseen = isinstance(error, OSError | cv2.error)
                    logger.error("pictures are not kept: %s: %s", job.path, error, exc_info=not foreseen)
                self._failed_at_s = time.monotonic()
                self._metrics.snapshots.labels(outcome="failed").inc()

    def _write(self, job: _Job) -> None:
        fine, jpeg = cv2.imencode(".jpg", job.make(), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        if not fine:
            raise OSError("it cannot be compressed")
        data = self._vault.seal(jpeg.tobytes()) if self._vault else jpeg.tobytes()
        job.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        scratch = job.path.with_name(job.path.name + PART)
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            scratch.replace(job.path)
        except OSError:
            scratch.unlink(missing_ok=True)
            raise


def tidy(folder: Path, *, older_than_wall_s: float, max_bytes: float) -> int:
    """Delete pictures that are too old, and the oldest of too many; how many went. Raises OSError.

    Of each picture two numbers are held, and no path: a list of them is 0.7 kB a picture, every few minutes, and the
    process hardly gives that back.
    """
    ages = np.fromiter(((s.st_mtime, s.st_size) for _, s in _pictures(folder)), np.dtype((np.float64, 2)))
    written_s, sizes = ages[np.argsort(ages[:, 0])].T
    no_younger = np.cumsum(sizes[::-1])[::-1]
    """Bytes of each picture and of all that were written after it."""
    going = np.flatnonzero((written_s < older_than_wall_s) | (no_younger > max_bytes))
    if not going.size:
        return 0
    gone = 0
    for entry, status in _pictures(folder):
        if status.st_mtime <= written_s[going[-1]]:
            Path(entry.path).unlink(missing_ok=True)
            gone += 1
    for day in days(folder):
        if not any(day.iterdir()):
            day.rmdir()
    return gone


def days(folder: Path) -> list[Path]:
    """The folders of pictures, the oldest first. What else lies there is not ours: ``lost+found``, where the folder is
    a disk of its own."""
    return sorted(path for path in folder.glob("*/") if _DAY.fullmatch(path.name))


def _pictures(folder: Path) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    """Everything in the folders of the days; others may delete meanwhile."""
    for day in days(folder):
        with suppress(FileNotFoundError), os.scandir(day) as entries:
            for entry in entries:
                try:
                    status = entry.stat()
                except FileNotFoundError:
                    continue
                yield entry, status


def _enlarged(box: Box, margin: float) -> Box:
    dx, dy = margin * box.width, margin * box.height
    return Box(box.x1 - dx, box.y1 - dy, box.x2 + dx, box.y2 + dy)


def _shrunk(image: Image) -> Image:
    longer = max(image.shape[:2])
    if longer <= _FACE_PX:
        return image
    size = (max(1, image.shape[1] * _FACE_PX // longer), max(1, image.shape[0] * _FACE_PX // longer))
    return smaller(image, size)


def _blurred(picture: Picture, hidden: Sequence[Box]) -> Image:
    """The whole picture, BGR, in which hidden faces are a few squares."""
    width, height = picture.size
    image = crop_bgr(picture, Box(0, 0, width, height))
    for box in hidden:
        around = _enlarged(box, _MARGIN)
        x1, y1 = max(0, round(around.x1)), max(0, round(around.y1))
        x2, y2 = min(width, round(around.x2)), min(height, round(around.y2))
        if x2 > x1 and y2 > y1:
            small = cv2.resize(image[y1:y2, x1:x2], (_BLOCKS, _BLOCKS), interpolation=cv2.INTER_AREA)
            image[y1:y2, x1:x2] = cv2.resize(small, (x2 - x1, y2 - y1), interpolation=cv2.INTER_NEAREST)
    return image
