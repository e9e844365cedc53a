from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from galleryparts import GREEN, MODEL, OTHER_MODEL, RED, ColourEmbedder, SquareDetector, write_photo

from streamd.gallery.delta import Mark
from streamd.gallery.enrolment import Enroller
from streamd.gallery.reembedding import as_wanted, embed_again, finish, missing_faces, other_models
from streamd.gallery.store import GalleryStore
from streamd.gallery.strangers import Sighting, StrangerRecords, StrangerView
from streamd.vision.geometry import Alignment

NEW = ColourEmbedder(OTHER_MODEL)
PHOTOS = 11


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GalleryStore]:
    with GalleryStore(tmp_path / "gallery.sqlite") as opened:
        enroller = Enroller(opened, SquareDetector(), ColourEmbedder())
        for name, colour in (("Anna", RED), ("Bert", GREEN)):
            photos = [write_photo(tmp_path / f"{name}{n}.png", colour, seed=n) for n in range(PHOTOS)]
            assert all(result.accepted for result in enroller.enroll(name, photos))
        yield opened


def test_every_face_is_embedded_again_and_the_old_ones_answer_until_then(store: GalleryStore) -> None:
    before = store.delta(MODEL, Mark())
    assert missing_faces(store, OTHER_MODEL) == 2 * PHOTOS
    steps = embed_again(store, NEW)
    next(steps)
    assert np.array_equal(store.delta(MODEL, Mark()).vectors, before.vectors)
    assert 0 < missing_faces(store, OTHER_MODEL) < 2 * PHOTOS
    assert sum(steps) + 8 == 2 * PHOTOS
    finish(store, NEW)
    after = store.delta(OTHER_MODEL, Mark())
    assert store.faces_by_model() == {OTHER_MODEL: 2 * PHOTOS}
    assert [p.faces for p in store.people()] == [PHOTOS, PHOTOS]
    # The same crops; only JPEG lies between.
    assert float((after.vectors * before.vectors).sum(axis=1).min()) > 0.5
    assert after.person_ids == before.person_ids


def test_it_goes_on_where_it_stopped(store: GalleryStore) -> None:
    next(embed_again(store, NEW))
    assert sum(embed_again(store, NEW)) == 2 * PHOTOS - 8
    assert sum(embed_again(store, NEW)) == 0
    assert missing_faces(store, OTHER_MODEL) == 0
    assert other_models(store, OTHER_MODEL) == [MODEL]


def test_who_is_forgotten_meanwhile_does_not_come_back(store: GalleryStore) -> None:
    steps = embed_again(store, NEW)
    next(steps)
    store.forget("Anna")
    list(steps)
    finish(store, NEW)
    assert [(p.name, p.faces) for p in store.people()] == [("Bert", PHOTOS)]
    assert store.faces_by_model() == {OTHER_MODEL: PHOTOS}


def test_a_crop_that_cannot_be_read_keeps_its_old_embedding_and_stops_nothing(store: GalleryStore) -> None:
    with store.database.write() as connection:
        connection.execute("UPDATE faces SET chip = x'00' WHERE id = 3")
    assert sum(embed_again(store, NEW)) == 2 * PHOTOS - 1
    finish(store, NEW)
    assert store.faces_by_model() == {MODEL: 1, OTHER_MODEL: 2 * PHOTOS - 1}


def test_strangers_are_embedded_again_as_well(store: GalleryStore) -> None:
    records = StrangerRecords(store.database)
    chip = store.chip_jpeg(1)
    records.record(
        Sighting("unknown-1", "t", "door", 1.0, MODEL, [StrangerView(np.ones(4, np.float32) / 2, chip, 0.9)])
    )
    list(embed_again(store, NEW))
    finish(store, NEW)
    faces = records.faces(OTHER_MODEL)
    picture = cv2.imdecode(np.frombuffer(chip, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert np.allclose(faces.vectors, NEW.embed(picture[None]))


def test_crops_are_laid_out_as_the_embedder_wants_them() -> None:
    class Wide(ColourEmbedder):
        alignment = Alignment(width=160, height=160)

    chips = [np.full((112, 112, 3), 200, np.uint8)]
    assert as_wanted(ColourEmbedder(), chips).shape == (1, 112, 112, 3)
    assert as_wanted(Wide(), chips).shape == (1, 160, 160, 3)
