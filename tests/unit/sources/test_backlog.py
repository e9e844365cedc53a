from __future__ import annotations

from dataclasses import dataclass

from streamd.sources.backlog import HELD_BYTES, Backlog

GOP = 10


@dataclass(frozen=True)
class Packet:
    number: int
    size: int = 1000

    @property
    def is_keyframe(self) -> bool:
        return self.number % GOP == 0


class Stream:
    """Ten packets a second, a key frame each second, held and let go of."""

    def __init__(self, first: int = 0, *, most: int = 100, size: int = 1000) -> None:
        self.backlog: Backlog[Packet] = Backlog()
        self._next = first
        self._most = most
        self._size = size

    def play(self, count: int, *, let_go: bool = True) -> None:
        for _ in range(count):
            at_s = self._next / 10
            self.backlog.add(Packet(self._next, self._size), media_s=at_s, arrived_s=at_s, most=self._most)
            self._next += 1
            if let_go:
                self.backlog.let_go(before_s=at_s - 0.5)

    def taken(self, moment_s: float | None = None) -> tuple[list[int], bool]:
        packets, afresh = self.backlog.take(moment_s)
        return [packet.number for packet in packets], afresh


def test_what_lies_before_the_last_key_frame_is_let_go_of_after_a_while() -> None:
    stream = Stream()
    stream.play(14)
    assert len(stream.backlog) == 14, "a picture of half a second ago may be asked for"
    stream.play(2)
    assert len(stream.backlog) == 6
    assert stream.backlog.passed == 10


def test_a_moment_is_decoded_from_the_key_frame_before_it() -> None:
    stream = Stream()
    stream.play(14)
    assert stream.taken(1.25) == ([10, 11, 12, 13], True)
    stream = Stream()
    stream.play(14)
    assert stream.taken(0.85) == (list(range(14)), True)


def test_whoever_has_decoded_everything_so_far_goes_on() -> None:
    stream = Stream()
    stream.play(3)
    assert stream.taken() == ([0, 1, 2], True)
    stream.play(2)
    assert stream.taken() == ([3, 4], False)


def test_after_packets_were_let_go_of_the_decoder_starts_afresh() -> None:
    stream = Stream()
    stream.play(3)
    stream.taken()
    stream.play(20)
    assert stream.taken(2.1) == ([20, 21, 22], True)


def test_a_stream_that_begins_in_the_middle_waits_for_a_key_frame() -> None:
    stream = Stream(first=7)
    stream.play(2)
    assert stream.taken() == ([], False)
    stream.play(2)
    assert stream.taken() == ([10], True)


def test_key_frames_that_are_too_far_apart_are_not_waited_for() -> None:
    stream = Stream(most=8)
    stream.play(8)
    assert not stream.backlog.long
    stream.play(2)
    assert stream.backlog.long
    stream.play(1)
    assert stream.backlog.long, "the next group will be as long"


def test_held_packets_have_a_bound_in_bytes() -> None:
    stream = Stream(size=HELD_BYTES // 5)
    stream.play(6, let_go=False)
    assert stream.backlog.long
