from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamd.domain import Box, Detection
from streamd.regions import GRID_PX, SIDES_PX, is_glance_enough, seen_whole, windows_around

SIZE = (640, 360)


def face(x: float, y: float, side: float = 40.0) -> Box:
    return Box(x - side / 2, y - side / 2, x + side / 2, y + side / 2)


def test_one_face_is_searched_in_one_small_window() -> None:
    (window,) = windows_around([face(300, 200)], SIZE) or []
    x1, y1, x2, y2 = window
    assert (x2 - x1, y2 - y1) == (128, 128)
    assert x1 < 260 < 340 < x2
    assert y1 < 160 < 240 < y2


def test_neighbours_share_a_window() -> None:
    assert len(windows_around([face(310, 180, 20), face(318, 184, 20)], SIZE) or []) == 1


def test_a_crowd_is_searched_as_a_whole() -> None:
    assert windows_around([face(60 + 100 * i, 100 + 150 * j) for i in range(6) for j in range(2)], SIZE) is None


def test_a_very_large_face_is_searched_as_a_whole() -> None:
    assert windows_around([face(300, 200, 250)], SIZE) is None


def test_nobody_needs_no_window() -> None:
    assert windows_around([], SIZE) is None


@given(
    x=st.floats(-50, 700),
    y=st.floats(-50, 400),
    side=st.floats(4, 150),
    width=st.integers(96, 1000),
    height=st.integers(96, 700),
)
def test_windows_hold_what_is_inside_the_view_and_lie_on_the_grid(
    x: float, y: float, side: float, width: int, height: int
) -> None:
    for x1, y1, x2, y2 in windows_around([face(x, y, side)], (width, height)) or []:
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height
        assert x1 % GRID_PX == y1 % GRID_PX == 0
        assert x2 - x1 in SIDES_PX or x2 == width
        assert y2 - y1 in SIDES_PX or y2 == height
        assert x1 <= max(0, min(width, x - side / 2))
        assert x2 >= min(width, max(0, x + side / 2))
        assert y1 <= max(0, min(height, y - side / 2))
        assert y2 >= min(height, max(0, y + side / 2))


def test_a_face_at_the_border_of_its_window_may_be_cut_off() -> None:
    window = (64, 64, 192, 192)
    assert seen_whole(Detection(Box(80, 80, 120, 120), 0.9), window, SIZE)
    assert not seen_whole(Detection(Box(65, 80, 120, 120), 0.9), window, SIZE)
    assert not seen_whole(Detection(Box(150, 80, 192, 120), 0.9), window, SIZE)


def test_at_the_border_of_the_view_a_face_is_all_that_there_is() -> None:
    assert seen_whole(Detection(Box(0, 0, 40, 40), 0.9), (0, 0, 128, 128), SIZE)


def test_large_faces_are_followed_in_a_reduced_view_where_windows_would_cost_more() -> None:
    large = [face(150, 180, 100), face(450, 180, 100)]
    assert is_glance_enough(large, windows_around(large, SIZE), SIZE)
    assert not is_glance_enough([*large, face(300, 60, 30)], None, SIZE)


def test_a_face_in_a_small_window_needs_no_reduced_view() -> None:
    one = [face(300, 200, 64)]
    assert not is_glance_enough(one, windows_around(one, SIZE), SIZE)


def test_nobody_is_not_followed_at_a_glance() -> None:
    assert not is_glance_enough([], None, SIZE)
