from dataclasses import replace

import pytest

from streamd.scheduling import Attention, Intervals, Scheduler, Wait, strain

INTERVALS = Intervals(undecided_s=0.1, tracked_s=0.25, motion_s=0.2, still_s=1.0, motion_share=0.01)


def scheduler(*names: str, max_batch: int = 1) -> Scheduler:
    return Scheduler(dict.fromkeys(names, INTERVALS), max_batch=max_batch)


def test_a_camera_without_anything_new_is_not_asked() -> None:
    assert scheduler("door").grants(0.0) == []


def test_a_new_camera_is_asked_at_once() -> None:
    s = scheduler("door")
    s.ready("door", 0.0, at_s=0.0)
    assert s.grants(0.0) == ["door"]


def test_a_still_camera_is_asked_seldom_and_a_moving_one_often() -> None:
    s = scheduler("still", "moving", max_batch=2)
    for name in ("still", "moving"):
        s.looked(name, Attention.NOTHING, 0.0)
    s.ready("still", 0.0, at_s=0.0)
    s.ready("moving", 0.5, at_s=0.0)
    assert s.grants(0.19) == []
    assert s.grants(0.2) == ["moving"]
    assert s.grants(1.0) == ["still"]


def test_a_face_without_a_verdict_is_looked_at_most_often() -> None:
    s = scheduler("door")
    s.looked("door", Attention.UNDECIDED, 0.0)
    s.ready("door", 0.0, at_s=0.0)
    assert s.grants(0.1) == ["door"]


def test_motion_that_begins_while_waiting_brings_the_look_forward() -> None:
    s = scheduler("door")
    s.looked("door", Attention.NOTHING, 0.0)
    s.ready("door", 0.0, at_s=0.0)
    assert s.grants(0.3) == []
    s.ready("door", 0.2, at_s=0.0)
    assert s.grants(0.3) == ["door"]


def test_what_had_not_moved_yet_did_not_wait() -> None:
    s = scheduler("door")
    s.looked("door", Attention.NOTHING, 0.0)
    s.ready("door", 0.0, at_s=0.1)
    s.ready("door", 0.2, at_s=0.9)
    assert s.grants(0.91) == ["door"]
    (wait,) = s.waits()
    assert wait.seconds == pytest.approx(0.01)


def test_a_camera_that_has_just_become_empty_is_looked_at_once_more_soon() -> None:
    s = scheduler("door")
    s.looked("door", Attention.TRACKED, 0.0)
    s.looked("door", Attention.NOTHING, 1.0)
    s.ready("door", 0.0, at_s=1.1)
    assert s.grants(1.2) == ["door"]
    s.looked("door", Attention.NOTHING, 1.2)
    s.ready("door", 0.0, at_s=1.3)
    assert s.grants(2.1) == []
    assert s.grants(2.2) == ["door"]


def test_no_more_frames_are_under_way_than_the_batch_holds() -> None:
    s = scheduler("a", "b", "c", max_batch=2)
    for name in "abc":
        s.ready(name, 1.0, at_s=0.0)
    assert len(s.grants(0.0)) == 2
    assert s.grants(0.0) == []
    s.arrived("a", 0.0)
    assert s.grants(0.0, in_hand=["a"]) == []
    assert s.grants(0.0) == ["c"]


def test_a_camera_whose_frame_waits_for_work_is_not_asked_for_another() -> None:
    s = scheduler("a", "b", max_batch=4)
    s.ready("a", 1.0, at_s=0.0)
    assert s.grants(0.0) == ["a"]
    s.arrived("a", 0.01)
    for name in "ab":
        s.ready(name, 1.0, at_s=0.02)
    assert s.grants(0.02, in_hand=["a"]) == ["b"]


def test_under_overload_every_camera_gets_its_share_and_none_starves() -> None:
    names = [f"cam{i}" for i in range(8)]
    s = scheduler(*names)
    looks = dict.fromkeys(names, 0)
    now_s = 0.0
    for _ in range(800):  # each look takes 50 ms: eight cameras could be looked at 2.5 times a second
        for name in names:
            s.ready(name, 1.0, at_s=now_s)
        (name,) = s.grants(now_s)
        looks[name] += 1
        s.arrived(name, now_s)
        s.looked(name, Attention.UNDECIDED if name == "cam0" else Attention.NOTHING, now_s)
        now_s += 0.05
    others = [looks[n] for n in names[1:]]
    assert max(others) - min(others) <= 2
    assert looks["cam0"] > 1.5 * min(others)
    assert min(others) > 60


def test_a_grant_that_is_never_answered_frees_its_slot_and_is_counted() -> None:
    s = scheduler("dead", "alive")
    s.ready("dead", 0.0, at_s=0.0)
    assert s.grants(0.0) == ["dead"]
    s.ready("alive", 0.0, at_s=0.0)
    assert s.grants(0.0) == []
    assert s.grants(0.5) == ["alive"], "nor does anybody wait for it until then"
    assert s.lost_grants() == {}
    s.arrived("alive", 0.6)
    assert s.grants(1.0) == []
    assert s.lost_grants() == {"dead": 1}
    assert s.lost_grants() == {}


def test_a_camera_that_went_frees_its_slot() -> None:
    s = scheduler("gone", "there")
    s.ready("gone", 0.0, at_s=0.0)
    s.ready("there", 0.0, at_s=0.0)
    assert s.grants(0.0) == ["gone"]
    s.gone("gone")
    assert s.grants(0.0) == ["there"]


def test_the_next_moment_is_when_the_earliest_ready_camera_becomes_due() -> None:
    s = scheduler("a", "b")
    assert s.next_s(0.0) is None
    s.looked("a", Attention.TRACKED, 10.0)
    s.ready("a", 0.0, at_s=0.0)
    assert s.next_s(0.0) == 10.25


def test_a_camera_that_waits_for_its_next_picture_does_not_keep_others_waiting() -> None:
    s = scheduler("still", "lively")
    s.worked(0.05)  # on average 0.01
    s.ready("still", 0.0, at_s=0.0)
    s.ready("lively", 0.0, at_s=0.0)
    (first,) = s.grants(0.0)
    assert s.grants(0.001) == [], "it may answer at once"
    assert 0.001 < (s.next_s(0.001) or 0.0) < 0.02, "the others are thought of again soon, but not without a pause"
    (second,) = s.grants(0.015)
    assert {first, second} == {"still", "lively"}


def test_a_batch_does_not_wait_for_a_camera_that_takes_long() -> None:
    s = scheduler("slow")
    assert not s.awaits(0.0, 0.03)
    s.ready("slow", 0.0, at_s=0.0)
    s.grants(0.0)
    assert s.awaits(0.02, 0.03)
    assert not s.awaits(0.04, 0.03)


def test_a_reload_keeps_the_state_of_cameras_that_stay() -> None:
    s = scheduler("a", "b")
    s.looked("a", Attention.NOTHING, 5.0)
    s.ready("a", 0.0, at_s=0.0)
    s.replace({"a": INTERVALS, "c": INTERVALS})
    assert s.grants(5.1) == []
    assert not s.knows("b")
    s.ready("c", 0.0, at_s=0.0)
    assert s.grants(5.1) == ["c"]


def test_a_reload_gives_cameras_that_stay_their_new_intervals() -> None:
    s = scheduler("door")
    s.looked("door", Attention.NOTHING, 0.0)
    s.ready("door", 0.0, at_s=0.0)
    assert s.grants(0.5) == []
    s.replace({"door": replace(INTERVALS, still_s=0.5)})
    assert s.grants(0.5) == ["door"]


def test_a_camera_that_went_is_not_asked_and_begins_anew() -> None:
    s = scheduler("door")
    s.looked("door", Attention.UNDECIDED, 0.0)
    s.ready("door", 0.0, at_s=0.0)
    s.gone("door")
    assert s.grants(5.0) == []
    s.looked("door", Attention.UNDECIDED, 5.0)
    s.gone("door")
    s.ready("door", 0.0, at_s=5.0)
    assert s.grants(5.9) == [], "nobody is followed on it any more"


def test_a_camera_that_could_not_be_reached_is_asked_as_soon_as_it_speaks() -> None:
    s = scheduler("door")
    s.ready("door", 0.0, at_s=0.0)
    assert s.grants(0.0) == ["door"]
    s.refused("door")
    assert s.grants(0.1) == []
    s.ready("door", 0.0, at_s=0.2)
    assert s.grants(0.2) == ["door"]


def test_a_camera_of_which_a_picture_is_awaited_is_not_asked_for_a_frame() -> None:
    s = scheduler("door", max_batch=2)
    s.ready("door", 0.0, at_s=0.0)
    s.granted("door", 0.0)
    assert s.grants(0.1) == []
    s.arrived("door", 0.2)
    assert s.grants(0.2) == ["door"]


def test_while_a_frame_is_awaited_for_long_another_camera_is_asked() -> None:
    s = scheduler("far", "near")
    s.worked(0.01)
    s.ready("far", 1.0, at_s=0.0)
    assert s.grants(0.0) == ["far"]
    s.ready("near", 1.0, at_s=0.0)
    assert s.grants(0.001) == []
    assert s.grants(0.5) == ["near"]


def test_a_grant_is_thought_of_again_when_it_is_given_up() -> None:
    s = scheduler("door", max_batch=2)
    s.ready("door", 0.0, at_s=5.0)
    assert s.grants(5.0) == ["door"]
    assert s.next_s(5.1) == 6.0


def test_a_first_look_has_not_waited() -> None:
    s = scheduler("door")
    s.ready("door", 0.0, at_s=0.0)
    assert s.grants(9.0) == ["door"]
    assert s.waits() == []


def test_a_camera_that_answers_late_leaves_room_for_others() -> None:
    s = scheduler("far", "near")
    s.worked(0.01)
    for look in range(20):
        s.ready("far", 1.0, at_s=look)
        assert s.grants(look) == ["far"]
        s.arrived("far", look + 0.1)
        s.looked("far", Attention.UNDECIDED, look)
    s.looked("near", Attention.UNDECIDED, 19.8)
    s.ready("far", 1.0, at_s=20.0)
    s.ready("near", 1.0, at_s=20.0)
    assert set(s.grants(20.0)) == {"far", "near"}


def test_frames_that_wait_while_the_worker_works_are_not_late() -> None:
    s = scheduler("a", "b")
    for look in range(20):
        for name in ("a", "b"):
            s.ready(name, 1.0, at_s=look)
        (asked,) = s.grants(look)
        for _ in range(5):
            s.worked(0.1)
        s.arrived(asked, look + 0.5)
        s.looked(asked, Attention.UNDECIDED, look)


def test_one_that_starves_comes_before_all_others() -> None:
    s = scheduler("still", "busy")
    s.stretch = 3.0
    s.looked("still", Attention.NOTHING, 0.0)
    s.ready("still", 0.0, at_s=0.0)
    s.looked("busy", Attention.UNDECIDED, 1.0)
    s.ready("busy", 1.0, at_s=1.0)
    assert s.grants(3.05) == ["still"]


def test_strain_is_how_long_due_cameras_wait() -> None:
    s = scheduler("a", "b")
    for name in "ab":
        s.looked(name, Attention.UNDECIDED, 0.0)
        s.ready(name, 0.0, at_s=0.0)
    assert s.grants(0.1) == ["a"]
    assert s.waits() == [Wait("a", 0.0, 0.0)]
    s.arrived("a", 0.15)
    s.looked("a", Attention.UNDECIDED, 0.1)
    assert s.grants(0.15) == ["b"]
    (wait,) = s.waits()
    assert wait.camera == "b"
    assert strain([wait]) == pytest.approx(0.5)
    assert strain([wait, Wait("c", 0.0, 0.0)]) == pytest.approx(0.25)
    assert strain(s.waits()) is None
