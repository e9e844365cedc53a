"""What a worker makes of its cameras' configuration. The work itself: test_pipeline_*.py, tests/e2e."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from galleryparts import MODEL, ColourEmbedder, SquareDetector

from streamd.child import ChildContext, Launch
from streamd.config import CameraConfig, Config, DetectionConfig, GalleryConfig
from streamd.control import ControlLink
from streamd.events import Event, EventType
from streamd.framelink import Message, Ready
from streamd.gallery.live import LiveGallery
from streamd.gallery.store import GalleryStore
from streamd.pipeline import MUTE_FACES, Models
from streamd.sockets import Sockets
from streamd.worker import DetectorShelf, Worker

MISSING = DetectionConfig(model="no_such_model")


class Link:
    """The cameras' end, in the test's hand."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.sent_elsewhere: list[str] = []

    def receive(self, woken: Collection[object]) -> list[Message]:
        taken, self.messages = self.messages, []
        return taken

    def grant(self, camera: str, **_: bool) -> bool:
        return True

    def elsewhere(self, camera: str, **_: int) -> None:
        self.sent_elsewhere.append(camera)


class Sender:
    unacknowledged = taken = settled = 0
    full = False

    def __init__(self) -> None:
        self.events: list[Event] = []

    def send(self, event: Event) -> bool:
        self.events.append(event)
        return not self.full

    def pump(self, now_s: float, woken: Collection[object] | None = None) -> None:
        """Nobody listens."""


class Bench:
    """A worker without its process."""

    def __init__(self, config: Config, gallery: LiveGallery, sockets: Sockets) -> None:
        self.context = ChildContext(Launch("worker@0", 0, "", config), sockets, ControlLink.unattended())
        self.link, self._sender = Link(), Sender()
        shelf = DetectorShelf(config, self.context.metrics)
        shelf["squares"] = SquareDetector()
        self._worker = Worker(
            self.context,
            cast(Any, self.link),
            cast(Any, self._sender),
            Models(shelf, ColourEmbedder(), gallery),
            detectors=shelf,
            curator=cast(Any, SimpleNamespace(events=list)),
        )

    def reload(self, **cameras: DetectionConfig) -> None:
        self.context.reloaded = cameras_of(self.context.config, **cameras)
        self._worker._step(100.0, ())

    def hear(self, *cameras: str) -> None:
        self.link.messages = [Ready(camera, 0.0) for camera in cameras]
        self._worker._step(100.0, ())

    def told(self) -> list[tuple[str, EventType, str | None]]:
        """The events since the last call."""
        events, self._sender.events = self._sender.events, []
        return [(event.camera, event.type, event.message) for event in events]


def cameras_of(config: Config, **cameras: DetectionConfig) -> Config:
    named = {name: CameraConfig(remote=True, detection=detection) for name, detection in cameras.items()}
    return config.model_copy(update={"cameras": named})


SQUARES = DetectionConfig(model="squares")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    config = cameras_of(Config(state_dir=tmp_path), door=SQUARES)
    with (
        GalleryStore(tmp_path / "gallery.sqlite") as store,
        LiveGallery(store.path, model_id=MODEL, config=GalleryConfig()) as gallery,
        Sockets() as sockets,
    ):
        yield Bench(config, gallery, sockets)


def test_a_camera_whose_detector_is_missing_is_left_out_and_the_others_go_on(bench: Bench) -> None:
    bench.reload(door=SQUARES, yard=MISSING)
    ((camera, kind, message),) = bench.told()
    assert (camera, kind) == ("yard", EventType.CAMERA_OFFLINE)
    assert message is not None
    assert "no_such_model" in message
    assert "camera 'yard': detection.model" in (bench.context.link.trouble or "")
    bench.hear("door", "yard")
    assert bench.told() == [("door", EventType.CAMERA_ONLINE, None)]
    assert bench.link.sent_elsewhere == [], "no other worker looks at it"


def test_an_embedder_that_makes_nothing_of_anybody_is_trouble(bench: Bench) -> None:
    bench.reload(door=SQUARES, yard=MISSING)
    bench._worker._pipeline._mute = {f"door-e-{n}" for n in range(MUTE_FACES)}
    bench._worker._grow_old(101.0)
    trouble = bench.context.link.trouble or ""
    assert "camera 'yard'" in trouble
    assert f"{MODEL} makes nothing of any face" in trouble


def test_a_camera_that_is_not_its_own_any_more_has_no_metrics_here(bench: Bench) -> None:
    bench.reload(door=SQUARES, yard=SQUARES)
    for camera in ("door", "yard"):
        bench.context.metrics.frames.labels(camera=camera, outcome="looked_at").inc()
    bench.reload(door=SQUARES)
    told = bench.context.metrics.snapshot().decode()
    assert ("yard" in told, "door" in told) == (False, True)


def test_what_is_missing_is_told_once(bench: Bench) -> None:
    bench.reload(door=SQUARES, yard=MISSING)
    bench.told()
    bench.reload(door=SQUARES, yard=MISSING, hall=SQUARES)
    assert bench.told() == []


def test_events_that_go_because_the_publisher_is_away_for_too_long_are_counted(bench: Bench) -> None:
    bench._sender.full = True
    bench.hear("door")
    labels = {"transport": "journal", "reason": "full"}
    assert bench.context.metrics.registry.get_sample_value("streamd_events_dropped_total", labels) == 1


def test_a_camera_that_gets_a_detector_is_looked_at_again(bench: Bench) -> None:
    bench.reload(door=SQUARES, yard=MISSING)
    bench.told()
    bench.reload(door=SQUARES, yard=SQUARES)
    assert bench.context.link.trouble is None
    bench.hear("yard")
    assert bench.told() == [("yard", EventType.CAMERA_ONLINE, None)]
