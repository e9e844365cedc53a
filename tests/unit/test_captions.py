import numpy as np

from streamd.appearances import Appearance
from streamd.captions import overlay
from streamd.config import RecognitionConfig
from streamd.domain import Box, Decision, Detection, Frame, FrameId, Identity, Quality, Track, Verdict
from streamd.overlays import FaceMark
from streamd.recognition import Evidence, Policy

BOX = Box(10, 20, 60, 90)
IMAGE = np.zeros((36, 64, 3), np.uint8)
FRAME = Frame(FrameId("door", "e1", 7), 10.0, 1_800_000_000.0, IMAGE, None, full_size=(1280, 720))
UNKNOWN = Decision(Verdict.UNKNOWN)


def face(*, found: bool = True) -> Appearance:
    detection = Detection(BOX, 0.9, None) if found else None
    return Appearance("door-e-1", Track(1, BOX, 9.0, 10.0, 3, detection), Evidence(Policy.of(RecognitionConfig())))


def quality(reason: str | None, size_px: float = 31.0) -> Quality:
    return Quality(0.1, size_px, 0.1, 1.0, 1.0, 0.9, reason)


def known(name: str, similarity: float) -> Decision:
    return Decision(Verdict.KNOWN, Identity(name.lower(), name, similarity, 0.4, 0.3, 0.99))


def only(appearance: Appearance) -> FaceMark:
    (mark,) = overlay(FRAME, [appearance]).faces
    return mark


def test_a_known_face_has_its_name_and_how_similar_it_is_now() -> None:
    appearance = face()
    appearance.told, appearance.evidence.decision = known("Ana", 0.55), known("Ana", 0.714)
    mark = only(appearance)
    assert (mark.state, mark.name, mark.reason) == ("known", "Ana", "Ana 0.71")


def test_nobody_gets_a_name_before_it_is_told() -> None:
    appearance = face()
    appearance.evidence.decision = known("Ana", 0.9)
    assert only(appearance).name is None


def test_a_stranger_has_the_id_that_stays() -> None:
    appearance = face()
    appearance.told, appearance.stranger = UNKNOWN, "unknown-7f3a"
    mark = only(appearance)
    assert (mark.state, mark.stranger, mark.reason) == ("unknown", "unknown-7f3a", "unknown-7f3a")


def test_who_is_to_be_ignored_has_no_id() -> None:
    appearance = face()
    appearance.told, appearance.stranger, appearance.muted = UNKNOWN, "unknown-7f3a", True
    mark = only(appearance)
    assert (mark.stranger, mark.reason) == (None, "ignored")


def test_an_undecided_face_says_what_is_wrong_with_it() -> None:
    appearance = face()
    assert only(appearance).reason == "deciding"
    appearance.ledger.refuse("too_small", quality("too_small"))
    assert only(appearance).reason == "deciding: too small (31 px)"
    appearance.ledger.refuse("turned_away", quality("turned_away"))
    assert only(appearance).reason == "deciding: turned away"
    appearance.ledger.view(0.1, quality(None), [])
    assert only(appearance).reason == "deciding"


def test_a_face_that_was_not_found_in_the_frame_has_no_box() -> None:
    assert overlay(FRAME, [face(found=False)]).faces == ()


def test_the_frame_is_named() -> None:
    told = overlay(FRAME, [])
    assert (told.camera, told.epoch, told.seq, told.at_s, told.size) == ("door", "e1", 7, 10.0, (1280, 720))
