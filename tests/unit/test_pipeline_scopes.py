"""Cameras with different scopes share one worker, one gallery and one batch of embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from galleryparts import GREEN, MODEL, RED, ColourEmbedder, SquareDetector, photo_bytes, write_photo

from streamd.config import CameraConfig, GalleryConfig
from streamd.domain import Bgr, Frame, FrameId
from streamd.events import Event, EventType
from streamd.gallery.enrolment import Enroller
from streamd.gallery.live import LiveGallery
from streamd.gallery.store import GalleryStore
from streamd.metrics import Metrics
from streamd.pipeline import Models, Pipeline


class Scene:
    """The same faces, Anna's (red) and Bert's (green), in front of every camera."""

    def __init__(self, gallery: LiveGallery, store: GalleryStore, **cameras: dict[str, list[str]]) -> None:
        self.gallery, self.store = gallery, store
        self._cameras = {
            name: CameraConfig(
                remote=True,
                search=search,  # type: ignore[arg-type]  # validated into tuples
                recognition={"threshold": 0.6},  # type: ignore[arg-type]
                detection={"model": "squares"},  # type: ignore[arg-type]
            )
            for name, search in cameras.items()
        }
        models = Models({"squares": SquareDetector()}, ColourEmbedder(), gallery)
        self.pipeline = Pipeline(models, Metrics(), embeddings_per_step=8)
        self.pipeline.set_cameras(self._cameras)
        self._seq = 0

    def look(self, times: int = 8) -> list[Event]:
        events = []
        for _ in range(times):
            self._seq += 1
            events += self.pipeline.process([self._frame(camera) for camera in self._cameras])
        return events

    def _frame(self, camera: str) -> Frame:
        red, green = (cv2.imdecode(np.frombuffer(photo_bytes(c), np.uint8), cv2.IMREAD_COLOR) for c in (RED, GREEN))
        picture = np.hstack([red, green])
        at_s = 0.2 * self._seq
        return Frame(FrameId(camera, "e", self._seq), at_s, at_s, picture, Bgr(picture))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GalleryStore]:
    with GalleryStore(tmp_path / "gallery.sqlite") as opened:
        enroller = Enroller(opened, SquareDetector(), ColourEmbedder())
        list(enroller.enroll("Anna", [write_photo(tmp_path / "anna.png", RED)]))
        list(enroller.enroll("Bert", [write_photo(tmp_path / "bert.png", GREEN)]))
        opened.label("Anna", [("site", "hq")])
        opened.label("Bert", [("site", "depot")])
        yield opened


@pytest.fixture
def gallery(store: GalleryStore) -> Iterator[LiveGallery]:
    with LiveGallery(store.path, model_id=MODEL, config=GalleryConfig()) as opened:
        yield opened


def named(events: list[Event]) -> set[tuple[str, str]]:
    return {(e.camera, str(e.identity["name"])) for e in events if e.type is EventType.FACE_IDENTIFIED and e.identity}


def test_a_camera_names_only_people_in_its_scope(gallery: LiveGallery, store: GalleryStore) -> None:
    scene = Scene(gallery, store, hq={"site": ["hq"]}, depot={"site": ["depot"]}, lobby={}, moon={"site": ["moon"]})
    events = scene.look()
    assert named(events) == {("hq", "Anna"), ("depot", "Bert"), ("lobby", "Anna"), ("lobby", "Bert")}
    strangers = sorted(e.camera for e in events if e.type is EventType.FACE_UNKNOWN)
    assert strangers == ["depot", "hq", "moon", "moon"]


def test_nobody_out_of_scope_is_the_runner_up(gallery: LiveGallery, store: GalleryStore) -> None:
    scene = Scene(gallery, store, hq={"site": ["hq"]}, lobby={})
    named_ones = [e for e in scene.look() if e.type is EventType.FACE_IDENTIFIED]
    assert {(e.camera, e.runner_up is None) for e in named_ones} == {("hq", True), ("lobby", False)}


def test_a_face_in_view_is_named_once_its_person_gets_the_label(gallery: LiveGallery, store: GalleryStore) -> None:
    scene = Scene(gallery, store, depot={"site": ["depot"]})
    assert named(scene.look()) == {("depot", "Bert")}
    store.label("Anna", [("site", "depot")])
    gallery.refresh()
    events = scene.pipeline.gallery_changed() + scene.look()
    assert {str(e.identity["name"]) for e in events if e.identity} == {"Anna"}


def test_a_face_in_view_loses_its_name_with_the_label(gallery: LiveGallery, store: GalleryStore) -> None:
    scene = Scene(gallery, store, depot={"site": ["depot"]})
    scene.look()
    store.label("Bert", remove=[("site", None)])
    gallery.refresh()
    events = scene.pipeline.gallery_changed()
    assert [e.type for e in events] == [EventType.FACE_REVISED]
    assert events[0].identity is None
