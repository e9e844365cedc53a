from __future__ import annotations

import pytest
from publisherprocess import an_event

from streamd.cooldown import Cooldown
from streamd.events import EventType

IDENTIFIED, LEFT, REVISED = EventType.FACE_IDENTIFIED, EventType.FACE_LEFT, EventType.FACE_REVISED


def test_a_person_is_told_of_once_within_the_time_and_again_after_it() -> None:
    cooldown = Cooldown(60)
    allowed = [cooldown.allows(an_event(1, wall_s=1000 + at)) for at in (0, 30, 59, 61, 100, 122)]
    assert allowed == [True, False, False, True, False, True]


def test_another_person_and_another_camera_are_told_of() -> None:
    cooldown = Cooldown(60)
    assert cooldown.allows(an_event(1, wall_s=1000))
    assert cooldown.allows(an_event(2, wall_s=1001))
    assert cooldown.allows(an_event(1, wall_s=1001, camera="yard"))


@pytest.mark.parametrize("kind", [LEFT, REVISED, EventType.CAMERA_OFFLINE])
def test_departures_corrections_and_cameras_are_always_told(kind: EventType) -> None:
    cooldown = Cooldown(60)
    assert all(cooldown.allows(an_event(1, kind=kind, wall_s=1000 + at)) for at in range(3))


def test_without_a_time_everything_is_told() -> None:
    cooldown = Cooldown(0)
    assert all(cooldown.allows(an_event(1, wall_s=1000)) for _ in range(3))


def test_a_clock_that_was_set_back_does_not_silence_anybody() -> None:
    cooldown = Cooldown(60)
    assert cooldown.allows(an_event(1, wall_s=5000))
    assert cooldown.allows(an_event(1, wall_s=1000))
