"""A part of an image, perhaps scaled, as a detector gets it, and the way back to the image's own pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamd.domain import Box, Detection
from streamd.vision.geometry import letterbox

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Window:
    """The pixels from (left, top) of an image on, times ``scale``."""

    pixels: Image
    scale: float = 1.0
    left: int = 0
    top: int = 0

    def in_image(self, detection: Detection) -> Detection:
        """A face in the window as a face in the image."""
        if self.scale == 1 and not self.left and not self.top:
            return detection
        found = detection.scaled(1 / self.scale, 1 / self.scale)
        box = found.box
        moved = Box(box.x1 + self.left, box.y1 + self.top, box.x2 + self.left, box.y2 + self.top)
        points = found.landmarks
        if points is not None:
            points = points + np.array([self.left, self.top], np.float32)
        return Detection(moved, found.score, points)

    def fitted(self, side_px: int) -> Window:
        """The same part, letterboxed into a square."""
        canvas, fit = letterbox(self.pixels, width=side_px, height=side_px)
        return Window(canvas, self.scale * fit.scale, self.left, self.top)


def window_around(image: Image, box: Box, reach_px: float) -> Window:
    """What lies within ``reach_px`` of the box, on every side, inside the image; at least one pixel."""
    height, width = image.shape[:2]
    left = min(max(0, int(box.x1 - reach_px)), width - 1)
    top = min(max(0, int(box.y1 - reach_px)), height - 1)
    right = max(left + 1, min(width, int(box.x2 + reach_px) + 1))
    bottom = max(top + 1, min(height, int(box.y2 + reach_px) + 1))
    return Window(image[top:bottom, left:right], 1.0, left, top)
