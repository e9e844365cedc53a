from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamd.sources.dozing import Doze, Mode


@dataclass(frozen=True)
class Packet:
    size: int
    is_keyframe: bool = False


GOP = 30


class Stream:
    """A camera's packets, sifted."""

    def __init__(
        self,
        mode: Mode = "packets",
        *,
        most_held: int = 60,
        most_unseen: int = 10,
        noise: float = 0.05,
        key_size: int = 100_000,
    ) -> None:
        self.doze: Doze[Packet] = Doze(mode)
        self.decoded = 0
        self._most_held, self._unseen = most_held, most_unseen
        self._noise = noise
        self._key_size = key_size
        self._random = np.random.default_rng(1)
        self._index = 0

    def play(self, packets: int, *, size: float = 1000.0, gop: int = GOP) -> list[int]:
        """How many packets were decoded at each step."""
        steps = []
        for _ in range(packets):
            key = gop == 1 or self._index % gop == 0
            drawn = max(20, round((self._key_size if key else size) * (1 + self._noise * self._random.normal())))
            steps.append(len(self.doze.sift(Packet(drawn, key), most_held=self._most_held, most_unseen=self._unseen)))
            self._index += 1
        self.decoded += sum(steps)
        return steps

    def rest(self) -> list[int]:
        """Until it dozes, at a key frame."""
        self.doze.resting = True
        return self.play(2 * GOP)


def test_a_camera_that_is_watched_is_decoded_wholly() -> None:
    stream = Stream()
    assert stream.play(300) == [1] * 300


def test_a_camera_that_rests_gives_its_key_frames() -> None:
    stream = Stream()
    stream.rest()
    steps = stream.play(10 * GOP)
    assert sum(steps) == 10
    assert stream.doze.alarms == 0
    assert stream.doze.skipped + stream.doze.holding == 10 * (GOP - 1)


def test_larger_packets_wake_at_once_and_nothing_is_lost() -> None:
    stream = Stream()
    stream.rest()
    stream.play(10)
    steps = stream.play(3, size=2500.0)
    assert steps[0] == 10, "the nine that were held and this one"
    assert steps[1:] == [1, 1]
    assert stream.doze.alarms == 1


def test_slightly_larger_packets_wake_within_half_a_second() -> None:
    stream = Stream()
    stream.rest()
    stream.play(5)
    steps = stream.play(8, size=1300.0)
    assert sum(steps) > 8


def test_noise_that_comes_and_goes_wakes_nobody() -> None:
    stream = Stream(noise=0.25, key_size=300_000)
    stream.rest()
    stream.play(40 * GOP)
    assert stream.doze.alarms <= 2


def test_whoever_is_asked_for_wakes_with_what_was_held() -> None:
    stream = Stream()
    stream.rest()
    stream.play(10)
    stream.doze.resting = False
    assert stream.play(2) == [10, 1]


def test_key_frames_that_are_far_apart_are_not_waited_for() -> None:
    stream = Stream(most_held=20)
    stream.rest()
    assert stream.play(200) == [1] * 200
    assert stream.doze.long


def test_a_lost_key_frame_ends_the_rest_for_a_while_only() -> None:
    stream = Stream(most_held=40)
    stream.rest()
    stream.play(1)
    steps = stream.play(60, gop=10**9)
    assert max(steps) == 41
    assert sum(steps) == 60
    stream.play(6 * GOP)
    assert sum(stream.play(4 * GOP)) == 4


def test_packets_among_which_a_person_would_not_show_are_decoded_at_glances() -> None:
    """As at a constant rate, which the encoder uses up on noise."""
    stream = Stream(key_size=8_000)
    stream.rest()
    steps = stream.play(5 * GOP)
    assert steps == ([1] + [0] * 9 + [10] + [0] * 9 + [10] + [0] * 9) * 5
    assert stream.doze.glancing
    assert stream.doze.skipped + stream.doze.holding == 5 * 9


def test_glances_are_as_few_as_will_do_and_nothing_is_decoded_after_the_last() -> None:
    glances = {30: [], 29: [1], 15: [15], 14: [8, 16], 12: [9, 18], 8: [8, 16, 22], 1: list(range(1, 30))}
    for most_unseen, wanted in glances.items():
        stream = Stream(key_size=8_000, most_unseen=most_unseen)
        stream.rest()
        steps = stream.play(GOP) + stream.play(1)
        assert [index for index, count in enumerate(steps) if count] == [0, *wanted, GOP]
        assert sum(steps) == 1 + max(wanted, default=0) + 1
        assert max(np.diff([0, *wanted, GOP])) <= most_unseen


def test_a_group_that_goes_on_for_longer_is_glanced_at_all_the_same() -> None:
    stream = Stream(key_size=8_000, most_held=40)
    stream.rest()
    stream.play(1)
    steps = stream.play(100, gop=10**9)
    assert steps == ([0] * 9 + [10]) * 10


def test_a_decoder_that_has_become_too_slow_to_hold_anything_is_given_every_packet() -> None:
    stream = Stream(key_size=8_000)
    stream.rest()
    stream.play(5)
    stream._most_held = 0
    assert sum(stream.play(40)) >= 40
    assert stream.doze.long


def test_what_is_larger_than_anything_seen_in_calm_wakes_between_glances() -> None:
    stream = Stream(noise=0.25)
    stream.rest()
    stream.play(5 * GOP)
    assert stream.doze.glancing
    assert stream.doze.alarms == 0
    stream.play(2)
    assert sum(stream.play(4, size=4000.0)) >= 4
    assert stream.doze.alarms == 1


def test_whoever_has_learnt_falls_asleep_within_a_group() -> None:
    stream = Stream()
    stream.rest()
    stream.play(10)
    stream.doze.resting = False
    assert sum(stream.play(5)) == 10 + 4
    stream.doze.resting = True
    assert sum(stream.play(5)) == 0


def test_whoever_was_woken_sleeps_no_more_in_this_group_unless_it_is_calm_again() -> None:
    stream = Stream()
    stream.rest()
    stream.play(5 * GOP + 10)
    stream.play(1, size=2500.0)
    assert stream.doze.alarms == 1
    assert stream.play(5) == [1] * 5, "resting is not taken back at once"


def test_a_stream_that_begins_again_is_known() -> None:
    stream = Stream()
    stream.rest()
    stream.play(10)
    held = stream.doze.holding
    stream.doze.begin_again()
    assert (stream.doze.holding, stream.doze.skipped) == (0, held)
    assert sum(stream.play(GOP, gop=10**9)) == 0


def test_key_frames_that_give_no_picture_of_their_own_end_the_rest() -> None:
    stream = Stream()
    stream.rest()
    stream.play(GOP)
    stream.doze.unfit()
    assert stream.play(200) == [1] * 200


def test_packets_right_after_a_key_frame_may_be_larger() -> None:
    """Encoders make good in them what a key frame leaves."""
    stream = Stream()
    stream.doze.resting = True
    for _ in range(20):
        stream.play(1, gop=1)
        stream.play(2, size=4000.0, gop=10**9)
        stream.play(27, size=200.0, gop=10**9)
    assert stream.doze.alarms == 0
    assert stream.doze.skipped >= 15 * 29


def test_key_frames_alone_wait_for_the_next_one() -> None:
    stream = Stream("keyframes")
    stream.rest()
    stream.play(5)
    assert sum(stream.play(10, size=5000.0)) == 0


def test_all_decodes_all() -> None:
    stream = Stream("all")
    stream.rest()
    assert stream.play(100) == [1] * 100


def test_nothing_is_held_before_enough_calm_was_seen() -> None:
    stream = Stream()
    stream.doze.resting = True
    assert stream.play(2 * GOP + 1) == [1] * (2 * GOP + 1)


def test_after_an_alarm_calm_is_learnt_anew() -> None:
    stream = Stream()
    stream.rest()
    stream.play(20 * GOP, size=1300.0)
    assert stream.doze.alarms >= 1
    assert sum(stream.play(4 * GOP, size=1300.0)) == 4
