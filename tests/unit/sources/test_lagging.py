from __future__ import annotations

from streamd.sources.lagging import AWAITED_S, CAUGHT_UP_S, LATE_S, WINDOW_S, Catching, LiveDelay

FPS, GOP = 15, 30


class Stream:
    """Packets of one stream: each comes ``1 / FPS`` after the one before, or lay here already."""

    def __init__(self) -> None:
        self.catching = Catching()
        self._now_s = 100.0

    def take(self, *, key: bool = False, behind_s: float, waited: bool = False) -> bool:
        self._now_s += 1 / FPS
        waited_s = AWAITED_S if waited else 0.0
        return self.catching.takes(is_keyframe=key, behind_s=behind_s, now_s=self._now_s, waited_s=waited_s)


def test_a_decoder_that_keeps_up_takes_every_packet() -> None:
    stream = Stream()
    assert all(stream.take(key=i % GOP == 0, behind_s=0.3) for i in range(100))


def test_one_that_is_behind_takes_key_frames_until_it_is_not() -> None:
    stream = Stream()
    assert not stream.take(behind_s=LATE_S)
    assert not stream.take(behind_s=0.0), "what it refers to was left out"
    assert stream.take(key=True, behind_s=CAUGHT_UP_S + 0.1)
    assert not stream.take(behind_s=0.0)
    assert stream.take(key=True, behind_s=CAUGHT_UP_S)
    assert stream.take(behind_s=0.0)


def test_one_that_waits_for_late_packets_takes_every_packet() -> None:
    stream = Stream()
    assert all(stream.take(key=i % GOP == 0, behind_s=5.0, waited=True) for i in range(100))


def test_packets_that_came_at_once_after_a_wait_are_not_left_out_for_a_moment() -> None:
    stream = Stream()
    stream.take(behind_s=5.0, waited=True)
    taken = [stream.take(behind_s=5.0) for _ in range(FPS)]
    assert all(taken[: FPS // 2])
    assert not any(taken[FPS * 2 // 3 :])


def test_one_that_has_caught_up_with_a_late_sender_takes_every_packet_again() -> None:
    stream = Stream()
    assert not stream.take(behind_s=5.0)
    assert not stream.take(behind_s=5.0, waited=True)
    assert stream.take(key=True, behind_s=5.0)
    assert stream.take(behind_s=5.0)


def test_packets_that_pile_up_are_late() -> None:
    delay = LiveDelay()
    assert max(delay.behind_s(i / FPS, 100 + i / FPS + (i % 3) / 100) for i in range(60)) < 0.03
    assert delay.behind_s(4.0, 105.0) > 0.9


def test_a_clock_that_drifts_is_not_late() -> None:
    delay = LiveDelay()
    assert max(delay.behind_s(i / FPS, 100 + 1.001 * i / FPS) for i in range(FPS * 600)) < 0.05


def test_a_stream_that_begins_anew_is_not_late() -> None:
    delay = LiveDelay()
    delay.behind_s(5000.0, 100.0)
    assert delay.behind_s(0.0, 101.0) == 0.0
    assert delay.behind_s(3 * WINDOW_S, 102.0) == 0.0


def test_a_camera_that_comes_later_for_good_is_in_time_again_after_a_while() -> None:
    delay = LiveDelay()
    delay.behind_s(0.0, 100.0)
    last = [delay.behind_s(i / FPS, 102 + i / FPS) for i in range(1, round(FPS * (WINDOW_S + 1)))]
    assert last[0] == 2.0
    assert last[-1] < 0.01
