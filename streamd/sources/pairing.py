"""A camera's two streams as one source: looked at in the sub-stream, cut out of the main stream."""

from __future__ import annotations

from collections.abc import Sequence

import av
import numpy as np
from numpy.typing import NDArray

from streamd.config import CaptureConfig, redacted_url
from streamd.domain import Yuv420
from streamd.errors import SourceRejected
from streamd.interfaces import DecoderWork, SourceInfo
from streamd.sources.aligning import StreamTime, shift_s
from streamd.sources.av import AvSource
from streamd.sources.avframe import AvFrame
from streamd.sources.demuxing import notice
from streamd.sources.mainstream import MainStream
from streamd.sources.mainwork import MainWork
from streamd.sources.pacing import Clock
from streamd.sources.resemblance import Resemblance, thumb

OPEN_S = 3.0
"""How long the main stream's first picture is awaited; a camera whose main stream is late goes on without it."""
PICTURE_S = 0.4
"""How long a picture is awaited that is asked for."""
FARTHEST_S = 0.1
"""Where no frame is nearer to the moment that is asked for, there is no picture of it."""
SHAPE_TOLERANCE = 0.04
"""By which the two may differ in width to height: encoders round sizes to multiples of 8 or 16."""


class PairedSource:
    """Implements ``Source``. It is there while the sub-stream is; while the main stream is not, pictures come from the
    sub-stream and are of its size."""

    def __init__(
        self, url: str, substream: str, *, config: CaptureConfig, work: MainWork, clock: Clock | None = None
    ) -> None:
        self._url = url
        self._where = redacted_url(substream)
        self._config = config
        self._main_work = work
        self._clock = clock or Clock()
        self._time = StreamTime()
        self._resemblance = Resemblance()
        self._sub = AvSource(
            substream,
            config=config,
            clock=self._clock,
            noticed=lambda packet: notice(packet, self._time, self._clock.now_s()),
        )
        self._main: MainStream | None = None

    @property
    def work(self) -> DecoderWork:
        return self._sub.work

    @property
    def corrupt_packets(self) -> int:
        return self._sub.corrupt_packets

    @property
    def resting(self) -> bool:
        return self._sub.resting

    @resting.setter
    def resting(self, value: bool) -> None:
        self._sub.resting = value

    @property
    def settled(self) -> bool:
        return self._sub.settled

    @settled.setter
    def settled(self, value: bool) -> None:
        self._sub.settled = value

    def open(self) -> SourceInfo:
        self.close()
        self._time = StreamTime()
        self._resemblance = Resemblance()
        self._main = MainStream(self._url, config=self._config, work=self._main_work, clock=self._clock)
        self._main.start()
        try:
            info = self._sub.open()
        except BaseException:
            self.close()
            raise
        self._main.wait_tried(OPEN_S)
        size = self._main.size
        if size is None:
            return info
        return SourceInfo(*size, info.fps, info.codec, beside=f", sub-stream {info.width}x{info.height}")

    def read(self, timeout_s: float) -> PairedFrame | AvFrame:
        frame = self._sub.read(timeout_s)
        main = self._main
        if main is None or main.size is None:
            return frame
        self._compare(frame, main)
        return PairedFrame(frame, main, time=self._time, resemblance=self._resemblance)

    def close(self) -> None:
        main, self._main = self._main, None
        if main is not None:
            main.close()
        self._sub.close()

    def _compare(self, frame: AvFrame, main: MainStream) -> None:
        """Raises SourceRejected where the two do not show the same view."""
        width, height = frame.size
        main_width, main_height = main.size or frame.size
        if abs(width / height * main_height / main_width - 1) > SHAPE_TOLERANCE:
            raise SourceRejected(
                f"{self._where}: the sub-stream is {width}x{height}, of another shape than the main stream's "
                f"{main_width}x{main_height}: set both to one width to height, or leave substream out"
            )


class PairedFrame:
    """Implements ``DecodedFrame``: the image of the sub-stream, the picture of the main stream."""

    __slots__ = ("_main", "_resemblance", "_sub", "_time", "size")

    def __init__(self, sub: AvFrame, main: MainStream, *, time: StreamTime, resemblance: Resemblance) -> None:
        self.size = main.size or sub.size
        self._resemblance = resemblance
        self._sub = sub
        self._main = main
        self._time = time

    @property
    def image_size(self) -> tuple[int, int]:
        return self._sub.size

    @property
    def captured_at_s(self) -> float:
        return self._sub.captured_at_s

    @property
    def captured_wall_s(self) -> float:
        return self._sub.captured_wall_s

    @property
    def media_s(self) -> float:
        return self._sub.media_s

    def luma(self, step: int) -> NDArray[np.uint8]:
        return self._sub.luma(step)

    def small420(self, width: int, height: int) -> Yuv420:
        return self._sub.small420(width, height)

    def bgr(self, width: int, height: int) -> NDArray[np.uint8]:
        """Whoever looks at the image may ask for the picture next: it is kept."""
        moment_s = self.moment_s
        if moment_s is not None:
            self._main.expect(moment_s)
        return self._sub.bgr(width, height)

    def yuv420(self) -> Yuv420 | None:
        """Waits for it up to ``PICTURE_S``."""
        main, moment_s = self._main, self.moment_s
        if not main.flows():
            main.work.down += 1
            return None
        found = None
        if moment_s is not None:
            frames = map(self._as_main, main.around(moment_s, timeout_s=PICTURE_S))
            found = self._chosen(moment_s, [frame for frame in frames if frame.size == self.size])
        if found is None:
            main.work.far += 1
            return None
        main.work.sent += 1
        return found.yuv420()

    def _chosen(self, moment_s: float, frames: Sequence[AvFrame]) -> AvFrame | None:
        if not frames or min(abs(frame.media_s - moment_s) for frame in frames) > FARTHEST_S:
            return None
        candidates = [(frame.media_s, thumb(frame.luma(1))) for frame in frames]
        return frames[self._resemblance.choose(thumb(self._sub.luma(1)), moment_s, candidates)]

    def _as_main(self, frame: av.VideoFrame) -> AvFrame:
        return AvFrame(
            frame,
            captured_at_s=self.captured_at_s,
            captured_wall_s=self.captured_wall_s,
            pixel_shape=self._main.pixel_shape,
        )

    @property
    def moment_s(self) -> float | None:
        """When it was taken, by the main stream's time stamps; None while that is unknown."""
        stamp_s, shift = self._sub.stamp_s, shift_s(self._time, self._main.time)
        if stamp_s is None or shift is None:
            return None
        self._resemblance.start_from(shift)
        return stamp_s + shift + self._resemblance.correction_s
