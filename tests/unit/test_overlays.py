import pytest

from streamd.domain import Box
from streamd.errors import ProtocolError
from streamd.overlays import AHEAD_S, HOLD_S, LEAST_DELAY_S, MOST_DELAY_S, FaceMark, Overlay, ShowDelay, Timeline, topic


def mark(x: float, *, track: str = "door-1", name: str | None = "Ana") -> FaceMark:
    return FaceMark(track, Box(x, 10, x + 40, 60), "known" if name else "deciding", name, None, f"{name} 0.71")


def look(at_s: float, *faces: FaceMark, epoch: str = "e1", size: tuple[int, int] = (640, 360)) -> Overlay:
    return Overlay("door", epoch, round(at_s * 10), at_s, 1_800_000_000 + at_s, size, faces)


def timeline(*looks: Overlay) -> Timeline:
    made = Timeline()
    for one in looks:
        made.add(one)
    return made


def test_between_two_looks_a_box_is_on_its_way() -> None:
    (face,) = timeline(look(1.0, mark(100)), look(1.2, mark(140))).at(1.05)
    assert face.box.x1 == pytest.approx(110)
    assert face.box.x2 == pytest.approx(150)


def test_a_face_that_is_not_found_again_is_shown_half_the_way() -> None:
    shown = timeline(look(1.0, mark(100)), look(1.2))
    assert len(shown.at(1.09)) == 1
    assert shown.at(1.11) == ()


def test_a_new_face_is_shown_from_its_look_on() -> None:
    shown = timeline(look(1.0), look(1.2, mark(100)))
    assert shown.at(1.19) == ()
    assert len(shown.at(1.2)) == 1


def test_without_a_later_look_the_last_is_held_for_a_while() -> None:
    shown = timeline(look(1.0, mark(100)))
    assert [face.box.x1 for face in shown.at(1.0 + HOLD_S - 0.01)] == [100]
    assert shown.at(1.0 + HOLD_S + 0.01) == ()
    assert shown.at(0.9) == ()


def test_until_the_next_look_a_box_goes_on_a_little_as_it_was_going() -> None:
    shown = timeline(look(1.0, mark(100)), look(1.2, mark(140), mark(300, track="door-2")))
    moving, new = shown.at(1.3)
    assert moving.box.x1 == pytest.approx(160)
    assert new.box.x1 == 300
    moving, _ = shown.at(1.2 + HOLD_S - 0.01)
    assert moving.box.x1 == pytest.approx(140 + 200 * AHEAD_S)


def test_looks_of_a_camera_that_was_restarted_replace_those_before() -> None:
    shown = timeline(look(5.0, mark(100)), look(1.0, mark(10), epoch="e2"))
    assert shown.at(5.0) == ()
    assert [face.box.x1 for face in shown.at(1.1)] == [10]


def test_a_look_that_comes_out_of_order_is_left_out() -> None:
    shown = timeline(look(2.0, mark(100)), look(1.0, mark(10)))
    assert shown.newest is not None
    assert shown.newest.at_s == 2.0


def test_boxes_of_pictures_of_two_sizes_are_not_mixed() -> None:
    shown = timeline(look(1.0, mark(100)), look(1.2, mark(300), size=(360, 640)))
    assert [face.box.x1 for face in shown.at(1.05)] == [100]


def test_an_overlay_arrives_as_it_was_sent() -> None:
    sent = look(1.5, mark(100), mark(20.5, track="door-2", name=None))
    assert Overlay.from_parts(sent.to_parts()) == sent


def test_one_cameras_topic_is_not_the_beginning_of_anothers() -> None:
    assert not topic("door2").startswith(topic("door"))


@pytest.mark.parametrize("parts", [[], [b"door/"], [b"door/", b"{}"], [b"\xff", b"{}"], [b"door/", b"[1]"]])
def test_what_is_no_overlay_is_said_to_be_none(parts: list[bytes]) -> None:
    with pytest.raises(ProtocolError):
        Overlay.from_parts(parts)


def settled(delay: ShowDelay, now_s: float) -> float:
    for step in range(100):
        found = delay.now(now_s + step * 0.1)
    return found


def test_the_delay_grows_to_what_looks_need() -> None:
    delay = ShowDelay()
    delay.looked(look(1.0, mark(1)), 1.05)
    delay.looked(look(1.1, mark(1)), 1.15)
    assert settled(delay, 1.2) == pytest.approx(0.15)


def test_the_delay_stays_within_its_bounds() -> None:
    delay = ShowDelay()
    delay.looked(look(1.0, mark(1)), 1.05)
    delay.looked(look(1.9, mark(1)), 2.0)
    assert settled(delay, 2.0) == pytest.approx(MOST_DELAY_S)
    for at_s in range(3, 100):
        delay.looked(look(at_s), at_s + 0.05)
    assert settled(delay, 100.0) == pytest.approx(LEAST_DELAY_S, abs=1e-3)


def test_the_delay_changes_so_slowly_that_nobody_sees_it() -> None:
    delay = ShowDelay()
    delay.now(1.0)
    delay.looked(look(1.0, mark(1)), 1.05)
    delay.looked(look(1.2, mark(1)), 1.3)
    assert delay.now(1.1) - LEAST_DELAY_S == pytest.approx(0.01)
