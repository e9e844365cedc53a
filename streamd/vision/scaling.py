"""Pictures made smaller cheaply: for the detector, and for people to look at."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def smaller(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """An image or a plane of it in ``size`` (width, height): halved as often as it goes, then interpolated.

    Averaging over anything but two by two pixels takes OpenCV three to fifteen times as long, and a detector finds the
    same (docs/decoding.md). The image itself where it has the size.
    """
    width, height = size
    while image.shape[1] >= 2 * width and image.shape[0] >= 2 * height:
        half = image.shape[1] // 2, image.shape[0] // 2
        image = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_AREA), np.uint8)
    if image.shape[1::-1] != size:
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    return image
