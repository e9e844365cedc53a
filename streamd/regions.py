"""Between looks at the whole view, only the surroundings of the faces that are followed are searched. Pure.

A detector's time goes by the pixels that it is given. Windows lie on a grid of ``GRID_PX`` and have few sizes: networks
see the same pixels at the same strides as in the whole view, and the runtime few shapes.
"""

from __future__ import annotations

from collections.abc import Sequence

from streamd.domain import Box, Detection

GRID_PX = 32
SIDES_PX = (96, 128, 160, 192, 256, 320)
MARGIN = 0.8
"""Around a face, of its longer side: detectors want to see the whole head."""
WORTH_IT = 0.5
"""Windows that cover a larger share of the view than this are not worth their trouble."""
BORDER_PX = 2.0
GLANCE_SCALE = 0.5
"""Large faces are followed in a view of this scale: a quarter of the pixels."""
LARGE_PX = 60.0
"""The shorter side of such a face in the image; half of it is above what detectors find (24 pixels)."""

Window = tuple[int, int, int, int]
"""x1, y1, x2, y2 in pixels of the image."""


def windows_around(faces: Sequence[Box], size: tuple[int, int]) -> list[Window] | None:
    """Windows of an image of ``size`` (width, height) that hold these faces; None where the whole is better."""
    windows: list[Window] = []
    for face in faces:
        side_px = _side_px(face)
        if side_px is None:
            return None
        if not any(_holds(window, face) for window in windows):
            windows.append(_window(face, side_px, size))
    area = sum((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in windows)
    return windows if windows and area <= WORTH_IT * size[0] * size[1] else None


def is_glance_enough(faces: Sequence[Box], windows: Sequence[Window] | None, size: tuple[int, int]) -> bool:
    """Whether the view of ``size`` in ``GLANCE_SCALE`` shows all of these faces well enough to follow them, at less
    cost than ``windows``."""
    area = sum((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in windows) if windows else size[0] * size[1]
    large = all(min(face.width, face.height) >= LARGE_PX for face in faces)
    return bool(faces) and large and GLANCE_SCALE**2 * size[0] * size[1] < area


def seen_whole(detection: Detection, window: Window, size: tuple[int, int]) -> bool:
    """Whether a face (in the image's pixels) does not reach the border of its window, where it may be cut off; the
    image's own border is another matter."""
    box, (x1, y1, x2, y2) = detection.box, window
    return (
        (x1 == 0 or box.x1 > x1 + BORDER_PX)
        and (y1 == 0 or box.y1 > y1 + BORDER_PX)
        and (x2 == size[0] or box.x2 < x2 - BORDER_PX)
        and (y2 == size[1] or box.y2 < y2 - BORDER_PX)
    )


def _side_px(face: Box) -> int | None:
    longer = max(face.width, face.height)
    needed = longer * (1 + MARGIN) + GRID_PX  # room to be moved onto the grid
    return next((side for side in SIDES_PX if side >= needed), None)


def _window(face: Box, side_px: int, size: tuple[int, int]) -> Window:
    (width, height), (x, y) = size, face.centre
    left, top = _start(x - side_px / 2, side_px, width), _start(y - side_px / 2, side_px, height)
    return left, top, min(width, left + side_px), min(height, top + side_px)


def _start(wanted: float, side_px: int, length_px: int) -> int:
    last = max(0, -(-(length_px - side_px) // GRID_PX) * GRID_PX)
    return min(max(0, round(wanted / GRID_PX) * GRID_PX), last)


def _holds(window: Window, face: Box) -> bool:
    margin = MARGIN / 2 * max(face.width, face.height)
    x1, y1, x2, y2 = window
    across = x1 <= face.x1 - margin and face.x2 + margin <= x2
    return across and y1 <= face.y1 - margin and face.y2 + margin <= y2
