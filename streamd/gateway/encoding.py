"""Encoders of what is watched: each picture once for all viewers. Not for the event loop: they compute."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Colorspace

from streamd.domain import Yuv420
from streamd.gateway.audience import Codec

if TYPE_CHECKING:
    from streamd.gateway.audience import Packet

TIME_BASE = Fraction(1, 90_000)
BITS_PER_PIXEL = 0.1
"""Of a picture at ``NOMINAL_FPS``; still views need a tenth of it."""
NOMINAL_FPS = 25
LONGEST_GROUP = 250
"""Pictures between key frames, where nobody asks for one: who comes, or loses packets, asks."""
JPEG_QUALITY = 4
"""1 (best) to 31, as the codec counts."""
_SWSCALE = {"bt601": Colorspace.ITU601, "bt709": Colorspace.ITU709}
_MATRIX = {"bt601": 6, "bt709": 1}
"""ITU-T H.273 matrix coefficients."""


class VideoEncoder:
    """One stream in H.264 (constrained baseline) or VP8, as browsers decode it without delay."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self._context: VideoCodecContext | None = None
        self._form: tuple[tuple[int, int], str, bool] | None = None
        self._last_pts = -1

    def encode(self, picture: Yuv420, at_s: float, *, key: bool) -> list[Packet]:
        """Packets of one picture; a picture of another size begins a stream anew.

        Args:
            at_s: when it was taken, in seconds of any clock that all pictures share.
            key: whether it must be decodable by itself.
        """
        form = picture.size, picture.matrix, picture.full_range
        if self._context is None or form != self._form:
            self._context, self._form = _context(self.codec, picture), form
        frame = av_frame(picture)
        frame.time_base = TIME_BASE
        frame.pts = self._last_pts = max(self._last_pts + 1, round(at_s / TIME_BASE))
        frame.pict_type = PictureType.I if key else PictureType.NONE
        packets = self._context.encode(frame)
        for packet in packets:
            packet.time_base = TIME_BASE
        return packets


class JpegEncoder:
    """Pictures of one width as JPEG."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._context: VideoCodecContext | None = None

    def encode(self, picture: Yuv420) -> bytes:
        width, height = picture.size
        scale = min(1.0, self._width / width)
        size = max(16, round(width * scale / 2) * 2), max(16, round(height * scale / 2) * 2)
        if self._context is None or (self._context.width, self._context.height) != size:
            self._context = _jpeg_context(size)
        full = av_frame(picture).reformat(
            width=size[0],
            height=size[1],
            format="yuvj420p",
            src_colorspace=_SWSCALE[picture.matrix],
            dst_colorspace=Colorspace.ITU601,
            src_color_range=ColorRange.JPEG if picture.full_range else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            threads=1,
        )
        full.pict_type, full.pts = PictureType.NONE, None
        return b"".join(bytes(packet) for packet in self._context.encode(full))


def av_frame(picture: Yuv420) -> av.VideoFrame:
    """A copy for the codecs."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture.planes), format="yuv420p")
    frame.colorspace = _MATRIX[picture.matrix]
    frame.color_range = ColorRange.JPEG if picture.full_range else ColorRange.MPEG
    return frame


def _context(codec: Codec, picture: Yuv420) -> VideoCodecContext:
    width, height = picture.size
    context = av.CodecContext.create("libx264" if codec == "h264" else "libvpx", "w")
    assert isinstance(context, VideoCodecContext)  # noqa: S101  # for the type checker: both are video codecs
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base, context.framerate = TIME_BASE, Fraction(NOMINAL_FPS)
    context.colorspace = _MATRIX[picture.matrix]
    context.color_range = ColorRange.JPEG if picture.full_range else ColorRange.MPEG
    context.gop_size = LONGEST_GROUP
    context.thread_count = 1  # beside recognition one core is enough, and more threads cost more
    bits = round(width * height * NOMINAL_FPS * BITS_PER_PIXEL)
    context.bit_rate = bits
    rate = {"maxrate": str(bits), "bufsize": str(bits // 2)}
    if codec == "h264":
        context.profile = "Baseline"
        context.options = rate | {"preset": "ultrafast", "tune": "zerolatency", "forced-idr": "1", "crf": "24"}
    else:
        quick = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "auto-alt-ref": "0"}
        context.options = rate | quick | {"static-thresh": "100"}
    return context


def _jpeg_context(size: tuple[int, int]) -> VideoCodecContext:
    context = av.CodecContext.create("mjpeg", "w")
    assert isinstance(context, VideoCodecContext)  # noqa: S101  # for the type checker
    context.width, context.height = size
    context.pix_fmt, context.color_range = "yuvj420p", ColorRange.JPEG
    context.time_base = Fraction(1, NOMINAL_FPS)
    context.thread_count = 1
    context.options = {"qmin": str(JPEG_QUALITY), "qmax": str(JPEG_QUALITY)}
    return context
