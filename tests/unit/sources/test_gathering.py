from __future__ import annotations

from dataclasses import dataclass

from streamd.sources.gathering import Gathering


@dataclass(frozen=True)
class Packet:
    number: int
    is_keyframe: bool = False
    size: int = 1000


def play(gathering: Gathering[Packet], numbers: range, *, patient: bool, gop: int = 30, keys: bool = True) -> list[int]:
    decoded = []
    for number in numbers:
        packet = Packet(number, number % gop == 0)
        decoded += [p.number for p in gathering.sift(packet, fps=15, patient=patient, keys_suffice=keys)]
    return decoded


def test_a_camera_that_does_not_rest_is_decoded_packet_by_packet() -> None:
    gathering: Gathering[Packet] = Gathering()
    for number in range(40):
        assert play(gathering, range(number, number + 1), patient=False) == [number]


def test_one_that_rests_is_decoded_three_at_a_time_and_in_order() -> None:
    gathering: Gathering[Packet] = Gathering()
    steps = [play(gathering, range(n, n + 1), patient=True) for n in range(1, 10)]
    assert steps == [[], [], [1, 2, 3], [], [], [4, 5, 6], [], [], [7, 8, 9]]


def test_whoever_wakes_gets_what_was_kept() -> None:
    gathering: Gathering[Packet] = Gathering()
    assert play(gathering, range(1, 3), patient=True) == []
    assert play(gathering, range(3, 4), patient=False) == [1, 2, 3]


def test_nothing_before_a_key_frame_is_decoded_for_nothing() -> None:
    gathering: Gathering[Packet] = Gathering()
    decoded = play(gathering, range(1, 40), patient=True, gop=20)
    assert 19 not in decoded
    assert decoded[decoded.index(20) :][:3] == [20, 21, 22]
    assert gathering.skipped == 1


def test_where_key_frames_do_not_suffice_every_packet_is_decoded() -> None:
    gathering: Gathering[Packet] = Gathering()
    assert play(gathering, range(1, 41), patient=True, gop=20, keys=False) == list(range(1, 40))
    assert gathering.skipped == 0


def test_slow_streams_are_not_kept_waiting() -> None:
    gathering: Gathering[Packet] = Gathering()
    assert gathering.sift(Packet(1), fps=5, patient=True, keys_suffice=True) == [Packet(1)]


def test_key_frames_that_follow_closely_do_not_keep_everything_waiting() -> None:
    for gop in (1, 2, 3):
        gathering: Gathering[Packet] = Gathering()
        steps = [play(gathering, range(n, n + 1), patient=True, gop=gop) for n in range(12)]
        assert [bool(decoded) for decoded in steps] == [False, False, True] * 4
        assert all(decoded[0] % gop == 0 for decoded in steps if decoded), "from a key frame on"
