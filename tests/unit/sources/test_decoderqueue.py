from dataclasses import dataclass

import pytest

from streamd.sources.decoderqueue import MOST_WAITING, DecoderQueue, is_key

IDR, DELTA = b"\0\0\0\1\x67abc\0\0\0\1\x65xyz", b"\0\0\0\1\x41xyz"


@dataclass
class Codec:
    name: str = "H264"


@dataclass
class Frame:
    data: bytes


def item(data: bytes = DELTA) -> tuple[Codec, Frame]:
    return Codec(), Frame(data)


def test_a_decoder_that_keeps_up_loses_nothing() -> None:
    queue = DecoderQueue(lambda: None)
    for _ in range(3 * MOST_WAITING):
        queue.put(item())
        queue.get_nowait()
    assert queue.dropped == 0


def test_a_decoder_that_is_behind_goes_on_with_a_key_frame() -> None:
    asked: list[int] = []
    queue = DecoderQueue(lambda: asked.append(1))
    for _ in range(MOST_WAITING + 5):
        queue.put(item())
    assert queue.empty()
    assert queue.dropped == MOST_WAITING + 5
    assert len(asked) == 5
    queue.put(item(IDR))
    queue.put(item())
    assert queue.qsize() == 2


def test_the_end_always_comes_through() -> None:
    queue = DecoderQueue(lambda: None)
    for _ in range(MOST_WAITING):
        queue.put(item())
    queue.put(None)
    assert queue.qsize() == MOST_WAITING + 1


@pytest.mark.parametrize(
    ("codec", "data", "key"),
    [
        ("H264", IDR, True),
        ("H264", b"\0\0\1\x65x", True),
        ("H264", DELTA, False),
        ("H264", b"", False),
        ("H264", b"\0\0\1", False),
        ("VP8", b"\x10\x02\x00\x9d\x01\x2a", True),
        ("VP8", b"\x11\x02\x00", False),
        ("VP8", b"", False),
    ],
)
def test_key_frames_are_known_by_their_bytes(codec: str, data: bytes, key: bool) -> None:
    assert is_key(codec, data) == key
