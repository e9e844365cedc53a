"""Where faces lie: alignment by five points, letterboxing, and the suppression of repeated boxes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

CHIP_PX = 112


@dataclass(frozen=True, slots=True)
class Alignment:
    """How a face lies in a chip: as in ArcFace's, scaled to another size, zoomed about its centre, and raised."""

    width: int = CHIP_PX
    height: int = CHIP_PX
    zoom: float = 1.0
    """Above 1 the face fills more of the chip than in ArcFace's."""
    rise: float = 0.0
    """How much higher it lies, as a share of the chip's shorter side: networks trained on whole boxes of detectors,
    or with the forehead, take it higher than ArcFace does."""

    def from_arcface(self) -> Affine:
        """ArcFace's chip of 112 x 112 to this one, shape (3, 3)."""
        shorter_px = min(self.width, self.height)
        factor = self.zoom * shorter_px / CHIP_PX
        middle = CHIP_PX / 2
        return np.array(
            [
                [factor, 0, self.width / 2 - factor * middle],
                [0, factor, self.height / 2 - factor * middle - self.rise * shorter_px],
                [0, 0, 1],
            ]
        )


ARCFACE = Alignment()

TEMPLATE: NDArray[np.float32] = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    np.float32,
)
"""Where the five landmarks lie in a chip (Deng et al., "ArcFace", 2019; the same in OpenCV)."""
TEMPLATE.setflags(write=False)

_TEMPLATE_MEAN: NDArray[np.float32] = np.array([56.0262, 71.9008], np.float32)
"""As rounded in OpenCV, not as computed: the fourth digit decides about single pixels."""

Affine = NDArray[np.float64]
"""Maps (x, y, 1) to (x', y'), shape (2, 3)."""


def similarity_to_chip(landmarks: NDArray[np.float32]) -> Affine:
    """The rotation, scale and shift that bring five landmarks nearest to the template.

    Closed form of least squares in two dimensions (Umeyama, 1991; no reflection), with the intermediate
    precision of OpenCV's ``FaceRecognizerSF.alignCrop``, so that chips are equal to the last bit.

    Raises:
        ValueError: the points coincide, or are not numbers.
    """
    mean, (x, y) = _centred(landmarks)
    u, v = (TEMPLATE - _TEMPLATE_MEAN).T
    spread = _spread(x, y)
    if not _is_span(spread):
        raise ValueError(f"landmarks {landmarks.tolist()} do not span a face")
    cosine = (_dot(x, u) + _dot(y, v)) / spread
    sine = (_dot(x, v) - _dot(y, u)) / spread
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return np.column_stack([turn, _TEMPLATE_MEAN.astype(np.float64) - turn @ mean.astype(np.float64)])


def span_a_face(landmarks: NDArray[np.float32]) -> bool:
    """Whether five landmarks are numbers, and do not coincide."""
    with np.errstate(over="ignore", invalid="ignore"):
        _, (x, y) = _centred(landmarks)
        return _is_span(_spread(x, y))


def _centred(landmarks: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The mean of five points, and their x and y from there, shape (2, 5)."""
    points = np.asarray(landmarks, np.float32)
    mean = np.array([_mean_of_five(points[:, 0]), _mean_of_five(points[:, 1])], np.float32)
    return mean, (points - mean).T


def _spread(x: NDArray[np.float32], y: NDArray[np.float32]) -> float:
    return _dot(x, x) + _dot(y, y)


def _is_span(spread: float) -> bool:
    return bool(np.isfinite(spread)) and spread > 0


def _mean_of_five(values: NDArray[np.float32]) -> np.float32:
    total = values[0]
    for value in values[1:]:  # in this order and precision
        total = np.float32(total + value)
    return np.float32(total / np.float32(5))


def _dot(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Products in single, their sum in double precision."""
    return float((a * b).astype(np.float64).sum())


def align(image: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The chip, shape (112, 112, 3), that OpenCV's ``alignCrop`` cuts; black beyond the image's edge.

    Raises:
        ValueError: the landmarks coincide, or are not numbers.
    """
    return warp(image, similarity_to_chip(landmarks))


def warp(image: NDArray[np.uint8], to_chip: Affine, size: tuple[int, int] = (CHIP_PX, CHIP_PX)) -> NDArray[np.uint8]:
    """The chip of this width and height that ``to_chip`` maps from ``image``, bilinear."""
    return np.asarray(cv2.warpAffine(image, to_chip, size, flags=cv2.INTER_LINEAR), np.uint8)


def corners_of_chip(to_chip: Affine, size: tuple[int, int] = (CHIP_PX, CHIP_PX)) -> NDArray[np.float64]:
    """The corners of a chip of this width and height in the picture, shape (4, 2)."""
    inverse = cv2.invertAffineTransform(to_chip)
    width, height = size
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], np.float64)
    return np.asarray(corners @ inverse.T, np.float64)


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How an image was fitted into a canvas: scaled by one factor, placed top left, the rest black."""

    scale: float

    def undo(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Canvas pixels to image pixels, any shape."""
        return np.asarray(points / np.float32(self.scale), np.float32)


def letterbox(image: NDArray[np.uint8], *, width: int, height: int) -> tuple[NDArray[np.uint8], Letterbox]:
    """Fit a BGR image into (height, width, 3) without stretching it."""
    h, w = image.shape[:2]
    scale = min(width / w, height / h)
    size = (max(1, min(width, round(w * scale))), max(1, min(height, round(h * scale))))
    canvas = np.zeros((height, width, 3), np.uint8)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    fitted = image if size == (w, h) else cv2.resize(image, size, interpolation=method)
    canvas[: size[1], : size[0]] = fitted
    return canvas, Letterbox(scale)


def pad_to_multiple(image: NDArray[np.uint8], multiple: int) -> NDArray[np.uint8]:
    """The BGR image with black added below and on the right until both sides are multiples."""
    h, w = image.shape[:2]
    below, right = -h % multiple, -w % multiple
    if not below and not right:
        return image
    padded = np.zeros((h + below, w + right, 3), np.uint8)
    padded[:h, :w] = image
    return padded


def suppress(boxes: NDArray[np.float32], scores: NDArray[np.float32], max_iou: float) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: indices of what is kept, best first.

    Args:
        boxes: Shape (n, 4), corners x1 y1 x2 y2.
        scores: Shape (n,).
        max_iou: Boxes that overlap a better one by more than this are dropped.
    """
    order = np.argsort(-scores, kind="stable")
    areas = np.clip(boxes[:, 2] - boxes[:, 0], 0, None) * np.clip(boxes[:, 3] - boxes[:, 1], 0, None)
    kept: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        sides = np.minimum(boxes[best, 2:], boxes[rest, 2:]) - np.maximum(boxes[best, :2], boxes[rest, :2])
        overlap = np.prod(np.clip(sides, 0, None), axis=1)
        union = areas[best] + areas[rest] - overlap
        order = rest[overlap <= max_iou * union]
    return np.array(kept, np.intp)
