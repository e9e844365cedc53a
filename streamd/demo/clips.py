"""Made-up cameras: real photographs that walk through a plain view, encoded as real H.264.

Each clip is 1280 x 720 at 15 frames a second. People come and go, so that faces appear, are decided, and leave; about
half of the time nobody is there. A photograph is scaled and moved, never stretched.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from streamd.domain import Image

SIZE = (1280, 720)
FPS = 15
SECONDS = 24
ENCODING = {"preset": "ultrafast", "crf": "23", "g": str(2 * FPS), "bf": "0"}
"""Half the time of "veryfast", which spends it on the made-up noise."""
MARGIN = 1.6
"""Of a photograph, the part within this many face heights around the face is shown (less above, more below)."""

_NOISES = 4
_GRAIN_PX = 256
Rendered = Callable[[str, int, int], None]
"""Told of progress: clip, frames done, frames in all."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One person's way through the view."""

    file: str
    face: tuple[int, int, int, int]
    """x1, y1, x2, y2 of the face in the photograph, as seen by eye."""
    start_s: float
    seconds: float
    face_px: tuple[float, float]
    """Height of the face in the view when coming and when going."""
    way: tuple[tuple[float, float], tuple[float, float]]
    """Centre of the face when coming and when going, as shares of the view."""


OBAMA_SPEAKING = ("obama2.jpg", (195, 225, 470, 614))
OBAMA_STANDING = ("obama3.jpg", (638, 246, 910, 613))
BIDEN = ("biden.jpg", (428, 176, 705, 559))
COLLINS = ("astronaut.png", (178, 62, 268, 176))
CARPHONE = ("carphone_pristine.mp4", (60, 35, 112, 105))

CLIPS: Mapping[str, tuple[Visit, ...]] = {
    "entrance": (
        Visit(*OBAMA_SPEAKING, 1.0, 6.0, (150, 200), ((0.15, 0.45), (0.85, 0.45))),
        Visit(*BIDEN, 13.0, 6.0, (140, 190), ((0.85, 0.45), (0.2, 0.45))),
    ),
    "corridor": (
        Visit(*COLLINS, 2.0, 6.0, (110, 130), ((0.2, 0.4), (0.75, 0.45))),
        Visit(*COLLINS, 15.0, 5.0, (130, 100), ((0.8, 0.4), (0.3, 0.4))),
    ),
    "yard": (
        Visit(*OBAMA_STANDING, 4.0, 6.0, (120, 150), ((0.8, 0.45), (0.25, 0.4))),
        Visit(*CARPHONE, 14.0, 7.0, (200, 210), ((0.4, 0.5), (0.55, 0.5))),
    ),
    "office": (
        Visit(*BIDEN, 2.5, 7.0, (130, 150), ((0.25, 0.42), (0.4, 0.42))),
        Visit(*COLLINS, 4.0, 5.5, (105, 115), ((0.8, 0.45), (0.65, 0.42))),
        Visit(*OBAMA_SPEAKING, 16.0, 5.0, (120, 170), ((0.3, 0.4), (0.7, 0.45))),
    ),
}


def fingerprint() -> str:
    """Changes with everything that decides what the clips look like."""
    plan = {name: [asdict(v) for v in visits] for name, visits in CLIPS.items()}
    return hashlib.sha256(
        json.dumps([plan, SIZE, FPS, SECONDS, MARGIN, ENCODING], sort_keys=True).encode()
    ).hexdigest()[:16]


def render(name: str, faces: Mapping[str, Path], target: Path, *, progress: Rendered | None = None) -> None:
    """Write one clip as an MP4 file, aside and then renamed."""
    encode_visits(name, CLIPS[name], faces, target, seconds=SECONDS, progress=progress)


def encode_visits(
    name: str,
    visits: Sequence[Visit],
    faces: Mapping[str, Path],
    target: Path,
    *,
    size: tuple[int, int] = SIZE,
    fps: int = FPS,
    seconds: float = SECONDS,
    encoding: Mapping[str, str] = ENCODING,
    texture: float = 0.0,
    noise: float = 0.0,
    progress: Rendered | None = None,
) -> None:
    """Write a clip of some visits before a wall, aside and then renamed.

    Args:
        name: chooses the wall's colour.
        texture: how much the wall's surface deviates from plain, in grey levels.
        noise: standard deviation of the sensor's noise, beside the little that plain walls have.
    """
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    shots = [_Shot(visit, faces[visit.file], size, fps) for visit in visits]
    wall = _background(name, size)
    backgrounds = [_textured(wall, texture)] if texture else _noisy(wall, 2.0)
    grain = _grain(size, noise)
    total = round(seconds * fps)
    try:
        with av.open(str(partial), "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=fps)
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            stream.codec_context.time_base = Fraction(1, fps)
            stream.options = dict(encoding)
            for index in range(total):
                view = backgrounds[index % len(backgrounds)].copy()
                for shot in shots:
                    shot.draw(view, index / fps)
                if noise:
                    view = np.clip(view + next(grain), 0, 255).astype(np.uint8)
                frame = av.VideoFrame.from_ndarray(view, format="bgr24")
                container.mux(stream.encode(frame))
                if progress is not None:
                    progress(name, index + 1, total)
            container.mux(stream.encode())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


class _Shot:
    """A visit with its picture cut out and scaled once."""

    def __init__(self, visit: Visit, path: Path, size: tuple[int, int], fps: int) -> None:
        self._size, self._fps = size, fps
        x1, y1, x2, y2 = visit.face
        height = y2 - y1
        self._visit = visit
        frames = _read(path)
        top, left = max(0, round(y1 - 0.8 * height)), max(0, round(x1 - MARGIN * height))
        bottom, right = round(y2 + MARGIN * height), round(x2 + MARGIN * height)
        scale = max(visit.face_px) / height
        self._pictures = [_scaled(frame[top:bottom, left:right], scale) for frame in frames]
        self._centre = ((x1 + x2) / 2 - left) * scale, ((y1 + y2) / 2 - top) * scale

    def draw(self, view: Image, at_s: float) -> None:
        """Into ``view``, in place, if the person is there."""
        visit = self._visit
        share = (at_s - visit.start_s) / visit.seconds
        if not 0 <= share <= 1:
            return
        picture = self._pictures[int((at_s - visit.start_s) * self._fps) % len(self._pictures)]
        zoom = np.interp(share, (0, 1), visit.face_px) / max(visit.face_px)
        (from_x, from_y), (to_x, to_y) = visit.way
        width, height = self._size
        x, y = np.interp(share, (0, 1), (from_x, to_x)) * width, np.interp(share, (0, 1), (from_y, to_y)) * height
        # A step's slight bobbing.
        y += 4 * np.sin(at_s * 2 * np.pi * 1.8)
        matrix = np.array([[zoom, 0, x - zoom * self._centre[0]], [0, zoom, y - zoom * self._centre[1]]])
        cv2.warpAffine(picture, matrix, self._size, view, cv2.INTER_LINEAR, cv2.BORDER_TRANSPARENT)


def _read(path: Path) -> list[Image]:
    """The pictures of a photograph (one) or of a video (all)."""
    if path.suffix == ".mp4":
        with av.open(str(path)) as container:
            return [np.asarray(frame.to_ndarray(format="bgr24"), np.uint8) for frame in container.decode(video=0)]
    picture = cv2.imread(str(path))
    if picture is None:
        raise ValueError(f"{path}: not a picture")
    return [np.asarray(picture, np.uint8)]


def _scaled(picture: Image, scale: float) -> Image:
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=how), np.uint8)


def _background(name: str, size: tuple[int, int]) -> Image:
    """A plain wall and floor, of another hue in each clip."""
    hue = int(hashlib.sha256(name.encode()).digest()[0]) % 180
    width, height = size
    value = np.linspace(150, 110, height).astype(np.uint8)
    value[height * 4 // 5 :] = np.linspace(80, 60, height - height * 4 // 5).astype(np.uint8)
    hsv = np.stack([np.full(height, hue, np.uint8), np.full(height, 40, np.uint8), value], axis=-1)
    wide = np.repeat(hsv[:, None, :], width, axis=1)
    return np.asarray(cv2.cvtColor(wide, cv2.COLOR_HSV2BGR), np.uint8)


def _textured(view: Image, levels: float) -> Image:
    """With a rough surface, as detailed in the small as in the large: a plain wall costs an encoder nothing."""
    height, width = view.shape[:2]
    random = np.random.default_rng(1)
    surface = np.zeros((height, width), np.float32)
    for cell in (4, 8, 16, 32, 64):
        coarse = random.normal(size=(height // cell + 2, width // cell + 2)).astype(np.float32)
        surface += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    surface *= levels / surface.std()
    return np.asarray(np.clip(view + surface[:, :, None], 0, 255), np.uint8)


def _noisy(view: Image, levels: float) -> list[Image]:
    """The same view with the noise of a sensor, several times."""
    random = np.random.default_rng(0)
    shape = view.shape
    return [np.clip(view + random.normal(0, levels, shape), 0, 255).astype(np.uint8) for _ in range(_NOISES)]


def _grain(size: tuple[int, int], levels: float) -> Iterator[NDArray[np.int16]]:
    """A sensor's noise, another in each frame, shape (height, width, 1)."""
    width, height = size
    random = np.random.default_rng(0)
    noise = np.round(random.normal(0, levels, (height + _GRAIN_PX, width + _GRAIN_PX, 1))).astype(np.int16)
    while True:
        y, x = random.integers(0, _GRAIN_PX, 2)
        yield noise[y : y + height, x : x + width]
