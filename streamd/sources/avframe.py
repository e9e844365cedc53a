"""A decoded video frame, converted only where somebody looks."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from streamd.domain import Yuv420
from streamd.vision.crops import bgr_of_planes
from streamd.vision.scaling import smaller

Matrix = Literal["bt601", "bt709"]

HD_HEIGHT_PX = 720
"""Streams that do not name their matrix use BT.709 from this height on, as players assume."""

_MATRIX_OF: dict[int, Matrix] = {1: "bt709", 4: "bt601", 5: "bt601", 6: "bt601"}
"""By ITU-T H.273 matrix coefficients; 4 (FCC) differs from BT.601 in the third decimal."""
_SWSCALE = {"bt601": Colorspace.ITU601, "bt709": Colorspace.ITU709}
_PLANAR_420 = frozenset({"yuv420p", "yuvj420p"})
_LUMA_FIRST = _PLANAR_420 | {"yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "nv21", "gray"}
"""Formats whose first plane is eight-bit luma."""
_HDR_MATRICES = (9, 10)
"""BT.2020: converted to BT.709, since a picture names one of two matrices."""


@dataclass(frozen=True, slots=True)
class Colour:
    """How the numbers of a YUV picture are meant."""

    matrix: Matrix
    full_range: bool

    @property
    def swscale_range(self) -> ColorRange:
        return ColorRange.JPEG if self.full_range else ColorRange.MPEG

    @property
    def swscale_matrix(self) -> Colorspace:
        return _SWSCALE[self.matrix]


def colour_of(frame: av.VideoFrame) -> Colour:
    """Matrix and range of a frame's YUV form; what the stream leaves open is assumed as players do."""
    name = frame.format.name
    if frame.format.is_rgb or name.startswith("pal"):
        return Colour("bt601", False)  # what the conversion below produces
    if name.startswith("gray"):
        return Colour("bt601", frame.color_range != ColorRange.MPEG)
    full = name.startswith("yuvj") or frame.color_range == ColorRange.JPEG
    if frame.colorspace in _HDR_MATRICES:
        return Colour("bt709", full)
    matrix = _MATRIX_OF.get(frame.colorspace)
    return Colour(matrix or ("bt709" if frame.height >= HD_HEIGHT_PX else "bt601"), full)


def owned(frame: av.VideoFrame) -> av.VideoFrame:
    """A copy of ``frame`` as eight-bit YUV, in memory of its own.

    V4L2's raw frames lie in the device's memory, which goes with the device: touched after that, even freed
    after that, they end the process.
    """
    # Asked for the format that it has, swscale would give back the same frame.
    pixels = "yuv444p" if frame.format.name == "yuv420p" else "yuv420p"
    return _reformatted(frame, pixels, (frame.width, frame.height))


class AvFrame:
    """Implements ``DecodedFrame`` over a frame of PyAV. One thread at a time."""

    __slots__ = ("_frame", "_pixel_shape", "_planar", "captured_at_s", "captured_wall_s")

    def __init__(
        self, frame: av.VideoFrame, *, captured_at_s: float, captured_wall_s: float, pixel_shape: float = 1.0
    ) -> None:
        """``pixel_shape`` is the width to height of a decoded pixel; those of all pictures made of them are square."""
        self.captured_at_s = captured_at_s
        self.captured_wall_s = captured_wall_s
        self._frame = frame
        self._pixel_shape = pixel_shape
        self._planar: av.VideoFrame | None = None

    @property
    def size(self) -> tuple[int, int]:
        return squared(self._decoded_size, self._pixel_shape)

    @property
    def _decoded_size(self) -> tuple[int, int]:
        return self._frame.width & ~1, self._frame.height & ~1

    @property
    def image_size(self) -> tuple[int, int]:
        return self.size

    @property
    def media_s(self) -> float:
        return media_s(self._frame) or 0.0

    @property
    def stamp_s(self) -> float | None:
        """The stream's own time stamp; None where it gave none."""
        return media_s(self._frame)

    def luma(self, step: int) -> NDArray[np.uint8]:
        """A view into the decoder's memory, which lives as long as the view."""
        here = self._here()
        frame = here if here.format.name in _LUMA_FIRST else self._as_planar()
        width, height = self._decoded_size
        return _plane(frame, 0)[:height:step, :width:step]

    def yuv420(self) -> Yuv420:
        return self._as420(squared(self._decoded_size, self._pixel_shape))

    def small420(self, width: int, height: int) -> Yuv420:
        return self._as420((width, height))

    def _as420(self, size: tuple[int, int]) -> Yuv420:
        if size == self._decoded_size:
            return self._packed(self._as_planar(), size)
        return self._packed(_reformatted(self._here(), "yuv420p", size), size)

    def _packed(self, frame: av.VideoFrame, size: tuple[int, int]) -> Yuv420:
        width, height = size
        packed = np.empty((height * 3 // 2, width), np.uint8)
        packed[:height] = _plane(frame, 0)[:height, :width]
        chroma = packed[height:].reshape(2, height // 2, width // 2)
        chroma[0] = _plane(frame, 1)[: height // 2, : width // 2]
        chroma[1] = _plane(frame, 2)[: height // 2, : width // 2]
        colour = colour_of(self._here())
        return Yuv420(packed, colour.matrix, colour.full_range)

    def bgr(self, width: int, height: int) -> NDArray[np.uint8]:
        here = self._here()
        if here.format.name in _PLANAR_420 and self._is_larger(width, height) and here.colorspace not in _HDR_MATRICES:
            return self._shrunk(width, height)
        scaled = _reformatted(here, "bgr24", (width, height))
        return np.array(_plane(scaled, 0)[:, : width * 3], order="C").reshape(height, width, 3)

    def _is_larger(self, width: int, height: int) -> bool:
        decoded_width, decoded_height = self._decoded_size
        return width < decoded_width and height <= decoded_height

    def _shrunk(self, width: int, height: int) -> NDArray[np.uint8]:
        """Scaled plane by plane, which takes half of swscale's time, and converted as faces are that are cut out."""
        here, (whole_width, whole_height) = self._here(), self._decoded_size
        quarter = np.s_[: whole_height // 2, : whole_width // 2]
        planes = [_plane(here, 0)[:whole_height, :whole_width], _plane(here, 1)[quarter], _plane(here, 2)[quarter]]
        colour, size = colour_of(here), (width, height)
        scaled = [smaller(plane, size) for plane in planes]
        return bgr_of_planes(scaled, size, matrix=colour.matrix, full_range=colour.full_range)

    def _as_planar(self) -> av.VideoFrame:
        here = self._here()
        if here.format.name in _PLANAR_420:
            return here
        if self._planar is None:
            self._planar = _reformatted(here, "yuv420p", (here.width, here.height))
        return self._planar

    def _here(self) -> av.VideoFrame:
        """The frame in this host's memory: one that a device decoded comes over when it is first looked at."""
        pixels = self._frame.sw_format
        if pixels is not None:
            self._frame = self._frame.reformat(format=pixels.name, threads=1)
        return self._frame


def squared(size: tuple[int, int], pixel_shape: float) -> tuple[int, int]:
    """Even width and height of a picture of square pixels that shows one of pixels of this width to height, and loses
    none of them."""
    width, height = size[0] * max(1.0, pixel_shape), size[1] * max(1.0, 1 / pixel_shape)
    return 2 * round(width / 2), 2 * round(height / 2)


def _reformatted(frame: av.VideoFrame, pixels: str, size: tuple[int, int]) -> av.VideoFrame:
    """Scaled and converted in one step; BGR in full range, YUV in the frame's own matrix and range."""
    colour = colour_of(frame)
    return frame.reformat(
        width=size[0],
        height=size[1],
        format=pixels,
        src_colorspace=Colorspace.BT2020 if frame.colorspace in _HDR_MATRICES else colour.swscale_matrix,
        dst_colorspace=colour.swscale_matrix,
        src_color_range=ColorRange.JPEG if frame.format.is_rgb else colour.swscale_range,
        dst_color_range=ColorRange.JPEG if pixels == "bgr24" else colour.swscale_range,
        threads=1,  # by default swscale starts a pool of threads for each frame
    )


def media_s(frame: av.VideoFrame) -> float | None:
    """The frame's own time stamp in seconds; None where it has none."""
    # PyAV divides in C; the time base, asked for, would be made a fraction for each frame.
    return frame.time


def seconds(stamp: int, base: Fraction) -> float:
    """A time stamp in its time base; several times cheaper than a product of fractions, of which there are two a
    frame."""
    return stamp * base.numerator / base.denominator


def _plane(frame: av.VideoFrame, index: int) -> NDArray[np.uint8]:
    """All rows of a plane with their padding; a view."""
    plane = frame.planes[index]
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)  # type: ignore[call-overload,no-any-return]  # PyAV's planes are buffers
