"""The one-liners on real photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import streamd
from streamd.config import Config
from streamd.domain import Verdict
from streamd.errors import PhotoRefused, UsageError
from streamd.gallery.enrolment import Enroller
from streamd.gallery.opening import load_photo_models
from streamd.gallery.store import GalleryStore
from streamd.vision.photos import read_photo


@pytest.fixture
def config(tmp_path: Path, models_dir: Path) -> Config:
    return Config(state_dir=tmp_path, models_dir=models_dir)


@pytest.fixture
def known(config: Config, faces_dir: Path) -> Config:
    """With Obama in the gallery."""
    models = load_photo_models(config)
    with GalleryStore(config.gallery_file) as store:
        (result,) = Enroller(store, models.detector, models.embedder).enroll("Obama", [faces_dir / "obama.jpg"])
    assert result.accepted
    return config


def test_two_photos_of_one_person_are_the_same(config: Config, faces_dir: Path) -> None:
    found = streamd.verify(faces_dir / "obama.jpg", str(faces_dir / "obama2.jpg"), config=config)
    assert found.same
    assert found.probability > 0.99
    assert found.distance == pytest.approx(1 - found.similarity)
    assert found.faces[0].box.width > 50


def test_two_people_are_not(config: Config, faces_dir: Path) -> None:
    found = streamd.verify(read_photo(faces_dir / "obama.jpg"), faces_dir / "biden.jpg", config=config)
    assert not found.same
    assert found.probability < 0.01
    assert found.faces[0].photo == "array"


def test_the_threshold_follows_from_the_stated_rate(config: Config, faces_dir: Path) -> None:
    pair = faces_dir / "obama.jpg", faces_dir / "obama2.jpg"
    strict = streamd.verify(*pair, config=config, target_far=1e-6)
    loose = streamd.verify(*pair, config=config, target_far=1e-2)
    assert strict.threshold > loose.threshold
    assert streamd.verify(*pair, config=config, threshold=0.99).same is False


def test_recognising_names_the_known_and_nobody_else(known: Config, faces_dir: Path) -> None:
    (obama,) = [f for f in streamd.recognize(faces_dir / "obama2.jpg", config=known).faces if f.name]
    assert (obama.name, obama.verdict) == ("Obama", Verdict.KNOWN)
    (biden, *_) = streamd.recognize(faces_dir / "biden.jpg", config=known).faces
    assert (biden.name, biden.verdict) == (None, Verdict.UNKNOWN)
    assert biden.nearest is not None
    assert biden.nearest.similarity < biden.threshold


def test_a_label_that_nobody_has_leaves_nobody_to_recognise(known: Config, faces_dir: Path) -> None:
    found = streamd.recognize(faces_dir / "obama2.jpg", config=known, labels={"site": ["hq"]})
    assert all(face.nearest is None for face in found.faces)


def test_a_photo_without_a_face_is_refused(config: Config, tmp_path: Path, faces_dir: Path) -> None:
    with pytest.raises(PhotoRefused, match="array: no face found"):
        streamd.verify(np.zeros((200, 200, 3), np.uint8), faces_dir / "obama.jpg", config=config)


def test_an_array_that_is_no_picture_is_refused_with_its_shape(config: Config) -> None:
    with pytest.raises(UsageError, match=r"float64 of shape \(4, 4\)"):
        streamd.recognize(np.zeros((4, 4)), config=config)


def test_nothing_else_is_in_the_package() -> None:
    with pytest.raises(AttributeError, match="no attribute 'find'"):
        streamd.find  # noqa: B018
