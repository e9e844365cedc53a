"""Reads one camera in a thread of its own, for ever: keeps the newest frame, measures motion, reconnects.

The thread drains the decoder whether or not anyone asks, because a slow reader of RTSP over TCP falls behind
without bound. One slot holds the newest frame; an unread one is replaced and counted as skipped.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from streamd.config import CaptureConfig
from streamd.domain import Frame, FrameId
from streamd.errors import SourceEnded, SourceError, SourceLost, SourceRejected
from streamd.interfaces import DecodedFrame, Source, SourceInfo
from streamd.masking import Mask

logger = logging.getLogger(__name__)

MOTION_COLUMNS = 80
"""The luma plane is sampled to about this many columns."""
CUT_CORRELATION = 0.25
"""Of the luma of two frames in a row, below which they show different scenes. In the development clips it is under 0.13
at the cuts, and above 0.4 elsewhere, three frames apart."""
FLAT_LEVELS = 2.0
"""Standard deviation of a picture that shows nothing."""
NO_MASK = Mask(())
MOTION_LEVELS = 14
"""A sample that differs by more grey levels has changed; less is the codec's noise."""


@dataclass(frozen=True, slots=True)
class CameraState:
    """Where the camera stands, in words fit for people."""

    online: bool
    reason: str
    """``connecting online lost rejected ended`` (a metric label)."""
    message: str
    info: SourceInfo | None = None


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest decoded frame."""

    frame: DecodedFrame
    seq: int
    motion: float
    """Share of the view that changed since the last frame taken, 0..1."""
    cut: bool = False
    """Whether the scene changed since then."""


class Reader:
    """Owns the source and its thread."""

    def __init__(self, make: Callable[[], Source], config: CaptureConfig, *, name: str, mask: Mask = NO_MASK) -> None:
        self.wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        """Readable when a frame or a new state is there; see ``acknowledge``."""
        self.decoded = 0
        self.reconnects = 0
        self.corrupt_packets = 0
        self.progress_s = time.monotonic()
        """When the thread last returned from the decoder or the network."""
        self._make = make
        self._mask = mask
        self._config = config
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._state = CameraState(False, "connecting", "connecting")
        self._newest: Newest | None = None
        self._reference: NDArray[np.uint8] | None = None
        self._cuts = CutDetector()
        self._thread = threading.Thread(target=self._run, name=f"reader-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self, *, timeout_s: float) -> None:
        """Ask the thread to end; a decoder that hangs is left to the end of the process."""
        self._stop.set()
        self._thread.join(timeout_s)

    def acknowledge(self) -> None:
        """Reset ``wake_fd``."""
        try:
            os.eventfd_read(self.wake_fd)
        except BlockingIOError:
            return

    @property
    def state(self) -> CameraState:
        with self._lock:
            return self._state

    @property
    def newest(self) -> Newest | None:
        with self._lock:
            return self._newest

    def take(self) -> Newest | None:
        """The newest frame, from which motion is measured hereafter; None if it was taken already."""
        with self._lock:
            taken, self._newest = self._newest, None
            if taken is not None:
                self._cuts.seen = False
        if taken is not None:
            self._reference = self._mask.on(luma_sample(taken.frame))
        return taken

    def patience_s(self) -> float:
        """How long the thread may rightly be inside the decoder or the network. PyAV's own time-outs take up to
        twice their value."""
        state = self.state
        return 2 * (self._config.read_timeout_s if state.online else self._config.open_timeout_s) + 1

    def hung(self, now_s: float) -> bool:
        return now_s - self.progress_s > self.patience_s()

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            source = self._make()
            try:
                self._read_all(source)
            except SourceError as error:
                failures = 0 if self.state.online else failures + 1
                self._failed(error)
            finally:
                source.close()
            if self.state.reason == "ended":
                return
            self._pause(failures)

    def _read_all(self, source: Source) -> None:
        self.progress_s = time.monotonic()
        info = source.open()
        corrupt_before = self.corrupt_packets
        while not self._stop.is_set():
            self.progress_s = time.monotonic()
            frame = source.read(self._config.read_timeout_s)
            if not self.state.online:
                message = f"{info.codec} {info.width}x{info.height}"
                self._enter(CameraState(True, "online", message, info))
            self._offer(frame)
            self.corrupt_packets = corrupt_before + source.corrupt_packets

    def _offer(self, frame: DecodedFrame) -> None:
        self.decoded += 1
        sample = self._mask.on(luma_sample(frame))
        motion = changed_share(sample, self._reference)
        with self._lock:
            self._cuts.look(sample)
            self._newest = Newest(frame, self.decoded, motion, self._cuts.seen)
        self._wake()

    def _failed(self, error: SourceError) -> None:
        reason = _reason(error)
        self._enter(CameraState(False, reason, str(error)))
        if reason != "ended":
            self.reconnects += 1

    def _enter(self, state: CameraState) -> None:
        with self._lock:
            before, self._state = self._state, state
            if not state.online:
                self._newest = None
        if replace(before, info=None) != replace(state, info=None):
            logger.log(logging.INFO if state.online else logging.WARNING, "%s", state.message)
        self._wake()

    def _pause(self, failures: int) -> None:
        """Exponential, with up to a quarter of jitter, so that cameras behind one switch do not return as one."""
        longest = self._config.retry_max_s
        pause = min(longest, self._config.retry_min_s * 2.0 ** min(max(failures - 1, 0), 30))
        deadline = time.monotonic() + pause * (1 + 0.25 * random.random())
        while (left := deadline - time.monotonic()) > 0 and not self._stop.wait(min(left, 0.5)):
            self.progress_s = time.monotonic()

    def _wake(self) -> None:
        os.eventfd_write(self.wake_fd, 1)


def _reason(error: SourceError) -> str:
    if isinstance(error, SourceRejected):
        return "rejected"
    if isinstance(error, SourceEnded):
        return "ended"
    return "lost" if isinstance(error, SourceLost) else "failed"


def luma_sample(frame: DecodedFrame) -> NDArray[np.uint8]:
    """What motion is measured on: the luma plane in about ``MOTION_COLUMNS`` columns."""
    return frame.luma(max(1, frame.size[0] // MOTION_COLUMNS)).copy()


class CutDetector:
    """Notices that a camera shows another scene: it was turned, or a video was cut.

    Whoever moves through a view leaves most of it alike from one frame to the next, and light changes all of it alike.
    """

    def __init__(self) -> None:
        self.seen = False
        """Whether there was one; set back by whoever has taken note."""
        self._last: NDArray[np.uint8] | None = None

    def look(self, sample: NDArray[np.uint8]) -> None:
        """The next decoded frame's ``luma_sample``."""
        last, self._last = self._last, sample
        if last is not None and not _alike(last, sample):
            self.seen = True


def _alike(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> bool:
    if before.shape != after.shape:
        return False
    a, b = (x.astype(np.float32) - x.mean(dtype=np.float32) for x in (before, after))
    spread_a, spread_b = float(a.std()), float(b.std())
    if min(spread_a, spread_b) < FLAT_LEVELS:
        return max(spread_a, spread_b) < FLAT_LEVELS
    return float((a * b).mean()) >= CUT_CORRELATION * spread_a * spread_b


def changed_share(sample: NDArray[np.uint8], reference: NDArray[np.uint8] | None) -> float:
    """Share of the view that differs, 0..1; all of it where there is nothing to compare with."""
    if reference is None or reference.shape != sample.shape:
        return 1.0
    # A plain difference would need int16.
    return float((np.maximum(sample, reference) - np.minimum(sample, reference) > MOTION_LEVELS).mean())


def converted(
    frame: DecodedFrame,
    frame_id: FrameId,
    longer_side_px: int,
    *,
    motion: float,
    cut: bool = False,
    mask: Mask = NO_MASK,
) -> Frame:
    """What the worker gets: the view for the detector, and the full picture, without what the mask hides."""
    width, height = fitted(frame.size, longer_side_px)
    return Frame(
        id=frame_id,
        captured_at_s=frame.captured_at_s,
        captured_wall_s=frame.captured_wall_s,
        image=mask.on(frame.bgr(width, height)),
        picture=mask.on_yuv420(frame.yuv420()),
        motion=motion,
        cut=cut,
    )


def fitted(size: tuple[int, int], longer_side_px: int) -> tuple[int, int]:
    """Width and height of a view scaled down to a longer side, same aspect, even; never enlarged."""
    width, height = size
    scale = min(1.0, longer_side_px / max(width, height))
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)
