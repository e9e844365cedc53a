"""Pictures for those who watch, over real sockets."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import zmq

from streamd.domain import Yuv420
from streamd.masking import Mask
from streamd.showing import Showing
from streamd.sockets import Sockets, try_send
from streamd.viewlink import LEASE_S, GatewayViews, Nothing, View, Want


class Frame:
    """A grey frame, which counts how often it was converted."""

    def __init__(self, size: tuple[int, int] = (640, 360), *, image_size: tuple[int, int] | None = None) -> None:
        self.size = size
        self.image_size = image_size or size
        self.captured_at_s, self.captured_wall_s, self.media_s = time.monotonic(), time.time(), 0.0
        self.converted = 0
        self.has_picture = True

    def small420(self, width: int, height: int) -> Yuv420:
        self.converted += 1
        return Yuv420(np.full((height * 3 // 2, width), 100, np.uint8), "bt601", False)

    def yuv420(self) -> Yuv420 | None:
        return self.small420(*self.size) if self.has_picture else None

    def luma(self, step: int) -> np.ndarray:
        raise NotImplementedError

    def bgr(self, width: int, height: int) -> np.ndarray:
        raise NotImplementedError


class Link:
    """Both ends."""

    def __init__(self, sockets: Sockets, folder: Path, *, mask: Mask | None = None) -> None:
        endpoint = f"ipc://{folder}/views.sock"
        self.gateway = GatewayViews(sockets.bind(zmq.ROUTER, endpoint, hwm=4))
        self.dealer = sockets.connect(zmq.DEALER, endpoint, identity=b"door", hwm=2, queue_unconnected=False)
        self.capture = Showing(self.dealer, "door", "e1", mask or Mask(()))

    def ask(self, want: Want) -> None:
        assert until(lambda: self.gateway.want("door", want))

    def answer(self, frame: Frame | None, seq: int, now_s: float = 1.0, *, trouble: str | None = None) -> None:
        self.capture.answer(frame, seq, now_s, trouble=trouble)

    def served(self, frame: Frame | None, seq: int, *, trouble: str | None = None) -> View | Nothing:
        found: list[View | Nothing] = []

        def look() -> bool:
            self.answer(frame, seq, trouble=trouble)
            found.extend(self.gateway.receive())
            return bool(found)

        assert until(look)
        (one,) = found
        return one


@pytest.fixture
def link(tmp_path: Path) -> Iterator[Link]:
    with Sockets() as sockets:
        yield Link(sockets, tmp_path)


def until(done: Callable[[], bool], *, timeout_s: float = 5.0) -> bool:
    tick, end_s = threading.Event(), time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > end_s:
            return False
        tick.wait(0.005)
    return True


WANT = Want(320, 1 << 20, smooth=True)


def test_a_camera_that_never_said_a_word_is_asked_and_answers(link: Link) -> None:
    link.ask(WANT)
    view = link.served(Frame(), 7)
    assert isinstance(view, View)
    assert view.picture.size == (320, 180)
    assert view.full_size == (640, 360)
    assert (view.id.camera, view.id.epoch, view.id.seq) == ("door", "e1", 7)
    assert (view.picture.planes == 100).all()


def test_nothing_is_converted_while_nobody_asks(link: Link) -> None:
    frame = Frame()
    for seq in range(10):
        link.answer(frame, seq)
    assert frame.converted == 0
    assert not link.capture.awaits_frame


def test_one_question_gets_one_picture(link: Link) -> None:
    frame = Frame()
    link.ask(WANT)
    link.served(frame, 1)
    for seq in range(2, 10):
        link.answer(frame, seq)
    assert frame.converted == 1
    assert link.gateway.receive() == []


def test_a_picture_that_the_gateway_has_is_not_sent_again(link: Link) -> None:
    frame = Frame()
    link.ask(Want(320, 1 << 20, "e1", 5))
    assert until(lambda: bool(link.answer(frame, 5)) or link.capture.awaits_frame)
    assert frame.converted == 0
    view = link.served(frame, 6)
    assert isinstance(view, View)
    assert view.id.seq == 6


def test_a_restarted_camera_begins_anew(link: Link) -> None:
    link.ask(Want(320, 1 << 20, "before", 5000))
    assert isinstance(link.served(Frame(), 1), View)


def test_the_lease_ends_by_itself(link: Link) -> None:
    link.ask(WANT)
    assert until(lambda: bool(link.answer(None, 0, 1.0)) or link.capture.smooth(1.0))
    assert link.capture.smooth(1.0 + LEASE_S - 0.01)
    assert not link.capture.smooth(1.0 + LEASE_S + 0.01)


def test_who_looks_now_and_then_leaves_the_decoder_its_rest(link: Link) -> None:
    link.ask(Want(320, 1 << 20))
    assert isinstance(link.served(Frame(), 1), View)
    assert not link.capture.smooth(1.0)


def test_a_camera_without_a_picture_says_why(link: Link) -> None:
    link.ask(WANT)
    assert link.served(None, 0, trouble="the network is down") == Nothing("door", "the network is down")


def test_what_is_hidden_is_hidden_from_those_who_watch(tmp_path: Path) -> None:
    with Sockets() as sockets:
        link = Link(sockets, tmp_path, mask=Mask([[(0, 0), (0.5, 0), (0.5, 1), (0, 1)]]))
        link.ask(WANT)
        view = link.served(Frame(), 1)
        assert isinstance(view, View)
        assert (view.picture.planes[:180, :158] == 16).all()
        assert (view.picture.planes[:180, 164:] == 100).all()


def test_the_whole_picture_comes_in_full_size(link: Link) -> None:
    assert until(lambda: link.gateway.whole("door"))
    view = link.served(Frame((1920, 1080), image_size=(640, 360)), 3)
    assert isinstance(view, View)
    assert view.whole
    assert view.picture.size == (1920, 1080)


def test_where_the_main_stream_has_none_the_whole_picture_is_the_sub_streams(link: Link) -> None:
    frame = Frame((1920, 1080), image_size=(640, 360))
    frame.has_picture = False
    assert until(lambda: link.gateway.whole("door"))
    view = link.served(frame, 3)
    assert isinstance(view, View)
    assert view.picture.size == (640, 360)
    assert view.full_size == (1920, 1080)


def test_a_camera_that_is_not_there_is_not_waited_for(link: Link) -> None:
    assert not link.gateway.want("nobody", WANT)


@pytest.mark.parametrize(
    "parts", [[b""], [b"{}"], [b'{"v":1,"kind":"VIEW"}'], [b'{"v":1,"kind":"BOO"}', b"x", b"y"], [b"\xff\xfe"]]
)
def test_what_is_no_view_is_left_out(link: Link, parts: list[bytes]) -> None:
    link.ask(WANT)
    assert until(lambda: try_send(link.dealer, parts))
    view = link.served(Frame(), 1)
    assert isinstance(view, View)


def test_a_view_fits_the_width_and_the_number_of_pixels() -> None:
    want = Want(1280, 1280 * 720)
    assert want.fitted((1920, 1080)) == (1280, 720)
    assert want.fitted((640, 360)) == (640, 360)
    for size in ((1080, 1920), (1600, 1200), (4000, 3000), (333, 777)):
        width, height = want.fitted(size)
        assert width <= 1280
        assert width * height <= 1280 * 720
        assert width % 2 == height % 2 == 0
        assert width / height == pytest.approx(size[0] / size[1], rel=0.02)
