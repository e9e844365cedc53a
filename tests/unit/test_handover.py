from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from galleryparts import (
    COLOUR_DIM,
    GREEN,
    MODEL,
    OTHER_MODEL,
    RED,
    ColourEmbedder,
    SquareDetector,
    eventually,
    unit,
    write_photo,
)

import streamd.handover
from streamd.config import Config
from streamd.errors import ModelError
from streamd.gallery.enrolment import Enroller
from streamd.gallery.store import GalleryStore
from streamd.gallery.strangers import Sighting, StrangerRecords, StrangerView
from streamd.handover import Handover, handover
from streamd.interfaces import Embedder
from streamd.metrics import Metrics

NEW = ColourEmbedder(OTHER_MODEL)
CHIP = cv2.imencode(".jpg", np.full((112, 112, 3), 90, np.uint8))[1].tobytes()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A gallery of one person with five faces of the old model, which is still installed."""

    def load(name: str, **_: object) -> Embedder:
        return ColourEmbedder(MODEL if MODEL.startswith(name) else OTHER_MODEL)

    monkeypatch.setattr(streamd.handover, "load_embedder", load)
    config = Config(state_dir=tmp_path, runtime_dir=tmp_path / "run")
    with GalleryStore(config.gallery_file) as store:
        enroller = Enroller(store, SquareDetector(), ColourEmbedder())
        photos = [write_photo(tmp_path / f"{n}.png", RED, seed=n) for n in range(5)]
        assert all(result.accepted for result in enroller.enroll("Anna", photos))
    return config


def started(config: Config, *, leads: bool = True) -> Handover | None:
    return handover(config, NEW, Metrics(), leads=leads)


def done(change: Handover | None) -> Handover:
    """The same, once a leader's work is over."""
    assert change is not None
    with change.running():
        eventually(lambda: change._done.is_set())
    return change


def see_strangers(config: Config, count: int) -> None:
    with GalleryStore(config.gallery_file) as store:
        for n in range(count):
            view = StrangerView(unit(f"stranger {n}", COLOUR_DIM), CHIP, 0.8)
            sighting = Sighting(f"unknown-{n:04x}", f"t{n}", "door", time.time(), MODEL, [view])
            StrangerRecords(store.database).record(sighting)


def test_the_old_model_answers_until_everybody_is_known_to_the_new_one(config: Config) -> None:
    change = done(started(config))
    assert change.previous is not None
    assert change.previous.model_id == MODEL
    assert change.is_due
    assert started(config) is None


def test_a_crop_that_cannot_be_read_is_no_reason_to_hand_over_again(config: Config) -> None:
    with GalleryStore(config.gallery_file) as store, store.database.write() as connection:
        connection.execute("UPDATE faces SET chip = x'00' WHERE id = 3")
    done(started(config))
    assert started(config) is None


def test_faces_of_the_old_model_that_come_late_are_embedded_while_the_new_one_answers(
    config: Config, tmp_path: Path
) -> None:
    done(started(config))
    with GalleryStore(config.gallery_file) as store:
        enroller = Enroller(store, SquareDetector(), ColourEmbedder())
        photos = [write_photo(tmp_path / f"b{n}.png", GREEN, seed=n) for n in range(9)]
        assert all(result.accepted for result in enroller.enroll("Bert", photos))
    change = done(started(config))
    assert change.previous is None
    assert not change.is_due
    assert started(config) is None


def test_strangers_are_handed_over_where_nobody_is_enrolled(config: Config) -> None:
    with GalleryStore(config.gallery_file) as store:
        store.forget("Anna")
    see_strangers(config, 20)
    change = done(started(config))
    assert change.previous is not None
    assert change.previous.model_id == MODEL
    with GalleryStore(config.gallery_file) as store:
        assert len(StrangerRecords(store.database).faces(OTHER_MODEL).stranger_ids) == 20
    see_strangers(config, 30)  # noted by the old model before its worker has ended
    assert done(started(config)).previous is None
    assert started(config) is None


def test_a_worker_that_does_not_lead_ends_once_another_has_finished(config: Config) -> None:
    leader, other = started(config), started(config, leads=False)
    assert leader is not None
    assert other is not None
    other._step()
    assert not other.is_due
    leader._step()
    see_strangers(config, 1)  # by the other, which has not ended yet
    other._step()
    assert other.is_due


def test_without_the_old_model_people_are_known_one_by_one(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str, **_: object) -> Embedder:
        raise ModelError(f"model {name} is not installed")

    monkeypatch.setattr(streamd.handover, "load_embedder", load)
    change = done(started(config))
    assert change.previous is None
    assert not change.is_due
