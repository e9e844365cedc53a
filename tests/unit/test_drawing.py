import av
import numpy as np
import pytest
from numpy.typing import NDArray

from streamd.domain import Box, Yuv420
from streamd.drawing import COLOURS, draw_marks, label
from streamd.gateway.encoding import av_frame
from streamd.overlays import FaceMark, State

SIZE = (640, 360)


def grey(size: tuple[int, int] = SIZE, *, matrix: str = "bt601", full_range: bool = False) -> Yuv420:
    width, height = size
    return Yuv420(np.full((height * 3 // 2, width), 128, np.uint8), matrix, full_range)  # type: ignore[arg-type]


def mark(box: Box, state: State = "known", reason: str = "Ana 0.71") -> FaceMark:
    return FaceMark("door-1", box, state, None, None, reason)


def bgr(picture: Yuv420) -> NDArray[np.uint8]:
    frame = av_frame(picture)
    return frame.reformat(format="bgr24", src_colorspace=frame.colorspace, dst_color_range=2).to_ndarray()


@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("state", ["known", "unknown", "deciding"])
def test_a_box_has_its_colour_around_the_face(matrix: str, full_range: bool, state: State) -> None:
    drawn = bgr(draw_marks(grey(matrix=matrix, full_range=full_range), [mark(Box(100, 100, 200, 240), state)], SIZE))
    for x, y in ((99, 170), (200, 170), (150, 99), (150, 240)):
        assert np.abs(drawn[y, x].astype(int) - COLOURS[state]).max() < 30, (x, y)
    assert np.ptp(drawn[110:230, 110:190]) == 0


def test_boxes_are_given_in_pixels_of_the_full_picture() -> None:
    drawn = draw_marks(grey(), [mark(Box(300, 300, 600, 720))], (1920, 1080)).planes[:360]
    assert drawn[170, 99] != 128
    assert drawn[170, 200] != 128
    assert drawn[170, 150] == 128


def test_the_picture_itself_stays_as_it_was() -> None:
    picture = grey()
    picture.planes.flags.writeable = False
    draw_marks(picture, [mark(Box(100, 100, 200, 240))], SIZE)
    assert (picture.planes == 128).all()


@pytest.mark.parametrize(
    "box",
    [
        Box(-50, -50, 20, 20),
        Box(600, 300, 700, 400),
        Box(0, 0, 640, 360),
        Box(-100, -100, -50, -50),
        Box(900, 900, 950, 950),
        Box(300, 0, 301, 1),
    ],
)
@pytest.mark.parametrize("size", [SIZE, (64, 36), (16, 16)])
def test_faces_at_the_edge_and_beyond_are_no_trouble(box: Box, size: tuple[int, int]) -> None:
    drawn = draw_marks(grey(size), [mark(box, reason="somebody with a very long name indeed " * 4)], SIZE)
    assert drawn.size == size


def test_a_label_at_the_right_edge_is_moved_in() -> None:
    drawn = draw_marks(grey(), [mark(Box(610, 200, 630, 230), reason="Wolfeschlegelsteinhausenbergerdorff")], SIZE)
    rows = drawn.planes[200 - 20 : 200 - 4]
    assert (rows[:, 300] == 128).all()
    assert (rows[8, 620:640] != 128).all()


def test_names_are_written_in_their_own_letters() -> None:
    shown = {name: label(name, 20, COLOURS["known"]).tobytes() for name in ("Müller", "M?ller", "Σωκράτης", "Чехов")}
    assert len(set(shown.values())) == 4


def test_a_label_is_drawn_once() -> None:
    assert label("Ana 0.71", 20, COLOURS["known"]) is label("Ana 0.71", 20, COLOURS["known"])


def test_a_frame_for_the_codecs_keeps_matrix_and_range() -> None:
    frame = av_frame(grey(matrix="bt709", full_range=True))
    assert isinstance(frame, av.VideoFrame)
    assert (int(frame.colorspace), int(frame.color_range)) == (1, 2)
