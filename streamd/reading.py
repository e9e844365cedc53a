"""Reads one camera in a thread of its own, for ever: keeps the newest frame, measures motion, reconnects.

The thread drains the decoder whether or not anyone asks, because a slow reader of RTSP over TCP falls behind
without bound. One slot holds the newest frame; an unread one is replaced and counted as skipped.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from streamd.config import CaptureConfig
from streamd.domain import Frame, FrameId, Yuv420
from streamd.errors import SourceAwaited, SourceDenied, SourceEnded, SourceError, SourceLost, SourceRejected
from streamd.interfaces import DecodedFrame, DecoderWork, Source, SourceInfo
from streamd.masking import NO_MASK, Mask
from streamd.motion import COLUMNS, CutDetector, MotionMeter
from streamd.sources.pacing import retry_pause_s

logger = logging.getLogger(__name__)

WAKE_ALWAYS = -1.0
STEADY_S = 30.0
"""A camera that was online for so long is tried again at once when it is lost. One that is lost sooner is tried less
and less often, as one that never comes: each of its returns is an event."""
SAMPLE_EVERY_S = 0.12
"""How often motion is measured, but for the first frame after one was taken."""


@dataclass(frozen=True, slots=True)
class CameraState:
    """Where the camera stands, in words fit for people."""

    online: bool
    reason: str
    """``connecting online lost rejected waiting ended`` (a metric label)."""
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
    sample: NDArray[np.uint8] | None = None
    """What motion was measured on, where it was this frame."""


class Reader:
    """Owns the source and its thread."""

    def __init__(
        self,
        make: Callable[[], Source],
        config: CaptureConfig,
        *,
        name: str,
        mask: Mask = NO_MASK,
        motion_share: float = 0.004,
    ) -> None:
        self.wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        """Readable when a frame or a new state is there; see ``acknowledge``."""
        self.wake_above = WAKE_ALWAYS
        """A frame wakes whoever waits only if more has moved: most frames are replaced before they are wanted."""
        self.decoded = 0
        self.reconnects = 0
        self.corrupt_packets = 0
        self.work = DecoderWork()
        """Over all connections."""
        self._resting = self._settled = False
        self._source: Source | None = None
        self.stirred_at_s = time.monotonic()
        """When something last moved, or packets said so."""
        self.progress_s = time.monotonic()
        """When the thread last returned from the decoder or the network."""
        self._online_at_s = -math.inf
        self._make = make
        self._mask = mask
        self._config = config
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._state = CameraState(False, "connecting", "connecting")
        self._newest: Newest | None = None
        self._latest: Newest | None = None
        self._motion = MotionMeter()
        self._motion_share = motion_share
        self._sampled_at_s = -math.inf
        self._moved = 1.0
        self._cuts = CutDetector()
        self._size: tuple[int, int] | None = None
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
    def resting(self) -> bool:
        """Whether nothing moves and nobody is followed; set by whoever knows, from any thread."""
        return self._resting

    @resting.setter
    def resting(self, resting: bool) -> None:
        self._resting = resting
        if (source := self._source) is not None:
            source.resting = resting  # at once: it may be inside ``read`` for seconds

    @property
    def settled(self) -> bool:
        """Whether everybody who is followed is known; set by whoever knows, from any thread."""
        return self._settled

    @settled.setter
    def settled(self, settled: bool) -> None:
        self._settled = settled
        if (source := self._source) is not None:
            source.settled = settled

    @property
    def state(self) -> CameraState:
        with self._lock:
            return self._state

    @property
    def newest(self) -> Newest | None:
        with self._lock:
            return self._newest

    @property
    def latest(self) -> Newest | None:
        """The newest frame, also where it was taken already."""
        with self._lock:
            return self._latest

    @property
    def unchanged_at_s(self) -> float:
        """Until when the latest frame stands for the view; see ``DecoderWork``."""
        return self._source.work.unchanged_at_s if self._source is not None else -math.inf

    def take(self) -> Newest | None:
        """The newest frame, from which motion is measured hereafter; None if it was taken already."""
        with self._lock:
            taken, self._newest = self._newest, None
            if taken is not None:
                self._cuts.seen = False
                self._sampled_at_s = -math.inf
        if taken is not None:
            sample = taken.sample
            self._motion.refer_to(self._sample(taken.frame) if sample is None else sample)
        return taken

    def patience_s(self) -> float:
        """How long the thread may rightly be inside the decoder or the network. PyAV's own time-outs take up to
        twice their value."""
        state = self.state
        return 2 * (self._config.read_timeout_s if state.online else self._config.open_timeout_s) + 1

    def hung(self, now_s: float) -> bool:
        """Whether the thread is stuck; not where it has ended, with its film, nor where it gets packets."""
        source = self._source
        packet_at_s = source.work.packet_at_s if source is not None else -math.inf
        return self.state.reason != "ended" and now_s - max(self.progress_s, packet_at_s) > self.patience_s()

    def _run(self) -> None:
        failures = denials = 0
        while not self._stop.is_set():
            source = None
            try:
                source = self._source = self._make()
                source.resting, source.settled = self._resting, self._settled
                self._read_all(source)
            except (SourceError, OSError) as error:
                failures = 0 if self._was_steady() else failures + 1
                denials = denials + 1 if isinstance(error, SourceDenied) else 0
                self._failed(error if isinstance(error, SourceError) else _not_opened(error))
            finally:
                if source is not None:
                    source.close()
            if self.state.reason == "ended":
                return
            self._pause(failures, denials)

    def _was_steady(self) -> bool:
        return self.state.online and time.monotonic() - self._online_at_s >= STEADY_S

    def _read_all(self, source: Source) -> None:
        self.progress_s = time.monotonic()
        info = source.open()
        corrupt_before, work_before = self.corrupt_packets, replace(self.work)
        while not self._stop.is_set():
            self.progress_s = time.monotonic()
            frame = source.read(self._config.read_timeout_s)
            if not self.state.online:
                self._online_at_s = time.monotonic()
                self._enter(CameraState(True, "online", info.in_words, info))
            self.corrupt_packets = corrupt_before + source.corrupt_packets
            self._count(work_before, source.work)
            self._offer(frame)

    def _count(self, before: DecoderWork, now: DecoderWork) -> None:
        work = before.plus(now)
        if work.alarms > self.work.alarms:
            self.stirred_at_s = time.monotonic()
        self.work = work

    def _offer(self, frame: DecodedFrame) -> None:
        self.decoded += 1
        sample = None
        if frame.captured_at_s - self._sampled_at_s >= SAMPLE_EVERY_S:
            sample = self._sample(frame)
            self._moved = self._motion.look(sample, frame.captured_at_s)
            if self._moved >= self._motion_share:
                self.stirred_at_s = time.monotonic()
                self.resting = False
        with self._lock:
            if sample is not None:
                self._sampled_at_s = frame.captured_at_s
                self._cuts.look(sample)
            if self._size not in (None, frame.size):
                self._cuts.seen = True  # what was where in pixels of the picture before is nowhere now
            self._size = frame.size
            self._newest = self._latest = Newest(frame, self.decoded, self._moved, self._cuts.seen, sample)
        if self._moved > self.wake_above:
            self._wake()

    def _sample(self, frame: DecodedFrame) -> NDArray[np.uint8]:
        return self._mask.on(luma_sample(frame))

    def _failed(self, error: SourceError) -> None:
        reason = _reason(error)
        self._enter(CameraState(False, reason, str(error)))
        if reason not in ("ended", "waiting"):
            self.reconnects += 1

    def _enter(self, state: CameraState) -> None:
        with self._lock:
            before, self._state = self._state, state
            if not state.online:
                self._newest = self._latest = None
        if replace(before, info=None) != replace(state, info=None):
            harmless = state.online or state.reason == "waiting"
            logger.log(logging.INFO if harmless else logging.WARNING, "%s", state.message)
        self._wake()

    def _pause(self, failures: int, denials: int) -> None:
        deadline = time.monotonic() + retry_pause_s(self._config, failures, denials)
        while (left := deadline - time.monotonic()) > 0 and not self._stop.wait(min(left, 0.5)):
            self.progress_s = time.monotonic()

    def _wake(self) -> None:
        os.eventfd_write(self.wake_fd, 1)


def _not_opened(error: OSError) -> SourceRejected:
    """What a path says that may not be looked at, or cannot be."""
    where = f"{error.filename}: " if error.filename else ""
    return SourceRejected(f"{where}cannot be opened: {(error.strerror or str(error)).lower()}")


def _reason(error: SourceError) -> str:
    if isinstance(error, SourceRejected):
        return "rejected"
    if isinstance(error, SourceAwaited):
        return "waiting"
    if isinstance(error, SourceEnded):
        return "ended"
    return "lost" if isinstance(error, SourceLost) else "failed"


def luma_sample(frame: DecodedFrame) -> NDArray[np.uint8]:
    """What motion is measured on: the luma plane in about ``COLUMNS`` columns."""
    return frame.luma(max(1, frame.image_size[0] // COLUMNS)).copy()


def converted(
    frame: DecodedFrame,
    frame_id: FrameId,
    longer_side_px: int,
    *,
    motion: float,
    cut: bool = False,
    mask: Mask = NO_MASK,
    picture: bool = True,
) -> Frame:
    """What the worker gets, without what the mask hides: the view for the detector and, if asked for, the full
    picture."""
    width, height = fitted(frame.size, min(longer_side_px, max(frame.image_size)))
    return Frame(
        id=frame_id,
        captured_at_s=frame.captured_at_s,
        captured_wall_s=frame.captured_wall_s,
        image=mask.on(frame.bgr(width, height)),
        picture=full_picture(frame, mask) if picture else None,
        motion=motion,
        cut=cut,
        full_size=frame.size,
    )


def full_picture(frame: DecodedFrame, mask: Mask = NO_MASK) -> Yuv420 | None:
    """The full picture without what the mask hides; None where there is none of this moment."""
    picture = frame.yuv420()
    return None if picture is None else mask.on_yuv420(picture)


def fitted(size: tuple[int, int], longer_side_px: int) -> tuple[int, int]:
    """Width and height of a view scaled down to a longer side, same aspect, even; never enlarged."""
    width, height = size
    scale = min(1.0, longer_side_px / max(width, height))
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)
