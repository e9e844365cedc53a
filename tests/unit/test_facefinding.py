from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamd.config import CameraConfig
from streamd.domain import Bgr, Box, Decision, Detection, Frame, FrameId, Verdict
from streamd.facefinding import FaceFinder, Look
from streamd.metrics import Metrics
from streamd.recognition import Policy
from streamd.watch import CameraWatch

WIDTH, HEIGHT = 640, 360
Image = NDArray[np.uint8]


class Squares:
    """Finds white squares, and remembers the pixels that it was given."""

    free_size = True
    has_landmarks = True
    model_id, provider = "squares@1", "cpu"

    def __init__(self) -> None:
        self.given: list[tuple[int, int]] = []

    def detect(self, images: Sequence[Image], *, min_score: float) -> list[list[Detection]]:
        self.given += [image.shape[:2] for image in images]
        return [[_square(contour) for contour in _contours(image)] for image in images]


def _contours(image: Image) -> Sequence[NDArray[np.int32]]:
    return cv2.findContours((image[..., 0] > 200).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]


def _square(contour: NDArray[np.int32]) -> Detection:
    x, y, width, height = cv2.boundingRect(contour)
    return Detection(Box(x, y, x + width, y + height), 0.9, np.zeros((5, 2), np.float32))


class Watched:
    """A camera of twice the detector's size, looked at again and again."""

    def __init__(self, **finder: bool) -> None:
        config = CameraConfig(remote=True, detection={"model": "squares"})  # type: ignore[arg-type]
        self.watch = CameraWatch("door", config, Policy.of(config.recognition), count(1))
        self.detector = Squares()
        self.finder = FaceFinder({"squares": self.detector}, {"door": self.watch}, Metrics(), **finder)
        self.now_s = 0.0

    def look(self, *squares: tuple[int, int], side: int = 40, seconds: float = 0.1, cut: bool = False) -> Look:
        self.now_s += seconds
        image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        for x, y in squares:
            image[y : y + side, x : x + side] = 255
        picture = Bgr(np.zeros((2 * HEIGHT, 2 * WIDTH, 3), np.uint8))
        frame = Frame(FrameId("door", "e", round(self.now_s * 10)), self.now_s, 0.0, image, picture, cut=cut)
        self.detector.given.clear()
        (look,) = self.finder.find([frame])
        self.watch.follow(self.watch.tracker.update(look.faces, self.now_s).live, "e")
        return look

    def decide(self) -> None:
        """Everybody has been looked at well."""
        for appearance in self.watch.appearances.values():
            appearance.evidence.decision = Decision(Verdict.UNKNOWN)
            appearance.evidence.sure, appearance.evidence.embedded_at_s = True, self.now_s


def places(look: Look) -> set[tuple[float, float]]:
    return {(d.box.x1 / 2, d.box.y1 / 2) for d in look.faces}


def test_the_whole_view_is_searched_first_and_then_the_surroundings_of_faces() -> None:
    camera = Watched()
    camera.look((100, 100))
    assert camera.detector.given == [(HEIGHT, WIDTH)]
    assert places(camera.look((104, 100))) == {(104, 100)}
    assert camera.detector.given != [(HEIGHT, WIDTH)]
    assert sum(h * w for h, w in camera.detector.given) < 0.2 * HEIGHT * WIDTH


def test_a_newcomer_is_found_when_the_whole_view_is_searched_again() -> None:
    camera = Watched()
    camera.look((100, 100))
    assert len(camera.look((100, 100), (500, 200)).faces) == 1
    for _ in range(4):
        look = camera.look((100, 100), (500, 200))
    assert len(look.faces) == 2


def test_after_a_cut_the_whole_view_is_searched() -> None:
    camera = Watched()
    camera.look((100, 100))
    assert places(camera.look((500, 200), cut=True)) == {(500, 200)}


def test_a_face_seen_by_two_windows_counts_once() -> None:
    camera = Watched()
    for _ in range(2):
        look = camera.look((200, 150), (262, 150))
    assert places(look) == {(200, 150), (262, 150)}


def test_without_faces_the_whole_view_is_searched_each_time() -> None:
    camera = Watched()
    for _ in range(3):
        camera.look()
        assert camera.detector.given == [(HEIGHT, WIDTH)]


def test_who_must_find_everybody_searches_the_whole_view_each_time() -> None:
    camera = Watched(always_whole=True)
    for _ in range(3):
        camera.look((100, 100))
        assert camera.detector.given == [(HEIGHT, WIDTH)]


def test_under_load_a_smaller_view_is_searched_and_faces_stay_where_they_are() -> None:
    camera = Watched()
    camera.finder.scale = 0.5
    look = camera.look((100, 100))
    assert camera.detector.given == [(HEIGHT // 2, WIDTH // 2)]
    ((x, y),) = places(look)
    assert (x, y) == pytest.approx((100, 100), abs=2)


LARGE = ((60, 100), (400, 100))


def test_large_faces_that_are_known_are_followed_in_a_view_of_half_the_size() -> None:
    camera = Watched()
    camera.look(*LARGE, side=120)
    camera.decide()
    look = camera.look(*LARGE, side=120)
    assert camera.detector.given == [(HEIGHT // 2, WIDTH // 2)]
    assert sorted(places(look)) == [pytest.approx(place, abs=2) for place in LARGE]
    for _ in range(4):
        camera.look(*LARGE, side=120)
    assert camera.detector.given == [(HEIGHT, WIDTH)]


def test_who_is_to_be_embedded_is_looked_at_in_full() -> None:
    camera = Watched()
    for _ in range(2):
        camera.look(*LARGE, side=120)
        assert camera.detector.given == [(HEIGHT, WIDTH)]
