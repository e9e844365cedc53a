"""Small videos and pictures, made for tests: known colours, known sizes, known damage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

Bgr = tuple[int, int, int]
PATCHES: tuple[Bgr, ...] = ((40, 40, 200), (50, 180, 60), (200, 70, 40), (128, 128, 128))
"""Colours in BGR that tell the matrices and the ranges apart."""


def patches(width: int, height: int, colours: Sequence[Bgr] = PATCHES) -> NDArray[np.uint8]:
    """A picture of vertical bars, BGR."""
    picture = np.zeros((height, width, 3), np.uint8)
    edges = np.linspace(0, width, len(colours) + 1).astype(int)
    for colour, left, right in zip(colours, edges[:-1], edges[1:], strict=True):
        picture[:, left:right] = colour
    return picture


def bar_centres(picture: NDArray[np.uint8], bars: int = len(PATCHES)) -> NDArray[np.float64]:
    """The mean colour in the middle of each bar, shape (bars, 3)."""
    height, width = picture.shape[:2]
    half = width // bars // 4
    columns = [(2 * i + 1) * width // (2 * bars) for i in range(bars)]
    return np.array([picture[height // 4 : height * 3 // 4, x - half : x + half].mean((0, 1)) for x in columns])


def write_video(
    path: Path,
    pictures: Iterable[NDArray[np.uint8]],
    *,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    fps: int = 10,
    matrix: int | None = None,
    full_range: bool | None = None,
    damaged: frozenset[int] = frozenset(),
    options: Mapping[str, str] | None = None,
    pixel_shape: Fraction | None = None,
) -> Path:
    """Encode BGR pictures of one size. ``matrix`` None leaves it out of the stream (1: BT.709, 5: BT.601).

    The packets whose numbers are in ``damaged`` are written as zeros. ``options`` are the encoder's, beside the usual;
    ``pixel_shape`` is the width to height of a pixel.
    """
    packets = 0
    with av.open(str(path), "w") as container:
        stream = None
        for index, picture in enumerate(pictures):
            if stream is None:
                stream = container.add_stream(codec, rate=fps, options={**_options(codec), **(options or {})})
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = pixels
                if pixel_shape is not None:
                    stream.codec_context.sample_aspect_ratio = pixel_shape
                if matrix is not None:
                    stream.codec_context.colorspace = matrix
                if full_range is not None:
                    stream.codec_context.color_range = ColorRange.JPEG if full_range else ColorRange.MPEG
            for packet in stream.encode(_converted(picture, pixels, matrix, full_range, Fraction(index, fps))):
                container.mux(_zeroed(packet) if packets in damaged else packet)
                packets += 1
        if stream is not None:
            container.mux(stream.encode())
    return path


def _options(codec: str) -> dict[str, str]:
    if codec == "libx264":
        return {"preset": "ultrafast", "crf": "12", "g": "10", "x264-params": "log-level=none"}
    return {}


def _zeroed(packet: av.Packet) -> av.Packet:
    empty = av.Packet(bytes(packet.size))
    empty.pts, empty.dts, empty.time_base, empty.stream = packet.pts, packet.dts, packet.time_base, packet.stream
    return empty


def _converted(
    picture: NDArray[np.uint8], pixels: str, matrix: int | None, full_range: bool | None, at_s: Fraction
) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(
        format=pixels,
        dst_colorspace=matrix or Colorspace.ITU601,
        dst_color_range=ColorRange.JPEG if full_range or pixels.startswith("yuvj") else ColorRange.MPEG,
    )
    if matrix is None:
        frame.colorspace = 2
    frame.time_base = Fraction(1, 1000)
    frame.pts = int(at_s * 1000)
    return frame


def yuv_to_bgr(planes: NDArray[np.uint8], *, matrix: str, full_range: bool) -> NDArray[np.float64]:
    """Planar 4:2:0 to BGR by the definitions of ITU-R BT.601 and BT.709, nearest chroma."""
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    y = planes[:height].astype(np.float64)
    u, v = planes[height:].reshape(2, height // 2, width // 2).astype(np.float64)
    u, v = (np.repeat(np.repeat(c - 128, 2, 0), 2, 1) for c in (u, v))
    if not full_range:
        y, u, v = (y - 16) * 255 / 219, u * 255 / 224, v * 255 / 224
    kr, kb = (0.2126, 0.0722) if matrix == "bt709" else (0.299, 0.114)
    kg = 1 - kr - kb
    red = y + 2 * (1 - kr) * v
    blue = y + 2 * (1 - kb) * u
    green = (y - kr * red - kb * blue) / kg
    return np.clip(np.stack([blue, green, red], -1), 0, 255)
