"""What a network is fed, made from pictures as its manifest says."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from streamd.vision.catalog import ModelInput


def to_blob(
    pictures: NDArray[np.uint8] | Sequence[NDArray[np.uint8]], spec: ModelInput, *, room: tuple[int, int] | None = None
) -> NDArray[np.float32]:
    """``(pixel - mean) * scale`` in the model's colour order, shape (n, 3, h, w), or (n, h, w, 3) for layout NHWC.

    Args:
        pictures: BGR, shape (n, h, w, 3), or n of shape (h, w, 3).
        spec: Colour order, mean and scale.
        room: Height and width to which black is added below and on the right; that of the first picture.
    """
    room = room or (pictures[0].shape[:2] if len(pictures) else (0, 0))
    blob = np.empty((len(pictures), 3, *room), np.float32)
    for row, picture in zip(blob, pictures, strict=True):
        # Splitting by OpenCV is twice as fast as a transposed copy.
        height, width = picture.shape[:2]
        row[:, height:] = 0
        row[:, :, width:] = 0
        planes = cv2.split(picture)
        for channel, plane in zip(row, planes[::-1] if spec.colour == "rgb" else planes, strict=True):
            channel[:height, :width] = plane
    if spec.standardise:
        return _laid_out(_standardised(blob), spec)
    if any(spec.mean):
        blob -= np.array(spec.mean, np.float32).reshape(1, 3, 1, 1)
    if spec.scale != 1:
        blob *= np.float32(spec.scale)
    return _laid_out(blob, spec)


def _standardised(blob: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each picture to mean 0 and standard deviation 1 (at least 1/sqrt(n) of n values, as TensorFlow has it)."""
    axes, least = (1, 2, 3), 1 / np.sqrt(blob[0].size) if len(blob) else 1.0
    mean, std = blob.mean(axis=axes, keepdims=True), blob.std(axis=axes, keepdims=True)
    return np.asarray((blob - mean) / np.maximum(std, least), np.float32)


def _laid_out(blob: NDArray[np.float32], spec: ModelInput) -> NDArray[np.float32]:
    return np.ascontiguousarray(blob.transpose(0, 2, 3, 1)) if spec.layout == "NHWC" else blob
