from streamd.events import EventType
from streamd.presence import SILENT_AFTER_S, Presence


def test_a_camera_is_online_from_its_first_sign() -> None:
    presence = Presence("door", wall_s=lambda: 0.0)
    event = presence.heard(1.0)
    assert event is not None
    assert event.type is EventType.CAMERA_ONLINE
    assert presence.heard(2.0) is None


def test_a_camera_that_never_came_is_offline_with_the_reason_once() -> None:
    presence = Presence("door")
    event = presence.gone("rejected", "wrong password")
    assert event is not None
    assert (event.type, event.message) == (EventType.CAMERA_OFFLINE, "wrong password")
    assert presence.gone("rejected", "wrong password") is None


def test_a_camera_that_is_still_connecting_is_neither() -> None:
    assert Presence("door").gone("connecting", "connecting") is None


def test_silence_counts_only_after_a_sign_and_a_while() -> None:
    presence = Presence("door")
    assert not presence.silent(1000.0)
    presence.heard(0.0)
    assert not presence.silent(SILENT_AFTER_S - 0.1)
    assert presence.silent(SILENT_AFTER_S)


def test_a_camera_that_returns_is_online_again() -> None:
    presence = Presence("door")
    presence.heard(0.0)
    assert presence.gone("lost", "gone") is not None
    assert presence.heard(1.0) is not None
