"""The main stream beside a sub-stream: followed all the time, decoded only around the pictures that are asked for.

Its packets since a key frame are held. The first picture that is asked for decodes them; then everything is decoded
until nobody has asked for a while. Where key frames are so far apart that this would take too long, everything is
decoded always.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

import av
import av.error

from streamd.config import CaptureConfig
from streamd.errors import SourceDenied, SourceError
from streamd.sources.aligning import StreamTime
from streamd.sources.avframe import media_s, squared
from streamd.sources.backlog import Backlog
from streamd.sources.costs import Cost
from streamd.sources.demuxing import MAX_DAMAGE, Demuxer, EndOfPackets, notice, stamp_s
from streamd.sources.failures import FAILURES
from streamd.sources.mainwork import MainWork
from streamd.sources.pacing import FALLBACK_FPS, Clock, retry_pause_s

if TYPE_CHECKING:
    from streamd.sources.demuxing import Packet

logger = logging.getLogger(__name__)

AWAKE_S = 1.0
"""Everything is decoded for this long after the last picture that was asked for."""
CATCH_UP_S = 0.4
"""Decoding what is held may take this long; a worker waits half a second for a picture."""
HELD_S = 10.0
HISTORY_S = 0.6
"""A key frame must be this old before what lies before it is let go of: pictures of a moment ago are asked for."""
RECENT = 8
"""Decoded frames that are kept."""
AROUND_S = 0.35
"""Frames that are farther from a moment are not of it."""
STALLED_S = 1.0
"""A stream without a packet for this long is not waited for,"""
GONE_S = 3.0
"""and after this long does not count as there at all."""


class MainStream:
    """Follows a stream in a thread of its own, which reconnects for ever; pictures are asked for from another."""

    def __init__(self, url: str, *, config: CaptureConfig, work: MainWork, clock: Clock | None = None) -> None:
        self.time = StreamTime()
        self.work = work
        self._config = config
        self._clock = clock or Clock()
        self._demuxer = Demuxer(url, config=config, clock=self._clock)
        self._stop = threading.Event()
        self._changed = threading.Condition()
        """Guards what is below. Not held while decoding."""
        self._decoding = threading.Lock()
        """Guards the decoder. Taken before ``_changed``."""
        self._size: tuple[int, int] | None = None
        self._pixel_shape = 1.0
        self._backlog: Backlog[Packet] = Backlog()
        self._passed_before = 0
        self._fps = FALLBACK_FPS
        self._recent: deque[av.VideoFrame] = deque(maxlen=RECENT)
        self._expected_s: float | None = None
        self._best: av.VideoFrame | None = None
        """The frame nearest to what is expected to be asked for."""
        self._asked_at_s = -math.inf
        self._packet_at_s = -math.inf
        self._cost = Cost()
        self._failure: SourceError | None = None
        self._damage = 0
        self._tried = threading.Event()
        self._thread = threading.Thread(target=self._run, name="main-stream", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """The thread ends with its next packet or time-out; nobody waits for it."""
        self._stop.set()
        self.work.up = False

    def wait_tried(self, timeout_s: float) -> None:
        """Until its size is known, or the first connection has failed."""
        self._tried.wait(timeout_s)

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height in square pixels, even; None where there is no stream, or has been none for a while."""
        with self._changed:
            return self._size if self._clock.now_s() - self._packet_at_s < GONE_S else None

    @property
    def pixel_shape(self) -> float:
        """Width to height of a pixel of its frames."""
        with self._changed:
            return self._pixel_shape

    def expect(self, moment_s: float) -> None:
        """A picture of this moment may be asked for next: the frame nearest to it is kept."""
        with self._changed:
            self._expected_s = moment_s
            self._best = min(self._frames(), key=lambda frame: _distance_s(frame, moment_s), default=None)

    def around(self, moment_s: float, *, timeout_s: float) -> list[av.VideoFrame]:
        """The frames about ``moment_s`` of the stream's own time, in order of time; waits for those to come."""
        deadline_s = self._clock.now_s() + timeout_s
        with self._changed:
            self._asked_at_s = self._clock.now_s()
        if not self.flows():
            return []
        self._catch_up(moment_s - AROUND_S)
        with self._changed:
            self._changed.wait_for(lambda: self._settled(moment_s), max(0.0, deadline_s - self._clock.now_s()))
            near = {id(frame): frame for frame in self._frames() if _distance_s(frame, moment_s) <= AROUND_S}
        return sorted(near.values(), key=lambda frame: media_s(frame) or 0.0)

    def _frames(self) -> Iterator[av.VideoFrame]:
        yield from self._recent
        if self._best is not None:
            yield self._best

    def flows(self) -> bool:
        """Whether packets come."""
        return self._clock.now_s() - self._packet_at_s < STALLED_S

    def _settled(self, moment_s: float) -> bool:
        """Whether no frame can come that is nearer, or none will come."""
        if not self.flows():
            return True
        newest_s = max((media_s(frame) or 0.0 for frame in self._recent), default=-math.inf)
        # A moment far ahead is of another time line: it is not waited for.
        return newest_s >= moment_s - 0.5 / self._fps or (bool(self._recent) and moment_s - newest_s > STALLED_S)

    def _run(self) -> None:
        failures = denials = 0
        told = ""
        while not self._stop.is_set():
            try:
                self._follow()
            except (SourceError, EndOfPackets) as error:
                failure = error if isinstance(error, SourceError) else self._demuxer.lost()
                failures = 0 if self.work.up else failures + 1
                denials = denials + 1 if isinstance(failure, SourceDenied) else 0
                if str(failure) != told and not self._stop.is_set():
                    told = str(failure)
                    logger.warning("main stream: %s", failure)
            finally:
                self._leave()
            self._tried.set()
            self._stop.wait(retry_pause_s(self._config, failures, denials))

    def _follow(self) -> None:
        self._demuxer.open()
        self._enter()
        while not self._stop.is_set():
            packet = self._demuxer.next()
            if packet is None or not packet.size:
                continue
            self._take(packet, self._clock.now_s())
            if self._awake():
                self._catch_up()
            if self._failure is not None:
                raise self._failure

    def _enter(self) -> None:
        with self._changed:
            self.time = StreamTime()
            self._fps = self._demuxer.fps or FALLBACK_FPS
            self._backlog, self._passed_before = Backlog(), self.work.passed
            self._failure, self._damage = None, 0
            # The first pictures tell the size, and what a packet costs.
            self._asked_at_s = self._clock.now_s()

    def _leave(self) -> None:
        with self._decoding, self._changed:
            self.work.up = False
            self._backlog = Backlog()
            self._recent.clear()
            self._best = None
            self._packet_at_s = min(self._packet_at_s, self._clock.now_s() - STALLED_S)
            self._changed.notify_all()
            self._demuxer.close()

    def _take(self, packet: Packet, now_s: float) -> None:
        notice(packet, self.time, now_s)
        with self._changed:
            self._packet_at_s = now_s
            self._backlog.add(packet, media_s=stamp_s(packet), arrived_s=now_s, most=self._most_held())
            if not self._awake():
                self._backlog.let_go(before_s=now_s - HISTORY_S)
            self.work.passed = self._passed_before + self._backlog.passed

    def _most_held(self) -> int:
        return int(min(HELD_S * self._fps, self._cost.most_within(CATCH_UP_S)))

    def _awake(self) -> bool:
        with self._changed:
            return self._backlog.long or self._clock.now_s() - self._asked_at_s < AWAKE_S

    def _catch_up(self, moment_s: float | None = None) -> None:
        """Decode what is held, from the last key frame before ``moment_s``."""
        with self._decoding:
            with self._changed:
                packets, afresh = self._backlog.take(moment_s)
            if afresh:
                self._demuxer.stream.codec_context.flush_buffers()
            for packet in packets:
                self._decode(packet)

    def _decode(self, packet: Packet) -> None:
        began_s = time.thread_time()
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            self._damaged()
            return
        except FAILURES as error:
            self._failure = self._demuxer.failure(error)
            return
        spent_s = time.thread_time() - began_s
        self.work.cpu_s += spent_s
        self.work.decoded += 1
        self._damage = 0
        if not packet.is_keyframe:
            self._cost.add(spent_s)
        for frame in frames:
            if frame.is_corrupt or media_s(frame) is None:
                self.work.corrupt += frame.is_corrupt
            else:
                self._show(frame)

    def _damaged(self) -> None:
        self.work.corrupt += 1
        self._damage += 1
        if self._damage > MAX_DAMAGE:
            self._failure = self._demuxer.lost()

    def _show(self, frame: av.VideoFrame) -> None:
        with self._changed:
            self._pixel_shape = self._demuxer.pixel_shape
            self._size = squared((frame.width & ~1, frame.height & ~1), self._pixel_shape)
            self.work.up = True
            self._recent.append(frame)
            wanted_s = self._expected_s
            if wanted_s is not None and (
                self._best is None or _distance_s(frame, wanted_s) < _distance_s(self._best, wanted_s)
            ):
                self._best = frame
            self._changed.notify_all()
        self._tried.set()


def _distance_s(frame: av.VideoFrame, moment_s: float) -> float:
    at_s = media_s(frame)
    return math.inf if at_s is None else abs(at_s - moment_s)
