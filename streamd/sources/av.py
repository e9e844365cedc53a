"""Everything that FFmpeg reads: RTSP, HTTP (MJPEG, HLS), files and V4L2 webcams."""

from __future__ import annotations

import logging
import math
import re
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from streamd.config import CaptureConfig, redacted_url
from streamd.errors import SourceEnded, SourceLost, SourceRejected
from streamd.interfaces import DecoderWork, SourceInfo
from streamd.sources.avframe import AvFrame, media_s, owned
from streamd.sources.dozing import Doze
from streamd.sources.failures import FAILURES, in_words
from streamd.sources.pacing import FALLBACK_FPS, Clock, Pacer

logger = logging.getLogger(__name__)

MAX_FPS = 240.0
"""Nominal rates above this are clock rates that a stream gives for want of a better one."""
MAX_DAMAGE = 200
"""Unreadable packets in a row after which a stream counts as ended."""
HELD_S = 4.0
"""Packets of a longer time are never held back: cameras are looked at now and then even where nothing moves."""
CATCH_UP_S = 0.25
"""Packets that would take longer to decode are not held back."""
_WEBCAM = re.compile(r"/dev/video\d+$")
_TEXT = ("ansi", "xbin", "bintext", "idf")
"""FFmpeg plays text files as terminal output."""


class AvSource:
    """Implements ``Source`` over PyAV.

    A live stream that ends is lost; a file starts again (``config.loop``) or ends. Damaged packets are
    skipped and counted in ``corrupt_packets``.
    """

    def __init__(self, url: str, *, config: CaptureConfig, clock: Clock | None = None) -> None:
        self.corrupt_packets = 0
        self.work = DecoderWork()
        self.resting = False
        self._url = url
        self._where = redacted_url(url)
        self._config = config
        self._clock = clock or Clock()
        self._is_webcam = _WEBCAM.match(url) is not None
        self._is_file = "://" not in url and not self._is_webcam
        self._live = not self._is_file
        self._container: InputContainer | None = None
        self._stream: VideoStream | None = None
        self._packets: Iterator[av.Packet[VideoStream]] = iter(())
        self._decoded: deque[av.VideoFrame] = deque()  # bounded by the decoder's delay: what one packet gives
        self._pacer: Pacer | None = None
        self._doze: Doze[av.Packet[VideoStream]] = Doze(config.idle)
        self._fps = 0.0
        self._pictures = 0
        self._damage = 0

    def open(self) -> SourceInfo:
        self.close()
        self._doze = Doze(self._config.idle)
        if self._is_file and not Path(self._url).is_file():
            raise SourceRejected(f"{self._where}: no such file")
        self._connect()
        info = self._described()
        self._fps = info.fps or FALLBACK_FPS
        self._pacer = self._schedule(info.fps)
        return info

    def read(self, timeout_s: float) -> AvFrame:
        frame = self._next_frame(timeout_s)
        now_s = self._clock.now_s()
        at_s = now_s
        if self._pacer is not None:
            at_s = self._pacer.due_s(media_s(frame), now_s)
            if at_s > now_s:
                self._clock.wait(at_s - now_s)
        return AvFrame(frame, captured_at_s=at_s, captured_wall_s=self._clock.wall_of(at_s))

    def close(self) -> None:
        container, self._container, self._stream = self._container, None, None
        self._packets = iter(())
        self._decoded.clear()
        if container is not None:
            container.close()

    def _connect(self) -> None:
        waited_s = self._config.open_timeout_s
        began_s = self._clock.now_s()
        try:
            self._container = self._opened()
            self._stream = self._picked(self._container)
            self._packets = self._container.demux(self._stream)
        except FAILURES as error:
            self.close()
            if isinstance(error, av.error.InvalidDataError) and self._clock.now_s() - began_s >= waited_s:
                # What FFmpeg makes of a host that never answers.
                raise SourceLost(f"{self._where}: no answer for {waited_s:g} s") from None
            # "from None": the chain would show the url with its password.
            raise in_words(error, where=self._where, live=self._live, waited_s=waited_s) from None

    def _opened(self) -> InputContainer:
        name, input_format, options = _arguments(self._url, self._config)
        timeout_s = (self._config.open_timeout_s, self._config.read_timeout_s)
        try:
            return av.open(name, "r", format=input_format, options=options, timeout=timeout_s)
        except av.error.HTTPOtherClientError:
            # A server without video has nothing left to play. Asked for everything it says what it has.
            if options.pop("allowed_media_types", None) is None:
                raise
            return av.open(name, "r", format=input_format, options=options, timeout=timeout_s)

    def _picked(self, container: InputContainer) -> VideoStream:
        stream = container.streams.best("video")
        if not isinstance(stream, VideoStream):
            self.close()
            raise SourceRejected(f"{self._where}: has no video stream")
        if stream.codec_context is None:
            self.close()
            raise SourceRejected(f"{self._where}: no decoder for its codec: set it to h264, h265 or mjpeg")
        if stream.codec_context.name in _TEXT:
            self.close()
            raise SourceRejected(f"{self._where}: is text, not a video")
        stream.codec_context.thread_count = self._config.decoder_threads
        # Threads by frame hold back a frame each: only where nobody waits for the newest one.
        stream.codec_context.thread_type = "AUTO" if self._is_file else "SLICE"
        return stream

    def _described(self) -> SourceInfo:
        """Size and codec; where the container does not tell, the first picture does."""
        stream = self._stream
        if stream is None or stream.codec_context is None:
            raise SourceLost(f"{self._where}: is not open")
        width, height = stream.codec_context.width, stream.codec_context.height
        if not width or not height:
            first = self._next_frame(self._config.open_timeout_s)
            self._decoded.appendleft(first)
            width, height = first.width, first.height
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        fps = rate if 0 < rate <= MAX_FPS else 0.0
        return SourceInfo(width & ~1, height & ~1, fps, stream.codec_context.name)

    def _schedule(self, fps: float) -> Pacer | None:
        container = self._container
        if container is None:
            return None
        hls = container.format.name == "hls"
        # A recording behind http is played as a file is; rtsp and webcams give their frames when they have them.
        recorded = self._url.startswith("http") and container.duration is not None
        self._live = not (self._is_file or recorded)
        if self._config.pace == "fast" or not (self._is_file or recorded or hls):
            return None
        # HLS hands over whole segments: unpaced, one frame of each would be the newest and the rest skipped.
        return Pacer(fps=fps, live=hls and self._live)

    def _next_frame(self, timeout_s: float) -> av.VideoFrame:
        began_s = self._clock.now_s()
        while not self._decoded:
            self._decode_one()
            if not self._decoded and self._clock.now_s() - began_s > timeout_s:
                bad = f", {self.corrupt_packets} damaged packets" if self.corrupt_packets else ""
                raise SourceLost(f"{self._where}: no picture for {timeout_s:g} s{bad}")
        self._pictures += 1
        return self._decoded.popleft()

    def _decode_one(self) -> None:
        """Demux one packet and decode what is due; what that gives is appended to ``_decoded``."""
        if self._container is None:
            raise SourceLost(f"{self._where}: is not open")
        try:
            packet = next(self._packets, None)
        except av.error.InvalidDataError:
            self._damaged()
            return
        except FAILURES as error:
            timeout_s = self._config.read_timeout_s
            raise in_words(error, where=self._where, live=self._live, waited_s=timeout_s) from None
        if packet is None:
            self._ended()
            return
        self._doze.resting = self.resting
        due = self._doze.sift(packet, most_held=self._most_held()) if packet.size else [packet]
        self._decode(due)
        self.work.packets += bool(packet.size)
        self.work.skipped, self.work.alarms = self._doze.skipped, self._doze.alarms
        if not due and self._pacer is not None:
            self._clock.wait(1 / self._fps)  # a file's packets come as a camera's would

    def _most_held(self) -> int:
        """Packets that may be held back: those of a short time, which are decoded in a shorter one."""
        seconds = min(HELD_S, 0.8 * self._config.read_timeout_s)
        decoded = self.work.packets - self.work.skipped
        cost_s = self.work.cpu_s / decoded if decoded > 0 else 0.0
        return int(min(seconds * self._fps, CATCH_UP_S / cost_s if cost_s else math.inf))

    def _decode(self, packets: Sequence[av.Packet[VideoStream]]) -> None:
        began_s = time.thread_time()
        for place, packet in enumerate(packets, start=1):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                self._damaged()
                continue
            except FAILURES as error:
                timeout_s = self._config.read_timeout_s
                raise in_words(error, where=self._where, live=self._live, waited_s=timeout_s) from None
            self._damage = 0
            for frame in frames:
                if frame.is_corrupt:  # decoded around lost packets: a smeared face is worse than none
                    self.corrupt_packets += 1
                elif place == len(packets):  # those before it were held back, and are old
                    self._decoded.append(owned(frame) if self._is_webcam else frame)
        self.work.cpu_s += time.thread_time() - began_s

    def _damaged(self) -> None:
        self.corrupt_packets += 1
        self._damage += 1
        if self._damage > MAX_DAMAGE:
            self._ended()
        elif self._container is not None and self._stream is not None:
            # An exception ends the generator; the demuxer itself goes on behind the damage.
            self._packets = self._container.demux(self._stream)

    def _ended(self) -> None:
        if self._live:
            what = "gives nothing but damaged packets" if self._damage else "the stream ended"
            raise SourceLost(f"{self._where}: {what}")
        if not self._pictures:
            raise SourceRejected(f"{self._where}: has no picture that can be decoded")
        if not self._config.loop:
            raise SourceEnded(f"{self._where}: played to its end")
        self._pictures = 0
        self._damage = 0
        self.close()
        self._connect()


def _arguments(url: str, config: CaptureConfig) -> tuple[str, str | None, dict[str, str]]:
    """Name, input format and options for FFmpeg."""
    if _WEBCAM.match(url):
        return url, "v4l2", {}
    if url.startswith(("rtsp://", "rtsps://")):
        # The session description names codec and size, so nothing needs probing: the first picture comes 0.15 s
        # after the call instead of 1.5 to 2 s. (fflags=nobuffer would throw away the key frame that probing
        # reads, and wait for the next.) Sound and metadata are not asked for.
        options = {"rtsp_transport": config.transport, "allowed_media_types": "video"}
        return url, None, options | {"probesize": "32", "analyzeduration": "0"}
    if "://" in url:
        # MJPEG has no time stamps, over which FFmpeg would brood for five seconds.
        return url, None, {"analyzeduration": "500000"}
    # "file:" keeps a colon in a file's name from being taken for a protocol.
    return f"file:{url}", None, {}
