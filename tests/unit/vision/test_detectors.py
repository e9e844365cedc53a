"""The decoders over a session that is a table: what goes in and how outputs are read, without a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from streamd.domain import Box, Detection
from streamd.vision.catalog import find_manifest
from streamd.vision.decoding import Candidates
from streamd.vision.geometry import TEMPLATE
from streamd.vision.landmarks import WithLandmarks
from streamd.vision.network import Room, gpu_room
from streamd.vision.ssd import Ssd
from streamd.vision.yunet import YuNet

Array = NDArray[np.float32]


class YuNetTable:
    """Answers with one face in the cell of stride 16 at column 3, row 2 of every picture."""

    provider = "cpu"

    def __init__(self, *, score: float = 0.81, on_gpu: bool = False) -> None:
        self.fed: list[Array] = []
        self.warmed: list[tuple[int, ...]] = []
        self.on_gpu = on_gpu
        self.largest_batch = 8
        self._score = score

    def warm_up(self, name: str, shapes: Iterable[tuple[int, ...]]) -> None:
        self.warmed.extend(shapes)

    def run_rows(self, name: str, rows: Array) -> dict[str, Array]:
        self.fed.append(rows)
        heads: dict[str, Array] = {}
        n, _, height, width = rows.shape
        for stride in (8, 16, 32):
            cells = (height // stride) * (width // stride)
            for head, depth in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
                heads[f"{head}_{stride}"] = np.zeros((n, cells, depth), np.float32)
        cell = 2 * (width // 16) + 3
        if height < 48 or width < 64:
            return heads
        heads["cls_16"][:, cell] = heads["obj_16"][:, cell] = self._score
        heads["bbox_16"][:, cell] = [0.5, 0.25, np.log(2), np.log(3)]
        heads["kps_16"][:, cell] = np.arange(10) / 10
        return heads


def black(height: int, width: int) -> NDArray[np.uint8]:
    return np.zeros((height, width, 3), np.uint8)


def yunet(table: YuNetTable) -> YuNet:
    return YuNet(find_manifest("yunet"), table)  # type: ignore[arg-type]  # a table for a session


def test_yunet_measures_boxes_and_points_from_its_cell() -> None:
    (face,) = yunet(YuNetTable()).detect([black(100, 200)], min_score=0.6)[0]
    assert face.score == pytest.approx(0.81)
    assert face.box == Box(40, 12, 72, 60)
    assert face.landmarks is not None
    np.testing.assert_allclose(face.landmarks[0], [48, 33.6], rtol=1e-5)
    np.testing.assert_allclose(face.landmarks[4], [60.8, 46.4], rtol=1e-5)


def test_yunet_drops_what_is_below_the_score() -> None:
    assert yunet(YuNetTable(score=0.59)).detect([black(100, 200)], min_score=0.6) == [[]]


def test_pictures_of_one_size_share_a_run_and_answers_keep_their_order() -> None:
    table = YuNetTable()
    found = yunet(table).detect([black(90, 200), black(64, 64), black(90, 200)], min_score=0.6)
    assert [rows.shape for rows in table.fed] == [(2, 3, 96, 224), (1, 3, 64, 64)]
    assert len(found) == 3


def test_on_a_gpu_pictures_of_many_sizes_share_the_few_shapes_that_it_was_warmed_up_with() -> None:
    table = YuNetTable(on_gpu=True)
    detector = yunet(table)
    detector.warm_up()
    sizes = [(96, 128), (360, 640), (192, 192), (180, 320), (640, 360), (320, 256)]
    white = [np.full((*size, 3), 255, np.uint8) for size in sizes]
    found = detector.detect(white, min_score=0.6)
    assert [rows.shape for rows in table.fed] == [
        (2, 3, 192, 192),
        (1, 3, 384, 640),
        (2, 3, 320, 320),
        (1, 3, 640, 640),
    ]
    assert all(any(rows.shape[1:] == shape[1:] for shape in table.warmed) for rows in table.fed)
    assert {shape[0] for shape in table.warmed} == {1, 4, 8}
    for rows, image in ((table.fed[0][0], white[0]), (table.fed[1][0], white[1])):
        height, width = image.shape[:2]
        assert rows[:, :height, :width].min() == 255
        assert rows[:, height:].sum() == rows[:, :, width:].sum() == 0
    assert [faces[0].box for faces in found] == [Box(40, 12, 72, 60)] * 6


@pytest.mark.parametrize(
    ("size", "room"), [((641, 300), (1280, 640)), ((720, 1280), (1280, 1280)), ((1, 1), (192, 192))]
)
def test_larger_pictures_take_steps_of_640_on_a_gpu(size: Room, room: Room) -> None:
    assert gpu_room(*size) == room


def test_pixels_go_in_as_they_are_in_blue_green_red() -> None:
    table = YuNetTable()
    image = black(32, 64)
    image[:] = (10, 20, 30)
    yunet(table).detect([image], min_score=0.6)
    assert table.fed[0][0, :, 0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (31, 33)])
def test_any_size_is_taken(size: tuple[int, int]) -> None:
    table = YuNetTable(score=0.0)
    assert yunet(table).detect([black(*size)], min_score=0.6) == [[]]
    assert all(side % 32 == 0 for side in table.fed[0].shape[2:])


@pytest.mark.parametrize("shape", [(20, 20), (20, 20, 4), (0, 20, 3)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="need uint8 of shape"):
        yunet(YuNetTable()).detect([np.zeros(shape, np.uint8)], min_score=0.6)


class SsdTable:
    """Answers with a good box, a weak one, one without area, and one that is not a number."""

    provider = "cpu"
    fed: Array

    def run_rows(self, name: str, rows: Array) -> dict[str, Array]:
        self.fed = rows
        boxes = [[0.1, 0.1, 0.2, 0.3], [0.5, 0.5, 0.6, 0.6], [0.4, 0.4, 0.4, 0.4], [np.nan, 0, 1, 1]]
        return {
            "boxes": np.array([boxes] * len(rows), np.float32),
            "scores": np.array([[0.9, 0.2, 0.9, 0.9]] * len(rows), np.float32),
        }


def test_ssd_gives_boxes_in_the_pixels_of_the_letterboxed_picture() -> None:
    table = SsdTable()
    detector = Ssd(find_manifest("ssd"), table)  # type: ignore[arg-type]  # a table for a session
    (face,) = detector.detect([black(360, 600)], min_score=0.5)[0]
    assert (face.box.x1, face.box.y1, face.box.x2, face.box.y2) == pytest.approx((60, 60, 120, 180), rel=1e-5)
    assert face.landmarks is None
    np.testing.assert_allclose(table.fed[0, :, 0, 0], [-104, -177, -123])
    assert detector.detect([], min_score=0.5) == []


@pytest.mark.parametrize("value", [50.0, np.nan, np.inf, 1e30])
def test_landmarks_of_which_no_face_can_be_cut_are_none(value: float) -> None:
    """Half a face's precision overflows, and one face must not end the worker."""
    points = np.full((1, 5, 2), value, np.float32)
    points[0, 0] *= 1 if value == 50 else -1
    (face,) = Candidates(np.array([[0, 0, 100, 100]], np.float32), np.array([0.9], np.float32), points).detections()
    assert face.landmarks is None


class Boxes:
    """A detector without landmarks that always answers the same."""

    model_id, provider, has_landmarks = "boxes@0", "cpu", False

    def __init__(self, *boxes: Box) -> None:
        self._found = [Detection(box, 0.9) for box in boxes]

    def detect(self, images: Sequence[NDArray[np.uint8]], *, min_score: float) -> list[list[Detection]]:
        return [list(self._found) for _ in images]


class Points:
    """Finds a face around the white rectangle of a picture, with the template's points in it."""

    model_id, provider, has_landmarks = "points@0", "cpu", True

    def detect(self, images: Sequence[NDArray[np.uint8]], *, min_score: float) -> list[list[Detection]]:
        return [self._one(image) for image in images]

    def _one(self, image: NDArray[np.uint8]) -> list[Detection]:
        rows, columns = np.nonzero(image[..., 0] > 128)
        if not rows.size:
            return []
        x1, y1, x2, y2 = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        points = TEMPLATE / 112 * np.float32([x2 - x1, y2 - y1]) + np.float32([x1, y1])
        return [Detection(Box(x1, y1, x2, y2), 0.8, points.astype(np.float32))]


@pytest.mark.parametrize("corner", [(0, 0), (300, 150), (560, 280)])
def test_points_found_in_the_box_lie_in_the_picture(corner: tuple[int, int]) -> None:
    x, y = corner
    image = black(360, 640)
    image[y : y + 80, x : x + 80] = 255
    detector = WithLandmarks(Boxes(Box(x, y, x + 80, y + 80)), Points())
    (face,) = detector.detect([image], min_score=0.5)[0]
    assert face.landmarks is not None
    np.testing.assert_allclose(face.landmarks, TEMPLATE / 112 * 80 + [x, y], atol=2)
    assert (face.score, face.box) == (0.9, Box(x, y, x + 80, y + 80))


def test_a_box_without_points_keeps_none() -> None:
    detector = WithLandmarks(Boxes(Box(5, 5, 50, 50), Box(-30, -30, -10, -10)), Points())
    faces = detector.detect([black(100, 100), black(50, 50)], min_score=0.5)
    assert [[face.landmarks for face in row] for row in faces] == [[None, None], [None, None]]


def test_points_of_a_neighbour_are_not_taken() -> None:
    image = black(200, 300)
    image[60:120, 150:180] = 255
    detector = WithLandmarks(Boxes(Box(80, 60, 140, 120)), Points())
    assert detector.detect([image], min_score=0.5)[0][0].landmarks is None
