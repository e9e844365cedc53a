"""What one visit is told as: absences, zones, accounts, people who are forgotten meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest
from galleryparts import GREEN, MODEL, RED, Blank, ColourEmbedder, SquareDetector, photo_bytes, write_photo

from streamd.album import Album, Scene
from streamd.appearances import Appearance
from streamd.config import CameraConfig, GalleryConfig
from streamd.domain import Bgr, Box, Frame, FrameId
from streamd.events import Event, EventType
from streamd.gallery.enrolment import Enroller
from streamd.gallery.live import LiveGallery
from streamd.gallery.store import GalleryStore
from streamd.gallery.strangerbook import StrangerBook
from streamd.gallery.strangers import StrangerRecords
from streamd.metrics import Metrics
from streamd.pipeline import MUTE_FACES, Models, Pipeline

LEFT_HALF = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]


class Pictures:
    """An album that notes whose picture was taken for which story."""

    hides_strangers = False

    def __init__(self) -> None:
        self.colours: dict[str, set[tuple[int, ...]]] = {}

    def look(self, appearance: Appearance, picture: Bgr, box: Box, quality: float) -> None:
        x, y = map(round, box.centre)
        colour = picture.pixels[y, x] // 200
        self.colours.setdefault(appearance.id, set()).add(tuple(colour.tolist()))

    def illustrate(self, event: Event, appearance: Appearance, scene: Scene) -> Event:
        return event


class Door:
    """A camera with two places, left and right, in which somebody stands or not."""

    def __init__(
        self,
        gallery: LiveGallery,
        *,
        strangers: StrangerBook | None = None,
        embedder: ColourEmbedder | None = None,
        **camera: Any,
    ) -> None:
        config = CameraConfig(
            remote=True,
            recognition={"threshold": 0.6},  # type: ignore[arg-type]
            detection={"model": "squares"},  # type: ignore[arg-type]
            **camera,
        )
        self.now_s = 0.0
        models = Models({"squares": SquareDetector()}, embedder or ColourEmbedder(), gallery, strangers)
        self.pictures = Pictures()
        self.pipeline = Pipeline(
            models,
            Metrics(),
            embeddings_per_step=8,
            album=cast(Album, self.pictures),
            wall_s=lambda: self.now_s,
            monotonic_s=lambda: self.now_s,
        )
        self.pipeline.set_cameras({"door": config})

    def look(
        self, left: int | None, right: int | None, *, times: int = 1, shift_px: int = 0, scale: int = 1
    ) -> list[Event]:
        """So many looks, 0.2 s apart, at faces of these colours (``galleryparts``), perhaps shifted to the right; in
        full pictures ``scale`` times as large."""
        events = []
        for _ in range(times):
            self.now_s += 0.2
            picture = np.roll(np.hstack([_person(left), _person(right)]), shift_px, axis=1)
            frame_id = FrameId("door", "e", round(self.now_s * 5))
            full = np.ascontiguousarray(picture.repeat(scale, axis=0).repeat(scale, axis=1))
            frame = Frame(frame_id, self.now_s, self.now_s, picture, Bgr(full))
            events += self.pipeline.process([frame])
        return events


def _person(colour: Any) -> np.ndarray:
    full = cv2.imdecode(np.frombuffer(photo_bytes(RED if colour is None else colour), np.uint8), cv2.IMREAD_COLOR)
    assert full is not None
    return np.zeros_like(full) if colour is None else np.asarray(full, np.uint8)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GalleryStore]:
    with GalleryStore(tmp_path / "gallery.sqlite") as opened:
        list(
            Enroller(opened, SquareDetector(), ColourEmbedder()).enroll("Anna", [write_photo(tmp_path / "a.png", RED)])
        )
        yield opened


@pytest.fixture
def gallery(store: GalleryStore) -> Iterator[LiveGallery]:
    with LiveGallery(store.path, model_id=MODEL, config=GalleryConfig()) as opened:
        yield opened


def kinds(events: list[Event]) -> list[str]:
    return [event.type.value.partition(".")[2] for event in events]


def test_two_runs_that_begin_at_the_same_time_of_the_clock_give_their_tracks_different_ids(
    gallery: LiveGallery,
) -> None:
    first, second = ({event.track for event in Door(gallery).look(RED, None, times=8)} for _ in range(2))
    assert first
    assert not first & second


def test_somebody_who_goes_and_comes_back_is_one_story(gallery: LiveGallery) -> None:
    door = Door(gallery)
    first = door.look(RED, None, times=5)
    assert kinds(first) == ["appeared", "identified"]
    assert door.look(None, None, times=20) == []
    assert door.look(None, RED, times=5) == []
    (left,) = door.look(None, None, times=40)
    assert left.type is EventType.FACE_LEFT
    assert left.track == first[0].track
    assert left.identity is not None
    assert left.evidence is not None
    assert left.evidence["seconds"] == pytest.approx(5.8, abs=0.3)


def test_without_a_time_to_come_back_a_departure_is_told_at_once(gallery: LiveGallery) -> None:
    door = Door(gallery, tracking={"reappear_s": 0, "max_gap_s": 1})
    door.look(RED, None, times=5)
    assert kinds(door.look(None, None, times=6)) == ["left"]


def test_somebody_else_who_comes_meanwhile_is_another_story(gallery: LiveGallery) -> None:
    door = Door(gallery)
    first = door.look(RED, None, times=5)[0]
    door.look(None, None, times=15)
    events = door.look(GREEN, None, times=10)
    assert kinds(events) == ["appeared", "unknown"]
    assert events[0].track != first.track


def test_nobodys_picture_is_taken_for_the_story_of_who_was_there_before(gallery: LiveGallery) -> None:
    """The track goes over to somebody else who comes to the same place."""
    door = Door(gallery)
    first = door.look(RED, None, times=5)[0].track
    door.look(None, None, times=5)
    second = door.look(GREEN, None, times=20)[0].track
    assert {first, second} <= door.pictures.colours.keys()
    assert all(len(colours) == 1 for colours in door.pictures.colours.values())


def test_in_pictures_of_another_size_nobody_is_where_they_were(gallery: LiveGallery) -> None:
    """As where the process of a camera that was set to another resolution was killed."""
    door = Door(gallery)
    first = door.look(RED, None, times=5)
    events = door.look(RED, None, times=1, scale=2)
    assert kinds(events)[0] == "left"
    assert events[0].track == first[0].track


def test_who_is_forgotten_while_away_has_left(gallery: LiveGallery, store: GalleryStore) -> None:
    door = Door(gallery)
    door.look(RED, None, times=5)
    door.look(None, None, times=10)
    store.forget("Anna")
    gallery.refresh()
    assert kinds(door.pipeline.gallery_changed()) == ["left"]
    assert "Anna" not in str(door.look(RED, None, times=10))


@pytest.fixture
def book(store: GalleryStore) -> StrangerBook:
    records = StrangerRecords(store.database)
    return StrangerBook(records, model_id=MODEL, scores=ColourEmbedder.scores, target_far=1e-4)


def test_a_stranger_who_is_forgotten_while_in_view_is_told_of_without_an_id(
    gallery: LiveGallery, store: GalleryStore, book: StrangerBook
) -> None:
    door = Door(gallery, strangers=book)
    appeared, unknown = door.look(GREEN, None, times=6)
    assert unknown.stranger is not None
    book.flush()
    StrangerRecords(store.database).forget(unknown.stranger)
    book.refresh()
    (appearance,) = door.pipeline.appearances("door")
    appearance.portrait_name = "day/portrait.jpg"
    left = door.look(None, None, times=40)
    assert (kinds(left), left[0].track) == (["left"], appeared.track)
    assert (left[0].stranger, appearance.portrait_name) == (None, None)
    again = door.look(GREEN, None, times=6)
    assert again[-1].stranger not in (None, unknown.stranger), "another visit is another stranger's"


def test_who_is_forgotten_while_in_view_is_no_stranger_by_the_views_from_before(
    gallery: LiveGallery, store: GalleryStore, book: StrangerBook
) -> None:
    door = Door(gallery, strangers=book)
    assert kinds(door.look(RED, None, times=5)) == ["appeared", "identified"]
    (appearance,) = door.pipeline.appearances("door")
    appearance.portrait_name = "day/portrait.jpg"
    store.forget("Anna")
    gallery.refresh()
    events = door.pipeline.gallery_changed() + door.look(RED, None, times=20)
    assert kinds(events) == ["revised"]
    assert (events[0].stranger, appearance.portrait_name) == (None, None)
    book.flush()
    assert StrangerRecords(store.database).all() == []


def test_a_face_of_which_the_embedder_makes_nothing_is_no_evidence(gallery: LiveGallery) -> None:
    door = Door(gallery, embedder=Blank())
    events = door.look(RED, GREEN, times=10)
    assert kinds(events).count("identified") == 1
    red, green = sorted(door.pipeline.appearances("door"), key=lambda a: a.track.box.x1)
    assert red.told.identity is not None
    assert (green.evidence.views, green.decided) == ([], False)
    assert green.ledger.refused["unclear"] > 1
    assert not door.pipeline.is_blind


def test_an_embedder_that_makes_nothing_of_any_face_is_told_of_once(
    gallery: LiveGallery, caplog: pytest.LogCaptureFixture
) -> None:
    embedder = Blank()
    embedder.broken = True
    door = Door(gallery, embedder=embedder)
    for visit in range(MUTE_FACES + 1):
        assert door.pipeline.is_blind is (visit == MUTE_FACES)
        door.look(RED, None, times=5)
        door.look(None, None, times=40)
    assert door.pipeline.is_blind
    assert caplog.text.count("makes nothing of any face") == 1
    embedder.broken = False
    assert "identified" in kinds(door.look(RED, None, times=5))
    assert not door.pipeline.is_blind


def test_faces_count_in_a_zone_only_and_are_told_of_as_they_move(gallery: LiveGallery) -> None:
    zones = {"step": {"points": LEFT_HALF, "dwell_s": 0.5}}
    door = Door(gallery, zones=zones)
    assert door.look(None, RED, times=10) == []
    events = door.look(RED, None, times=10)
    assert kinds(events) == ["appeared", "identified"]
    assert events[0].zones == ["step"]
    assert events[0].latency_ms is not None
    assert events[0].latency_ms >= 500
    (moved,) = [event for step in range(1, 8) for event in door.look(RED, None, shift_px=30 * step)]
    assert (moved.type, moved.zones, moved.track) == (EventType.FACE_MOVED, [], events[0].track)
    assert moved.identity is not None


def test_an_excluded_zone_hides_a_face_from_everything(gallery: LiveGallery) -> None:
    door = Door(gallery, zones={"screen": {"points": LEFT_HALF, "kind": "exclude"}})
    assert door.look(RED, None, times=10) == []
    assert kinds(door.look(None, RED, times=5)) == ["appeared", "identified"]


def test_verdict_and_departure_carry_the_account_of_the_looks(gallery: LiveGallery) -> None:
    door = Door(gallery)
    _, identified = door.look(RED, None, times=5)
    (left,) = door.look(None, None, times=40)
    for event, looks in ((identified, 2), (left, 5)):
        assert event.account is not None
        assert event.account["faces"] == looks
        assert event.account["needed"]["threshold"] == 0.6
        assert [view["best"]["name"] for view in event.account["views"]] == ["Anna"] * len(event.account["views"])
