"""The frame protocol over real sockets: ipc, and tcp with keys."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zmq
import zmq.auth

from streamd.domain import Bgr, Frame, FrameId, Yuv420
from streamd.framelink import Arrived, Asked, Bye, CaptureEnd, Message, Ready, WorkerEnd
from streamd.sockets import CurveClient, CurveServer, Sockets, public_key_names
from streamd.workerfinder import WorkerFinder


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    with Sockets() as made:
        yield made


def frame(seq: int = 1, *, camera: str = "door", size: tuple[int, int] = (64, 48)) -> Frame:
    width, height = size
    planes = np.random.default_rng(seq).integers(0, 255, (height * 3 // 2, width), np.uint8)
    image = np.random.default_rng(seq + 1).integers(0, 255, (24, 32, 3), np.uint8)
    return Frame(FrameId(camera, "e1", seq), time.monotonic(), time.time(), image, Yuv420(planes, "bt709", False), 0.25)


def until(done: Callable[[], bool], *, timeout_s: float = 5.0) -> bool:
    tick, end_s = threading.Event(), time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > end_s:
            return False
        tick.wait(0.01)
    return True


def heard(worker: WorkerEnd, kind: type, *, timeout_s: float = 5.0) -> list[Message]:
    found: list[Message] = []

    def look() -> bool:
        found.extend(worker.receive())
        return any(isinstance(m, kind) for m in found)

    until(look, timeout_s=timeout_s)
    return found


def pair(sockets: Sockets, tmp_path: Path) -> tuple[WorkerEnd, CaptureEnd]:
    endpoint = f"ipc://{tmp_path}/frames.sock"
    worker = WorkerEnd(sockets.bind(zmq.ROUTER, endpoint))
    dealer = sockets.connect(zmq.DEALER, endpoint, identity=b"door", hwm=2, queue_unconnected=False)
    return worker, CaptureEnd(dealer)


def announced(capture: CaptureEnd, worker: WorkerEnd, *, motion: float = 0.5) -> Ready:
    found: list[Message] = []

    def ready() -> bool:
        capture.announce(motion=motion, now_s=time.monotonic())
        found.extend(worker.receive())
        return any(isinstance(m, Ready) for m in found)

    assert until(ready)
    return next(m for m in found if isinstance(m, Ready))


def test_a_frame_arrives_as_it_was_sent(sockets: Sockets, tmp_path: Path) -> None:
    worker, capture = pair(sockets, tmp_path)
    assert announced(capture, worker) == Ready("door", 0.5)
    assert worker.grant("door")
    assert until(lambda: capture.asked().frame)
    sent = frame()
    assert capture.send(sent)
    (received,) = (m for m in heard(worker, Frame) if isinstance(m, Frame))
    assert received.id == sent.id
    assert received.captured_at_s == pytest.approx(sent.captured_at_s, abs=1e-6)
    np.testing.assert_array_equal(received.image, sent.image)
    assert isinstance(received.picture, Yuv420)
    assert isinstance(sent.picture, Yuv420)
    np.testing.assert_array_equal(received.picture.planes, sent.picture.planes)
    assert (received.picture.matrix, received.picture.full_range) == ("bt709", False)


def test_ready_is_repeated_only_after_a_second_or_more_motion(sockets: Sockets, tmp_path: Path) -> None:
    worker, capture = pair(sockets, tmp_path)
    announced(capture, worker, motion=0.01)
    start_s = capture._announced_at_s

    def told(motion: float, *moments_s: float) -> list[Message]:
        """What the worker hears when the capture announces at these moments, however busy the socket is."""
        found: list[Message] = []

        def look() -> bool:
            for moment_s in moments_s:
                capture.announce(motion=motion, now_s=moment_s)
            found.extend(worker.receive())
            return bool(found)

        assert until(look)
        return found

    for _ in range(100):
        capture.announce(motion=0.01, now_s=start_s + 0.9)
    assert told(0.5, start_s) == [Ready("door", 0.5)]
    assert told(0.5, start_s + 0.9, start_s + 1.1) == [Ready("door", 0.5)]


def test_nobody_is_asked_before_being_heard_of(sockets: Sockets, tmp_path: Path) -> None:
    worker, _ = pair(sockets, tmp_path)
    assert not worker.grant("door")


def test_bye_carries_the_reason(sockets: Sockets, tmp_path: Path) -> None:
    worker, capture = pair(sockets, tmp_path)
    announced(capture, worker)

    def heard_bye() -> bool:
        capture.bye(reason="lost", message="no frame for 5 s")
        return Bye("door", "lost", "no frame for 5 s") in worker.receive()

    assert until(heard_bye)


def test_garbage_is_counted_and_the_next_message_is_heard(sockets: Sockets, tmp_path: Path) -> None:
    worker, capture = pair(sockets, tmp_path)
    announced(capture, worker)
    for parts in ([b""], [b"\xff\x00"], [b'{"v":1,"kind":"FRAME"}'], [b'{"v":9,"kind":"READY"}'], [b"{}", b"x", b"y"]):
        capture.socket.send_multipart(parts)

    def heard_bye() -> bool:
        capture.bye(reason="lost", message="")
        return any(isinstance(m, Bye) for m in worker.receive())

    assert until(heard_bye)
    assert worker.garbage == 5


def test_a_picture_of_the_wrong_length_is_refused(sockets: Sockets, tmp_path: Path) -> None:
    worker, capture = pair(sockets, tmp_path)
    announced(capture, worker)
    parts: list[bytes] = []
    capture.socket, real = _Recorder(parts), capture.socket  # type: ignore[assignment]  # a fake that keeps the parts
    capture.send(frame())
    capture.socket = real
    real.send_multipart([parts[0], parts[1], parts[2][:-1]])
    assert until(lambda: worker.receive() == [] and worker.garbage == 1)


class _Recorder:
    def __init__(self, into: list[bytes]) -> None:
        self.into = into

    def send_multipart(self, parts: list[bytes], flags: int, *, copy: bool) -> None:
        self.into.extend(bytes(p) for p in parts)


def test_only_planar_pictures_travel(sockets: Sockets, tmp_path: Path) -> None:
    _, capture = pair(sockets, tmp_path)
    still = frame()
    with pytest.raises(TypeError):
        capture.send(Frame(still.id, still.captured_at_s, still.captured_wall_s, still.image, Bgr(still.image), 0.0))


def test_a_worker_that_comes_back_is_told_again(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/frames.sock"
    with Sockets() as there:
        dealer = there.connect(zmq.DEALER, endpoint, identity=b"door", hwm=2, queue_unconnected=False)
        capture = CaptureEnd(dealer)
        with Sockets() as first:
            announced(capture, WorkerEnd(first.bind(zmq.ROUTER, endpoint)))
        with Sockets() as second:
            assert announced(capture, WorkerEnd(second.bind(zmq.ROUTER, endpoint))).camera == "door"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    (folder / "clients").mkdir(parents=True)
    zmq.auth.create_certificates(folder, "worker")
    for name in ("door", "yard", "stranger"):
        zmq.auth.create_certificates(folder, name)
    for name in ("door", "yard"):
        (folder / "clients" / f"{name}.key").write_bytes((folder / f"{name}.key").read_bytes())
    return folder


def remote(sockets: Sockets, keys: Path, tmp_path: Path, *, jpeg_quality: int | None = None) -> tuple[WorkerEnd, str]:
    server = CurveServer(keys / "worker.key_secret", keys / "clients")
    tcp = sockets.bind(zmq.ROUTER, "tcp://127.0.0.1:*", curve=server)
    local = sockets.bind(zmq.ROUTER, f"ipc://{tmp_path}/local.sock")
    endpoint = tcp.get(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()
    trusted = public_key_names(keys / "clients")
    return WorkerEnd(local, tcp, trusted=trusted, jpeg_quality=jpeg_quality), endpoint


def dial(
    sockets: Sockets, endpoint: str, keys: Path, *, key: str, camera: str, finder: WorkerFinder | None = None
) -> CaptureEnd:
    curve = CurveClient(keys / f"{key}.key_secret", keys / "worker.key")
    dealer = sockets.connect(
        zmq.DEALER, endpoint, identity=camera.encode(), hwm=2, queue_unconnected=False, curve=curve
    )
    return CaptureEnd(dealer, finder)


def test_a_camera_with_the_right_key_is_heard_over_tcp(sockets: Sockets, keys: Path, tmp_path: Path) -> None:
    worker, endpoint = remote(sockets, keys, tmp_path)
    capture = dial(sockets, endpoint, keys, key="door", camera="door")
    assert announced(capture, worker).camera == "door"
    assert worker.grant("door")
    assert until(lambda: capture.asked().frame)


def test_a_key_that_is_not_trusted_is_not_heard(sockets: Sockets, keys: Path, tmp_path: Path) -> None:
    worker, endpoint = remote(sockets, keys, tmp_path)
    stranger = dial(sockets, endpoint, keys, key="stranger", camera="door")
    good = dial(sockets, endpoint, keys, key="yard", camera="yard")

    def yard_is_heard() -> bool:
        stranger.announce(motion=0.1, now_s=time.monotonic())
        good.announce(motion=0.1, now_s=time.monotonic())
        messages = worker.receive()
        assert Ready("door", 0.1) not in messages
        return Ready("yard", 0.1) in messages

    assert until(yard_is_heard)


def test_a_camera_cannot_speak_for_another(sockets: Sockets, keys: Path, tmp_path: Path) -> None:
    worker, endpoint = remote(sockets, keys, tmp_path)
    impostor = dial(sockets, endpoint, keys, key="yard", camera="door")

    def refused() -> bool:
        impostor.announce(motion=0.1, now_s=time.monotonic())
        assert worker.receive() == []
        return worker.garbage > 0

    assert until(refused)
    assert not worker.grant("door")


def smooth(seq: int) -> Frame:
    """A view as cameras have, on which JPEG is measured."""
    like = frame(seq, camera="door", size=(640, 360))
    picture = np.repeat(np.repeat(np.arange(540 * 640 // 400, dtype=np.uint8).reshape(27, 32), 20, 0), 20, 1)
    return replace(like, picture=Yuv420(picture, "bt601", True))


def test_pictures_come_from_another_host_as_jpeg(sockets: Sockets, keys: Path, tmp_path: Path) -> None:
    worker, endpoint = remote(sockets, keys, tmp_path, jpeg_quality=90)
    capture = dial(sockets, endpoint, keys, key="door", camera="door")
    announced(capture, worker)
    assert worker.grant("door")
    assert until(lambda: capture.asked().frame)
    sent = smooth(3)
    assert capture.send(sent)
    (received,) = (m for m in heard(worker, Frame) if isinstance(m, Frame))
    assert received.image.shape == sent.image.shape
    assert isinstance(received.picture, Yuv420)
    assert isinstance(sent.picture, Yuv420)
    assert np.abs(received.picture.planes.astype(int) - sent.picture.planes).mean() < 3
    assert not np.array_equal(received.picture.planes, sent.picture.planes)
    assert worker.ask_picture(received.id)
    assert until(lambda: capture.asked().picture_of == sent.id.seq)
    assert capture.send_picture(sent)
    (arrived,) = (m for m in heard(worker, Arrived) if isinstance(m, Arrived))
    np.testing.assert_array_equal(arrived.picture.planes, received.picture.planes)


def test_a_broken_jpeg_is_garbage(sockets: Sockets, keys: Path, tmp_path: Path) -> None:
    worker, endpoint = remote(sockets, keys, tmp_path, jpeg_quality=90)
    capture = dial(sockets, endpoint, keys, key="door", camera="door")
    announced(capture, worker)
    assert worker.grant("door")
    assert until(lambda: capture.asked().frame)
    parts: list[bytes] = []
    capture.socket, real = _Recorder(parts), capture.socket  # type: ignore[assignment]  # a fake that keeps the parts
    capture.send(frame())
    real.send_multipart([parts[0], b"not a jpeg", parts[2]])
    assert until(lambda: worker.receive() == [] and worker.garbage == 1)


def test_a_capture_goes_on_to_the_worker_that_looks_at_its_camera(
    sockets: Sockets, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, endpoint = remote(sockets, keys, tmp_path)
    second, other = remote(sockets, keys, tmp_path / "keys")
    ports = [endpoint, other]  # any two that are free, where real workers have neighbouring ones
    monkeypatch.setattr("streamd.workerfinder.remote_frames_endpoint", lambda listen, worker: ports[worker])
    capture = dial(sockets, endpoint, keys, key="door", camera="door", finder=WorkerFinder("door", endpoint))
    announced(capture, first)
    first.elsewhere("door", worker=0, workers=2)

    def moved() -> bool:
        capture.asked()
        capture.announce(motion=0.3, now_s=time.monotonic())
        return Ready("door", 0.3) in second.receive()

    assert until(moved)
    assert second.grant("door")
    assert until(lambda: capture.asked().frame)


def test_a_local_capture_is_sent_nowhere_else(sockets: Sockets, tmp_path: Path) -> None:
    worker, capture = pair(sockets, tmp_path)
    announced(capture, worker)
    worker.elsewhere("door", worker=0, workers=2)
    assert worker.grant("door")
    assert until(lambda: capture.asked().frame)


def test_a_picture_that_was_left_out_is_sent_when_it_is_asked_for_or_said_not_to_be_there(
    sockets: Sockets, tmp_path: Path
) -> None:
    worker, capture = pair(sockets, tmp_path)
    announced(capture, worker)
    whole = frame(seq=7)
    for sent in (whole, replace(whole, picture=None, full_size=whole.size)):
        assert worker.ask_picture(whole.id)
        assert until(lambda: capture.asked().picture_of == 7)
        assert capture.send_picture(sent)
        (arrived,) = heard(worker, Arrived)
        assert isinstance(arrived, Arrived)
        assert arrived.id == whole.id
        assert (arrived.picture is None) == (sent.picture is None)
    assert worker.garbage == 0


def test_how_long_a_view_stayed_as_it_is_travels_with_it(sockets: Sockets, tmp_path: Path) -> None:
    worker, capture = pair(sockets, tmp_path)
    announced(capture, worker)
    capture.send(replace(frame(), unchanged_s=1.5))
    (received,) = (m for m in heard(worker, Frame) if isinstance(m, Frame))
    assert received.unchanged_s == 1.5


def test_a_grant_says_whether_somebody_is_followed_and_whether_all_are_known(sockets: Sockets, tmp_path: Path) -> None:
    worker, capture = pair(sockets, tmp_path)
    for watched, settled in ((False, False), (True, False), (True, True)):
        announced(capture, worker)
        assert worker.grant("door", watched=watched, settled=settled)
        asked = Asked()

        def granted() -> bool:
            nonlocal asked
            asked = capture.asked()
            return asked.frame

        assert until(granted)
        assert (asked.watched, asked.settled) == (watched, settled)
        capture.send(frame())
