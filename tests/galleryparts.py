"""Small doubles for the two models, and photographs that they understand.

A "face" is a bright square on black: the detector finds squares, the embedder turns their colour into a vector.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from streamd.domain import Box, Detection
from streamd.errors import NoDirection
from streamd.gallery.rows import NewFace
from streamd.scores import ScoreModel, Spread

DIM = 16
COLOUR_DIM = 256
MODEL = "colours@0123456789ab"
OTHER_MODEL = "shapes@ba9876543210"


def unit(seed: int | str, dim: int = DIM) -> NDArray[np.float32]:
    digest = hashlib.sha256(str(seed).encode()).digest()
    vector = np.random.default_rng(int.from_bytes(digest[:8], "big")).normal(size=dim)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def near(vector: NDArray[np.float32], seed: int, spread: float = 0.1) -> NDArray[np.float32]:
    mixed = vector + spread * unit(seed, len(vector))
    return np.asarray(mixed / np.linalg.norm(mixed), dtype=np.float32)


def face(vector: NDArray[np.float32], source: str = "photo:a.jpg", *, model_id: str = MODEL) -> NewFace:
    sha256 = hashlib.sha256(source.encode()).hexdigest()
    return NewFace(vector, model_id, b"jpeg", 0.8, source, sha256)


class SquareDetector:
    """Finds filled squares; their eyes and mouth are where a face's would be."""

    model_id = "squares@000000000000"
    has_landmarks = True

    def detect(self, images: Sequence[NDArray[np.uint8]], *, min_score: float) -> list[list[Detection]]:
        return [self._squares(image) for image in images]

    def _squares(self, image: NDArray[np.uint8]) -> list[Detection]:
        blue, green, red = cv2.split(image)
        mask = (cv2.max(cv2.max(blue, green), red) > 60).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        return [self._detection(*map(float, row[:4])) for row in stats[1:] if min(row[2], row[3]) >= 8]

    def _detection(self, x: float, y: float, width: float, height: float) -> Detection:
        points = np.array([(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)], dtype=np.float32)
        landmarks = (points * (width, height) + (x, y)).astype(np.float32)
        return Detection(Box(x, y, x + width, y + height), 0.95, landmarks)


class ColourEmbedder:
    """Chips of one colour are one person; the mark in a corner sets their photos apart."""

    dim = COLOUR_DIM
    threshold = 0.45
    provider = "cpu"
    scores = ScoreModel(Spread(0.1, 0.09), Spread(0.7, 0.12))

    def __init__(self, model_id: str = MODEL) -> None:
        self.model_id = model_id

    def embed(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        middles = np.percentile(chips[:, 30:82, 30:82].reshape(len(chips), -1, 3), 90, axis=1)
        marks = chips[:, 20:26, 15:21].reshape(len(chips), -1).mean(axis=1)
        people = [unit("-".join(str(round(c / 32)) for c in middle), COLOUR_DIM) for middle in middles]
        mixed = np.stack([p + 0.8 * unit(f"mark {m / 4:.0f}", COLOUR_DIM) for p, m in zip(people, marks, strict=True)])
        return np.asarray(mixed / np.linalg.norm(mixed, axis=1, keepdims=True), np.float32)


class Blank(ColourEmbedder):
    """Makes nothing of green faces, and as long as it is broken of none."""

    broken = False

    def embed(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        green = chips[:, 30:82, 30:82].mean(axis=(1, 2)).argmax(axis=1) == 1
        if self.broken or green.any():
            raise NoDirection("gave a vector of length 0")
        return super().embed(chips)


@cache
def photo_bytes(colour: tuple[int, int, int], *, sides_px: tuple[int, ...] = (120,), seed: int = 0) -> bytes:
    """A PNG with one square per entry of ``sides_px``; another ``seed`` gives other bytes of the same look."""
    image = np.zeros((300, 200 * len(sides_px), 3), dtype=np.uint8)
    for i, side in enumerate(sides_px):
        square = np.full((side, side, 3), colour, dtype=np.uint8)
        # Checks with hard edges pass for a face in focus.
        rows, columns = np.indices((side, side)) * 10 // side
        square[(rows + columns) % 2 == 1] = np.array(colour) // 3 + 61
        square[: side // 5, : side // 5] = 61 + seed * 37 % 180
        image[60 : 60 + side, 200 * i + 30 : 200 * i + 30 + side] = square
    image[0, 0] = (seed % 50, seed // 50 % 50, 1)
    done, data = cv2.imencode(".png", image)
    if not done:
        raise ValueError("not encoded")
    return bytes(data.tobytes())


RED, GREEN, BLUE = (130, 130, 250), (130, 250, 130), (250, 130, 130)


def write_photo(path: Path, colour: tuple[int, int, int] = RED, *, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(photo_bytes(colour, seed=seed))
    return path


def eventually(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    pause = threading.Event()
    for _ in range(int(timeout_s / 0.02)):
        if condition():
            return
        pause.wait(0.02)
    raise AssertionError(f"not within {timeout_s} s")
