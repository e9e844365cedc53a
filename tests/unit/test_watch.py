"""Who continues whose story: absences, crossings, and tracks that go over to somebody else."""

from __future__ import annotations

import time
from itertools import count

import numpy as np
import pytest
from numpy.typing import NDArray

from streamd.appearances import Appearance
from streamd.config import CameraConfig, TrackingConfig
from streamd.domain import Box, Detection, Track
from streamd.reassociation import CROSSING_IOU, continued, crossing, exchanged, may_meet
from streamd.recognition import Policy, View
from streamd.scores import ScoreModel, Spread
from streamd.watch import CameraWatch

SCORES = ScoreModel(Spread(0.095, 0.089), Spread(0.68, 0.12))
Vector = NDArray[np.float32]


def looks(person: int, noise: float = 0.0, *, seed: int = 0) -> Vector:
    """A unit vector; of one person all are alike but for ``noise``."""
    base = np.random.default_rng(person).normal(size=128)
    base /= np.linalg.norm(base)
    wobble = np.random.default_rng(1000 + seed).normal(size=128)
    vector = base + noise * wobble / np.linalg.norm(wobble)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def face(x: float) -> Detection:
    return Detection(Box(x, 100, x + 50, 160), 0.95)


class Scene:
    """A watch that is shown faces at places; ``people`` says who really is there."""

    def __init__(self, **tracking: float) -> None:
        config = CameraConfig(remote=True, tracking=TrackingConfig(**tracking))
        self.watch = CameraWatch("door", config, Policy.of(config.recognition), count(1))
        self.left: list[str] = []

    def look(self, at_s: float, places: dict[float, int], *, embed: bool = True) -> None:
        """People at horizontal places; each is embedded where ``embed``."""
        update = self.watch.tracker.update([face(x) for x in places], at_s)
        self.watch.follow(update.live, "e")
        self.left += [a.id for a in self.watch.part(update.ended, at_s)]
        seen = {t.id: places[t.detection.box.x1] for t in update.live if t.detection is not None}
        if embed:
            views = {track: looks(person, 0.4, seed=round(at_s * 100)) for track, person in seen.items()}
            waiting = self.watch.reunite(views, SCORES)
            for track, vector in views.items():
                if track not in waiting:
                    self.watch.appearances[track].evidence.add(View(vector, 0.8, at_s))
        for track in seen:
            self.watch.appearances[track].appeared = True

    def story(self, x: float) -> str:
        """The appearance at a place."""
        return self._at(x).id

    def _at(self, x: float) -> Appearance:
        return min(self.watch.appearances.values(), key=lambda a: abs(a.track.box.x1 - x))


def test_faces_cross_where_they_overlap() -> None:
    boxes = {1: Box(0, 0, 50, 50), 2: Box(30, 0, 80, 50), 3: Box(200, 0, 250, 50)}
    assert crossing(boxes) == {1, 2}


def test_whoever_crosses_is_found_as_by_comparing_boxes_one_by_one() -> None:
    rng = np.random.default_rng(4)
    for faces, room in ((0, 1), (1, 1), (2, 90), (40, 900), (40, 3000)):
        corners, sides = rng.integers(0, room, (faces, 2)), rng.integers(20, 90, (faces, 2))
        boxes = {7 + i: Box(*map(float, (*c, *(c + s)))) for i, (c, s) in enumerate(zip(corners, sides, strict=True))}
        slowly = {i for i in boxes for j in boxes if i != j and boxes[i].iou(boxes[j]) >= CROSSING_IOU}
        assert crossing(boxes) == slowly


def test_a_hall_full_of_faces_is_looked_through_at_once() -> None:
    boxes = {i: Box(i % 20 * 90, i // 20 * 90, i % 20 * 90 + 60, i // 20 * 90 + 70) for i in range(300)}
    crossing(boxes)
    spent_s = time.thread_time()
    for _ in range(10):
        assert not crossing(boxes)
    assert time.thread_time() - spent_s < 0.25, "53 ms each, pair by pair"


def test_a_face_continues_the_memory_that_it_is_like() -> None:
    memories = {"a": looks(1), "b": looks(2)}
    assert continued({7: looks(2, 0.3), 8: looks(3)}, memories, SCORES) == {7: "b"}


def test_two_faces_do_not_continue_one_memory() -> None:
    assert len(continued({7: looks(1, 0.3), 8: looks(1, 0.4, seed=5)}, {"a": looks(1)}, SCORES)) == 1


def test_memories_are_exchanged_only_where_that_is_clearly_better() -> None:
    memories = {1: looks(1), 2: looks(2)}
    assert exchanged({1: looks(2, 0.4), 2: looks(1, 0.4)}, memories, SCORES) == {1: 2, 2: 1}
    assert exchanged({1: looks(1, 0.4), 2: looks(2, 0.4)}, memories, SCORES) == {}
    assert exchanged({1: looks(3), 2: looks(4)}, memories, SCORES) == {}


def test_one_view_is_enough_where_the_other_face_turned_away() -> None:
    memories = {1: looks(1), 2: looks(2)}
    assert exchanged({1: looks(2, 0.4)}, memories, SCORES) == {1: 2, 2: 1}


def test_somebody_who_comes_back_in_time_continues_their_appearance() -> None:
    scene = Scene(max_gap_s=1.0, reappear_s=5.0)
    for step in range(5):
        scene.look(step * 0.2, {100.0: 1})
    first = scene.story(100)
    for step in range(10):
        scene.look(1 + step * 0.4, {})
    assert not scene.watch.appearances
    scene.look(5.0, {600.0: 1})
    assert scene.story(600) == first
    assert scene.left == []


def test_somebody_else_who_comes_begins_their_own_and_the_first_has_left_after_a_while() -> None:
    scene = Scene(max_gap_s=1.0, reappear_s=5.0)
    for step in range(5):
        scene.look(step * 0.2, {100.0: 1})
    first = scene.story(100)
    scene.look(3.0, {})
    scene.look(3.2, {100.0: 2})
    assert scene.story(100) != first
    for step in range(40):
        scene.look(3.4 + step * 0.2, {100.0: 2})
    assert scene.left == [first]


def test_of_many_who_come_to_one_place_in_turn_each_has_a_story_of_their_own() -> None:
    """All on one track: it goes over to the next before it has ended."""
    scene = Scene(max_gap_s=2.0, reappear_s=1.0)
    stories = []
    for person in range(1, 5):
        for step in range(20):
            scene.look(person * 5.0 + step * 0.2, {100.0: person})
        stories.append(scene.story(100))
    assert scene.left == stories[:3]
    assert len(set(stories)) == 4


def test_a_face_lost_by_its_place_is_found_by_its_looks() -> None:
    scene = Scene(max_gap_s=2.0)
    for step in range(5):
        scene.look(step * 0.2, {100.0: 1})
    first = scene.story(100)
    scene.look(1.0, {})
    scene.look(1.2, {900.0: 1})
    assert scene.story(900) == first
    assert len(scene.watch.appearances) == 1


@pytest.mark.parametrize("swapped", [False, True])
def test_two_people_who_cross_keep_their_own_stories(swapped: bool) -> None:
    """They walk into each other; when they part the boxes may have gone over to the other."""
    scene = Scene(max_gap_s=2.0)
    for step in range(8):
        scene.look(step * 0.2, {100.0 + 15 * step: 1, 340.0 - 15 * step: 2})
    one, two = scene.story(205), scene.story(235)
    apart = {190.0: 2, 280.0: 1} if swapped else {190.0: 1, 280.0: 2}
    scene.look(1.6, {205.0: apart[190.0], 240.0: apart[280.0]}, embed=False)
    scene.look(1.8, apart)
    scene.look(2.0, {160.0: apart[190.0], 310.0: apart[280.0]})
    assert (scene.story(160), scene.story(310)) == ((two, one) if swapped else (one, two))


def test_a_track_that_goes_over_to_somebody_else_after_a_gap_becomes_another_story() -> None:
    scene = Scene(max_gap_s=2.0)
    for step in range(5):
        scene.look(step * 0.2, {100.0: 1})
    first = scene.story(100)
    scene.look(1.6, {100.0: 2})
    scene.look(1.8, {100.0: 2})
    assert scene.story(100) != first
    assert [a.id for a in scene.watch.absent] == [first]
    assert len({a.id for a in (*scene.watch.appearances.values(), *scene.watch.absent)}) == 2


def test_one_odd_view_after_a_gap_changes_nothing() -> None:
    scene = Scene(max_gap_s=2.0)
    for step in range(5):
        scene.look(step * 0.2, {100.0: 1})
    first = scene.story(100)
    scene.look(1.6, {100.0: 7})
    scene.look(1.8, {100.0: 1})
    assert scene.story(100) == first
    assert all(float(v.vector @ looks(1)) > 0.5 for v in scene._at(100).evidence.views)


def test_people_who_come_near_each_other_are_noticed() -> None:
    scene = Scene()
    for step in range(5):
        scene.look(step * 0.2, {100.0: 1, 500.0: 2})
    assert not scene.watch.close_together
    for step, x in enumerate(range(470, 220, -30), start=5):
        scene.look(step * 0.2, {100.0: 1, float(x): 2})
    assert scene.watch.close_together


def test_people_who_stand_side_by_side_are_not_mistaken_for_each_other() -> None:
    scene = Scene()
    for step in range(10):
        scene.look(step * 0.2, {100.0: 1, 300.0: 2})
    assert not scene.watch.close_together
    for step in range(10, 20):
        scene.look(step * 0.2, {100.0 + 20 * (step - 9): 1, 300.0 + 20 * (step - 9): 2})
    assert not scene.watch.close_together, "nor who walk side by side"


def met(distance: float, velocity: float) -> bool:
    """Two faces 100 pixels wide, of which the right one moves."""
    left = Track(1, Box(0, 0, 100, 130), 0.0, 1.0, 9)
    right = Track(2, Box(distance, 0, distance + 100, 130), 0.0, 1.0, 9, velocity=(velocity, 0.0))
    assert may_meet([left, right]) == may_meet([right, left])
    return may_meet([left, right])


def test_faces_meet_that_are_close_or_come_close() -> None:
    assert met(150, 0)
    assert met(150, 1000), "it is close now"
    assert met(280, -100), "it will be at 120"
    assert met(280, -1000), "it will be past"
    assert not met(170, 0)
    assert not met(280, -60), "it will be at 184"
    assert not met(280, 150)
    assert not met(310, -1000), "too far away to think of it"
    assert not may_meet([])
