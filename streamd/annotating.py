"""Draws what is known of a video into a copy of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import cv2
import numpy as np

from streamd.drawing import COLOURS, label, letter_height
from streamd.errors import UnavailableError, UsageError
from streamd.interfaces import DecodedFrame
from streamd.overlays import State
from streamd.rerun import Seen

_TIME_BASE = Fraction(1, 90_000)


class AnnotatedVideo:
    """An H.264 file in MP4, written frame by frame; nothing is left of it where writing fails."""

    def __init__(self, path: Path) -> None:
        """Raises UsageError: it cannot be written there."""
        if path.is_dir():
            raise UsageError(f"{path}: cannot be written (a folder)")
        self._path = path
        self._scratch = path.with_name(f".{path.name}.part.mp4")
        try:
            self._scratch.touch()  # libav opens it with the first picture only
            self._container = av.open(str(self._scratch), "w", format="mp4")
        except (OSError, ValueError) as error:
            raise UsageError(f"{path}: cannot be written ({error})") from error
        self._stream: av.VideoStream | None = None
        self._last_pts = -1

    def __enter__(self) -> AnnotatedVideo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._stream is not None:
                with self._in_words():
                    self._container.mux(self._stream.encode(None))
                    self._container.close()
                    self._scratch.rename(self._path)
        finally:
            with suppress(OSError):
                self._container.close()
            self._scratch.unlink(missing_ok=True)

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UnavailableError(
                f"{self._path}: cannot be written: {(error.strerror or str(error)).lower()}"
            ) from error

    def add(self, frame: DecodedFrame, at_s: float, faces: Sequence[Seen]) -> None:
        """The next frame; the first decides the size. Raises UnavailableError: it cannot be written any further."""
        if self._stream is None:
            self._stream = self._container.add_stream("libx264", rate=30, options={"crf": "23", "preset": "veryfast"})
            self._stream.width, self._stream.height = frame.size
            self._stream.pix_fmt = "yuv420p"
            self._stream.time_base = self._stream.codec_context.time_base = _TIME_BASE
        image = frame.bgr(self._stream.width, self._stream.height)
        draw(image, faces)
        picture = av.VideoFrame.from_ndarray(image, format="bgr24")
        picture.time_base = _TIME_BASE
        self._last_pts = picture.pts = max(self._last_pts + 1, round(at_s / _TIME_BASE))
        with self._in_words():
            self._container.mux(self._stream.encode(picture))


def draw(image: np.ndarray, faces: Sequence[Seen]) -> None:
    """Boxes and names, into ``image`` (BGR)."""
    thickness = max(1, round(min(image.shape[:2]) / 300))
    for face in faces:
        box = face.track.box
        colour = COLOURS[_state(face.text)]
        corner = (round(box.x1), round(box.y1))
        cv2.rectangle(image, corner, (round(box.x2), round(box.y2)), colour, thickness)
        _paste(image, label(face.text, letter_height((image.shape[1], image.shape[0])), colour), corner)


def _state(text: str) -> State:
    if text in ("tentative", "appeared"):
        return "deciding"
    return "unknown" if text == "unknown" else "known"


def _paste(image: np.ndarray, patch: np.ndarray, corner: tuple[int, int]) -> None:
    """Above the corner of a box, or below it where there is no room."""
    height, width = patch.shape[:2]
    top = corner[1] - height if corner[1] >= height else corner[1]
    left, top = max(0, min(corner[0], image.shape[1] - width)), max(0, top)
    room = image[top : top + height, left : left + width]
    room[:] = patch[: room.shape[0], : room.shape[1]]
