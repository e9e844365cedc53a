from __future__ import annotations

from dataclasses import dataclass

import pytest

from streamd.sources.lightly import Lightly

MOST = 60


@dataclass(frozen=True)
class Packet:
    number: int
    is_keyframe: bool = False
    size: int = 1000


def packets(*numbers: int, gop: int = 10) -> list[Packet]:
    return [Packet(number, number % gop == 0) for number in numbers]


class Stream:
    """Two decoders, each of which must get whole groups from their key frames on."""

    def __init__(self) -> None:
        self.lightly: Lightly[Packet] = Lightly()
        self.fed: dict[bool, list[int]] = {True: [], False: []}

    def play(self, *numbers: int, resting: bool, most: int = MOST) -> tuple[list[int], bool]:
        due, light = self.lightly.plan(packets(*numbers), resting=resting, most_held=most)
        for packet in due:
            before = self.fed[light][-1] if self.fed[light] else None
            assert packet.is_keyframe or before == packet.number - 1, "a decoder got a packet without those before it"
            self.fed[light].append(packet.number)
        return [packet.number for packet in due], light


@pytest.fixture
def stream() -> Stream:
    played = Stream()
    played.play(0, resting=False)
    return played


def test_a_camera_that_is_watched_is_decoded_fully(stream: Stream) -> None:
    assert all(stream.play(n, resting=False) == ([n], False) for n in range(1, 30))


def test_one_that_rests_is_decoded_lightly_from_the_next_key_frame_on(stream: Stream) -> None:
    assert all(stream.play(n, resting=True) == ([n], False) for n in range(1, 10))
    assert all(stream.play(n, resting=True) == ([n], True) for n in range(10, 40))


def test_whoever_wakes_gets_the_group_from_its_key_frame_through_the_full_decoder(stream: Stream) -> None:
    for number in range(1, 25):
        stream.play(number, resting=True)
    assert stream.play(25, resting=False) == ([20, 21, 22, 23, 24, 25], False)
    assert stream.play(26, resting=False) == ([26], False)


def test_a_key_frame_wakes_without_anything_before_it(stream: Stream) -> None:
    for number in range(1, 20):
        stream.play(number, resting=True)
    assert stream.play(20, resting=False) == ([20], False)


def test_of_several_packets_those_before_a_key_frame_are_left_out(stream: Stream) -> None:
    for number in range(1, 18):
        stream.play(number, resting=True)
    assert stream.play(18, 19, 20, resting=True) == ([20], True)
    assert stream.play(21, 22, resting=False) == ([20, 21, 22], False)


def test_long_groups_are_decoded_fully(stream: Stream) -> None:
    for number in range(1, 14):
        stream.play(number, resting=True, most=5)
    assert stream.play(14, resting=True, most=5) == ([14], True)
    assert stream.play(15, resting=True, most=5) == ([10, 11, 12, 13, 14, 15], False)
    assert stream.play(16, resting=True, most=5) == ([16], False)
