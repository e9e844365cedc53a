"""Frames of a film that says how it is to be turned: phones write what their sensor saw, and by how much it lay on its
side."""

from __future__ import annotations

import av
import numpy as np
from numpy.typing import NDArray

from streamd.domain import Yuv420
from streamd.sources.avframe import AvFrame


def quarter_turns(frame: av.VideoFrame) -> int:
    """By how many quarters, counterclockwise, players turn it."""
    return round(frame.rotation / 90) % 4


class TurnedFrame(AvFrame):
    """Turned counterclockwise by so many quarters."""

    __slots__ = ("_turns",)

    def __init__(
        self,
        frame: av.VideoFrame,
        turns: int,
        *,
        captured_at_s: float,
        captured_wall_s: float,
        pixel_shape: float = 1.0,
    ) -> None:
        """``pixel_shape`` as of the frame that lies."""
        super().__init__(frame, captured_at_s=captured_at_s, captured_wall_s=captured_wall_s, pixel_shape=pixel_shape)
        self._turns = turns

    @property
    def size(self) -> tuple[int, int]:
        return self._across(super().size)

    def luma(self, step: int) -> NDArray[np.uint8]:
        return np.rot90(super().luma(1), self._turns)[::step, ::step]

    def yuv420(self) -> Yuv420:
        return self._turned(super().yuv420())

    def small420(self, width: int, height: int) -> Yuv420:
        return self._turned(super().small420(*self._across((width, height))))

    def bgr(self, width: int, height: int) -> NDArray[np.uint8]:
        return np.ascontiguousarray(np.rot90(super().bgr(*self._across((width, height))), self._turns))

    def _across(self, size: tuple[int, int]) -> tuple[int, int]:
        """A size as it lies in the film, or as it is shown."""
        return size if self._turns % 2 == 0 else size[::-1]

    def _turned(self, picture: Yuv420) -> Yuv420:
        height, width = picture.planes.shape[0] * 2 // 3, picture.planes.shape[1]
        chroma = picture.planes[height:].reshape(2, height // 2, width // 2)
        planes = [np.rot90(plane, self._turns).ravel() for plane in (picture.planes[:height], *chroma)]
        shown_width, _ = self._across((width, height))
        return Yuv420(np.concatenate(planes).reshape(-1, shown_width), picture.matrix, picture.full_range)
