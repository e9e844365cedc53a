from __future__ import annotations

import numpy as np
import pytest

from streamd.domain import Box, Detection
from streamd.vision.tiling import distinct, merged, tiles_of


def image(width: int, height: int) -> np.ndarray:
    """Each pixel knows its place."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0] = np.arange(width) // 8
    picture[..., 1] = (np.arange(height) // 8)[:, None]
    return picture


def test_one_tile_is_the_image_itself() -> None:
    picture = image(64, 32)
    (tile,) = tiles_of(picture, 1, 1)
    assert tile.pixels is picture


@pytest.mark.parametrize(("columns", "rows"), [(2, 1), (1, 3), (4, 2)])
def test_tiles_cover_the_image_and_overlap_and_the_whole_comes_last(columns: int, rows: int) -> None:
    picture = image(1120, 640)
    tiles = tiles_of(picture, columns, rows)
    assert len(tiles) == columns * rows + 1
    covered = np.zeros(picture.shape[:2], int)
    for tile in tiles[:-1]:
        height, width = tile.pixels.shape[:2]
        np.testing.assert_array_equal(tile.pixels, picture[tile.top : tile.top + height, tile.left : tile.left + width])
        covered[tile.top : tile.top + height, tile.left : tile.left + width] += 1
    assert covered.min() == 1
    assert covered.max() > 1
    assert tiles[-1].pixels.shape[1] < picture.shape[1]


def test_a_face_in_a_tile_is_told_in_the_images_pixels() -> None:
    tiles = tiles_of(image(1120, 640), 2, 1)
    points = np.arange(10, dtype=np.float32).reshape(5, 2)
    right = tiles[1].in_image(Detection(Box(10, 20, 50, 70), 0.9, points))
    assert (right.box.x1, right.box.y1) == (tiles[1].left + 10, 20)
    assert right.landmarks is not None
    np.testing.assert_allclose(right.landmarks[0], [tiles[1].left, 1])


def test_a_face_across_a_border_counts_once() -> None:
    tiles = tiles_of(image(1120, 640), 2, 1)
    face = Box(520, 100, 580, 170)
    seen = [
        [Detection(Box(face.x1 - tile.left, face.y1, face.x2 - tile.left, face.y2), score)]
        for tile, score in zip(tiles[:2], (0.8, 0.9), strict=True)
    ]
    small = tiles[2].scale
    (found,) = merged(tiles, [*seen, [Detection(face.scaled(small, small), 0.7)]])
    assert found.score == 0.9
    assert found.box.iou(face) > 0.99


def test_half_a_face_gives_way_to_the_whole() -> None:
    whole, half = Detection(Box(0, 0, 100, 100), 0.9), Detection(Box(50, 0, 100, 100), 0.6)
    assert distinct([half, whole]) == [whole]


def test_neighbours_both_stay() -> None:
    assert len(distinct([Detection(Box(0, 0, 50, 50), 0.9), Detection(Box(60, 0, 110, 50), 0.6)])) == 2
