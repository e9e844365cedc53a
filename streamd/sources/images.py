"""A folder of pictures, played in the order of their names."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from streamd.config import CaptureConfig
from streamd.domain import Yuv420
from streamd.errors import SourceEnded, SourceLost, SourceRejected
from streamd.interfaces import DecoderWork, SourceInfo
from streamd.sources.pacing import Clock, Pacer

logger = logging.getLogger(__name__)

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
LONGEST_SHOWING_S = 1.0
"""A picture shown for longer is given again and again, as a camera would: a silent source counts as lost."""


class ImageFrame:
    """Implements ``DecodedFrame`` over a BGR picture of even width and height."""

    __slots__ = ("_pixels", "captured_at_s", "captured_wall_s", "media_s")

    def __init__(self, pixels: NDArray[np.uint8], *, at_s: float, wall_s: float, media_s: float) -> None:
        self.captured_at_s = at_s
        self.captured_wall_s = wall_s
        self.media_s = media_s
        self._pixels = pixels

    @property
    def size(self) -> tuple[int, int]:
        return self._pixels.shape[1], self._pixels.shape[0]

    @property
    def image_size(self) -> tuple[int, int]:
        return self.size

    def luma(self, step: int) -> NDArray[np.uint8]:
        sampled = np.ascontiguousarray(self._pixels[::step, ::step])
        return np.asarray(cv2.cvtColor(sampled, cv2.COLOR_BGR2GRAY), np.uint8)

    def yuv420(self) -> Yuv420:
        planes = np.asarray(cv2.cvtColor(self._pixels, cv2.COLOR_BGR2YUV_I420), np.uint8)
        return Yuv420(planes, "bt601", False)

    def small420(self, width: int, height: int) -> Yuv420:
        return Yuv420(np.asarray(cv2.cvtColor(self.bgr(width, height), cv2.COLOR_BGR2YUV_I420)), "bt601", False)

    def bgr(self, width: int, height: int) -> NDArray[np.uint8]:
        if (width, height) == self.size:
            return self._pixels.copy()
        smaller = width < self.size[0]
        interpolation = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(self._pixels, (width, height), interpolation=interpolation), np.uint8)


class ImageFolder:
    """Implements ``Source`` over a folder of pictures, ``config.image_fps`` of them a second."""

    def __init__(self, folder: Path, *, config: CaptureConfig, clock: Clock | None = None) -> None:
        self._folder = folder
        self.corrupt_packets = 0
        self.work = DecoderWork()
        self.resting = self.settled = False
        self._config = config
        self._clock = clock or Clock()
        self._interval_s = 1 / config.image_fps
        self._showings = 1 if config.pace == "fast" else math.ceil(self._interval_s / LONGEST_SHOWING_S)
        self._pacer = self._schedule()
        self._paths: list[Path] = []
        self._index = 0
        self._given = 0
        self._pixels: NDArray[np.uint8] | None = None

    def open(self) -> SourceInfo:
        self._paths = self._listed()
        self._index = self._given = 0
        self._pacer = self._schedule()
        self._pixels = None
        height, width = self._advance().shape[:2]
        return SourceInfo(width, height, self._config.image_fps, "images")

    def read(self, timeout_s: float) -> ImageFrame:
        if not self._paths:
            raise SourceLost(f"{self._folder}: is not open")
        pixels = self._pixels
        if pixels is None or (self._given and self._given % self._showings == 0):
            pixels = self._advance()
        media_s = self._given / self._showings * self._interval_s
        self._given += 1
        now_s = self._clock.now_s()
        at_s = now_s if self._config.pace == "fast" else self._pacer.due_s(None, now_s)
        if at_s > now_s:
            self._clock.wait(at_s - now_s)
        return ImageFrame(pixels, at_s=at_s, wall_s=self._clock.wall_of(at_s), media_s=media_s)

    def close(self) -> None:
        self._paths = []
        self._pixels = None

    def _schedule(self) -> Pacer:
        return Pacer(fps=self._showings / self._interval_s)

    def _listed(self) -> list[Path]:
        try:
            paths = sorted(path for path in self._folder.iterdir() if path.suffix.lower() in SUFFIXES)
        except OSError as error:
            words = (error.strerror or type(error).__name__).lower()
            raise SourceRejected(f"{self._folder}: cannot be listed: {words}") from error
        if not paths:
            raise SourceRejected(f"{self._folder}: has no pictures ({' '.join(sorted(SUFFIXES))})")
        return paths

    def _advance(self) -> NDArray[np.uint8]:
        """The next picture that can be read; at the end, from the beginning or not at all."""
        for _ in range(len(self._paths) + 1):
            if self._index == len(self._paths):
                if not self._config.loop:
                    raise SourceEnded(f"{self._folder}: played to its end")
                self._paths = self._listed()  # pictures may have come and gone
                self._index = 0
            path = self._paths[self._index]
            self._index += 1
            self._pixels = _loaded(path)
            if self._pixels is not None:
                return self._pixels
            logger.warning("%s: not a picture that can be read; skipped", path)
        raise SourceRejected(f"{self._folder}: none of its {len(self._paths)} pictures can be read")


def _loaded(path: Path) -> NDArray[np.uint8] | None:
    """BGR with even sides, turned as its EXIF says; None where it cannot be read."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except (OSError, cv2.error):
        return None
    if pixels is None or min(pixels.shape[:2]) < 2:
        return None
    even = pixels[: pixels.shape[0] & ~1, : pixels.shape[1] & ~1]
    return np.ascontiguousarray(even, np.uint8)
