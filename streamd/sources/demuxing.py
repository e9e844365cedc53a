"""The packets of one stream, as FFmpeg takes them from a camera or a file; nothing is decoded here."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

import av
import av.error
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from streamd.config import CaptureConfig, redacted_url
from streamd.errors import SourceError, SourceLost, SourceRejected
from streamd.sources.acceleration import Acceleration, acceleration
from streamd.sources.aligning import StreamTime
from streamd.sources.avframe import seconds
from streamd.sources.failures import FAILURES, in_words
from streamd.sources.pacing import Clock

MAX_FPS = 240.0
"""Nominal rates above this are clock rates that a stream gives for want of a better one."""
MAX_PIXEL_SHAPE, SQUARE = 3.0, 0.01
"""Pixels that are said to be longer are not believed; those that differ by less from a square are squares."""
MAX_DAMAGE = 200
"""Unreadable packets in a row after which a stream counts as ended."""
_WEBCAM = re.compile(r"/dev/video\d+$")
_LOOPED = ("h264", "hevc")
"""Decoders whose loop filter can be left out."""
_TEXT = ("ansi", "xbin", "bintext", "idf")
"""FFmpeg plays text files as terminal output."""

if TYPE_CHECKING:
    Packet = av.Packet[VideoStream]


class Demuxer:
    """One connection at a time, used by one thread."""

    def __init__(self, url: str, *, config: CaptureConfig, clock: Clock) -> None:
        self.where = redacted_url(url)
        self.corrupt_packets = 0
        self.damage = 0
        """Unreadable packets in a row."""
        self.is_webcam = _is_webcam(url)
        self.is_file = "://" not in url and not self.is_webcam
        self.live = not self.is_file
        """Whether an end is a loss."""
        self._url = url
        self._config = config
        self._clock = clock
        self._container: InputContainer | None = None
        self._stream: VideoStream | None = None
        self._packets: Iterator[Packet] = iter(())
        self._tick_s = 0.0
        """What one of the stream's time stamps counts."""

    @property
    def container(self) -> InputContainer:
        if self._container is None:
            raise SourceLost(f"{self.where}: is not open")
        return self._container

    @property
    def stream(self) -> VideoStream:
        if self._stream is None:
            raise SourceLost(f"{self.where}: is not open")
        return self._stream

    @property
    def fps(self) -> float:
        """Nominal; 0 where the stream does not say."""
        # Not what FFmpeg guesses where neither says: of H.264 it takes fields for frames, of MJPEG any rate will do.
        rate = float(self.stream.average_rate or self.stream.codec_context.framerate or 0)
        return rate if 0 < rate <= MAX_FPS else 0.0

    @property
    def has_light(self) -> bool:
        """Whether ``light`` saves anything."""
        on_cpu = self._config.hwaccel == "none"
        return on_cpu and self._config.idle != "all" and self.stream.codec_context.name in _LOOPED

    def light(self) -> VideoCodecContext:
        """Another decoder of the stream, without the loop filter; to be begun at a key frame."""
        context = self.stream.codec_context
        light = av.CodecContext.create(context.name, "r")
        if not isinstance(light, VideoCodecContext):
            raise SourceRejected(f"{self.where}: {context.name} is no video")
        light.extradata = context.extradata
        light.thread_count = 1
        light.options = {"skip_loop_filter": "all"}
        return light

    @property
    def pixel_shape(self) -> float:
        """Width to height of a pixel: not square where the stream says so, as old recorders' do."""
        told = float(self.stream.codec_context.sample_aspect_ratio or self.stream.sample_aspect_ratio or 1)
        believed = 1 / MAX_PIXEL_SHAPE <= told <= MAX_PIXEL_SHAPE and abs(told - 1) > SQUARE
        return told if believed else 1.0

    def open(self) -> None:
        self.close()
        waited_s = self._config.open_timeout_s
        began_s = self._clock.now_s()
        accelerated = acceleration(self._config.hwaccel, where=self.where)
        try:
            self._container = self._opened(accelerated)
            self._stream = self._picked(self._container)
            self._tick_s = float(self._stream.time_base or 0)
            self._packets = self._container.demux(self._stream)
        except FAILURES as error:
            self.close()
            if isinstance(error, av.error.InvalidDataError) and self._clock.now_s() - began_s >= waited_s:
                # What FFmpeg makes of a host that never answers.
                raise SourceLost(f"{self.where}: no answer for {waited_s:g} s") from None
            # "from None": the chain would show the url with its password.
            raise in_words(error, where=self.where, live=self.live, waited_s=waited_s) from None
        except SourceRejected:
            self.close()
            raise
        # A recording behind http is played as a file is; rtsp and webcams give their frames when they have them.
        self.live = not (self.is_file or self.recorded)

    @property
    def recorded(self) -> bool:
        """Whether it is a recording behind http."""
        return self._url.startswith("http") and self.container.duration is not None

    @property
    def is_picture(self) -> bool:
        """Whether it is a picture behind http, or several one after the other."""
        name = self.container.format.name
        return not self.is_file and (name == "image2" or name.endswith("_pipe"))

    def next(self) -> Packet | None:
        """The next packet, None where one was damaged. Raises EndOfPackets, SourceLost."""
        self.container  # noqa: B018  # raises where it is closed
        try:
            packet = next(self._packets, None)
        except av.error.InvalidDataError:
            self.damaged()
            return None
        except FAILURES as error:
            raise self.failure(error) from None
        if packet is None:
            raise EndOfPackets
        return packet

    def stamp_s(self, packet: Packet) -> float | None:
        """A packet's own time stamp in seconds, without the fraction that PyAV would make of its time base."""
        return None if packet.pts is None else packet.pts * self._tick_s

    def damaged(self) -> None:
        """Something could not be read or decoded. Raises EndOfPackets after too much of it."""
        self.corrupt_packets += 1
        self.damage += 1
        if self.damage > MAX_DAMAGE:
            raise EndOfPackets
        # An exception ends the generator; the demuxer itself goes on behind the damage.
        self._packets = self.container.demux(self.stream)

    def failure(self, error: Exception) -> SourceError:
        """What went wrong while reading, in words."""
        return in_words(error, where=self.where, live=self.live, waited_s=self._config.read_timeout_s)

    def lost(self) -> SourceLost:
        """That a live stream ended."""
        what = "gives nothing but damaged packets" if self.damage else "the stream ended"
        return SourceLost(f"{self.where}: {what}")

    def close(self) -> None:
        container, self._container, self._stream = self._container, None, None
        self._packets = iter(())
        if container is not None:
            container.close()

    def _opened(self, accelerated: Acceleration | None) -> InputContainer:
        name, input_format, options = _arguments(self._url, self._config)
        timeout_s = (self._config.open_timeout_s, self._config.read_timeout_s)
        device = accelerated.device() if accelerated else None
        try:
            return av.open(name, "r", format=input_format, options=options, timeout=timeout_s, hwaccel=device)
        except av.error.HTTPOtherClientError:
            # A server without video has nothing left to play. Asked for everything it says what it has.
            if options.pop("allowed_media_types", None) is None:
                raise
            return av.open(name, "r", format=input_format, options=options, timeout=timeout_s)
        except RuntimeError:
            # What PyAV makes of a stream that the device cannot decode.
            raise SourceRejected(
                f"{self.where}: the {self._config.hwaccel} device decodes no stream of it: set hwaccel: none"
            ) from None

    def _picked(self, container: InputContainer) -> VideoStream:
        stream = container.streams.best("video")
        if not isinstance(stream, VideoStream):
            raise SourceRejected(f"{self.where}: has no video stream")
        if stream.codec_context is None:
            raise SourceRejected(f"{self.where}: no decoder for its codec: set it to h264, h265 or mjpeg")
        if stream.codec_context.name in _TEXT:
            raise SourceRejected(f"{self.where}: is text, not a video")
        stream.codec_context.thread_count = self._config.decoder_threads
        # Threads by frame hold back a frame each: only where nobody waits for the newest one.
        stream.codec_context.thread_type = "AUTO" if self.is_file else "SLICE"
        return stream


def stamp_s(packet: Packet) -> float | None:
    """A packet's own time stamp in seconds; None where it has none."""
    return None if packet.pts is None else seconds(packet.pts, packet.time_base)


def notice(packet: Packet, stream: StreamTime, arrived_s: float) -> None:
    """Let ``stream`` learn from the packet's time stamps."""
    media_s = stamp_s(packet)
    if media_s is not None:
        stream.saw(media_s, arrived_s=arrived_s, camera_s=_camera_s(packet))


def _camera_s(packet: Packet) -> float | None:
    """What the camera's clock read when this was taken, by RTCP: FFmpeg's AVProducerReferenceTime."""
    if not packet.has_sidedata("prft"):
        return None
    microseconds, _ = struct.unpack_from("=qi", bytes(packet.get_sidedata("prft")))
    return float(microseconds / 1e6)


class EndOfPackets(Exception):
    """Nothing more comes of this connection."""


def _is_webcam(url: str) -> bool:
    """Also by a name that stays the same, as those in ``/dev/v4l/by-id``."""
    return "://" not in url and _WEBCAM.match(os.path.realpath(url)) is not None


def _arguments(url: str, config: CaptureConfig) -> tuple[str, str | None, dict[str, str]]:
    """Name, input format and options for FFmpeg."""
    if _is_webcam(url):
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
