from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
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
    Blank,
    ColourEmbedder,
    SquareDetector,
    face,
    unit,
    write_photo,
)
from numpy.typing import NDArray

from streamd.gallery.delta import Mark
from streamd.gallery.enrolment import Enroller
from streamd.gallery.reembedding import (
    as_wanted,
    embed_again,
    embed_strangers,
    finish,
    fuller_models,
    is_behind,
    is_finished,
    missing_faces,
)
from streamd.gallery.store import GalleryStore
from streamd.gallery.strangers import Sighting, StrangerRecords, StrangerView
from streamd.interfaces import Embedder
from streamd.vision.geometry import Alignment

NEW = ColourEmbedder(OTHER_MODEL)
PHOTOS = 11
CHIP = cv2.imencode(".jpg", np.full((112, 112, 3), 90, np.uint8))[1].tobytes()


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery that each test has a copy of."""
    folder = tmp_path_factory.mktemp("enrolled")
    with GalleryStore(folder / "gallery.sqlite") as opened:
        enroller = Enroller(opened, SquareDetector(), ColourEmbedder())
        for name, colour in (("Anna", RED), ("Bert", GREEN)):
            photos = [write_photo(folder / f"{name}{n}.png", colour, seed=n) for n in range(PHOTOS)]
            assert all(result.accepted for result in enroller.enroll(name, photos))
        assert opened.database.empty_log()
    return opened.path


@pytest.fixture
def store(enrolled: Path, tmp_path: Path) -> Iterator[GalleryStore]:
    with GalleryStore(Path(shutil.copy(enrolled, tmp_path))) as opened:
        yield opened


def test_every_face_is_embedded_again_and_the_old_ones_answer_until_then(store: GalleryStore) -> None:
    before = store.delta(MODEL, Mark())
    assert missing_faces(store, OTHER_MODEL) == 2 * PHOTOS
    steps = embed_again(store, NEW)
    next(steps)
    assert np.array_equal(store.delta(MODEL, Mark()).vectors, before.vectors)
    assert 0 < missing_faces(store, OTHER_MODEL) < 2 * PHOTOS
    assert sum(steps) + 8 == 2 * PHOTOS
    finish(store, OTHER_MODEL, {})
    after = store.delta(OTHER_MODEL, Mark())
    assert store.faces_by_model() == {OTHER_MODEL: 2 * PHOTOS}
    assert [p.faces for p in store.people()] == [PHOTOS, PHOTOS]
    # The same crops; only JPEG lies between.
    assert float((after.vectors * before.vectors).sum(axis=1).min()) > 0.5
    assert after.person_ids == before.person_ids


def test_it_goes_on_where_it_stopped(store: GalleryStore) -> None:
    next(embed_again(store, NEW))
    assert fuller_models(store, OTHER_MODEL) == [MODEL]
    assert sum(embed_again(store, NEW)) == 2 * PHOTOS - 8
    assert sum(embed_again(store, NEW)) == 0
    assert missing_faces(store, OTHER_MODEL) == 0
    assert fuller_models(store, OTHER_MODEL) == []


def test_who_is_forgotten_meanwhile_does_not_come_back(store: GalleryStore) -> None:
    steps = embed_again(store, NEW)
    next(steps)
    store.forget("Anna")
    list(steps)
    finish(store, OTHER_MODEL, {})
    assert [(p.name, p.faces) for p in store.people()] == [("Bert", PHOTOS)]
    assert store.faces_by_model() == {OTHER_MODEL: PHOTOS}


def test_a_crop_that_cannot_be_read_keeps_its_old_embedding_and_stops_nothing(
    store: GalleryStore, caplog: pytest.LogCaptureFixture
) -> None:
    with store.database.write() as connection:
        connection.execute("UPDATE faces SET chip = x'00' WHERE id = 3")
    assert sum(embed_again(store, NEW)) == 2 * PHOTOS - 1
    finish(store, OTHER_MODEL, {})
    assert store.faces_by_model() == {MODEL: 1, OTHER_MODEL: 2 * PHOTOS - 1}
    assert not is_behind(store, OTHER_MODEL)
    assert "1 faces are not known to shapes@ba9876543210, and their crops cannot be read" in caplog.text


def test_a_crop_of_which_the_new_model_makes_nothing_stops_nothing(store: GalleryStore) -> None:
    assert sum(embed_again(store, Blank(OTHER_MODEL))) == PHOTOS
    finish(store, OTHER_MODEL, {})
    assert store.faces_by_model() == {MODEL: PHOTOS, OTHER_MODEL: PHOTOS}


def test_a_face_of_the_old_model_that_comes_later_is_embedded_and_the_old_model_does_not_answer(
    store: GalleryStore,
) -> None:
    list(embed_again(store, NEW))
    finish(store, OTHER_MODEL, {})
    store.add_faces("Cleo", [replace(face(unit(f"late {n}", COLOUR_DIM), f"{n}"), chip_jpeg=CHIP) for n in range(50)])
    assert is_behind(store, OTHER_MODEL)
    assert fuller_models(store, OTHER_MODEL) == []
    assert fuller_models(store, MODEL) == []
    assert fuller_models(store, "third@000000000000") == [MODEL, OTHER_MODEL]


def stranger(records: StrangerRecords, stranger_id: str, chips: Sequence[bytes]) -> None:
    views = [StrangerView(np.ones(4, np.float32) / 2, chip, 0.9) for chip in chips]
    records.record(Sighting(stranger_id, f"track of {stranger_id}", "door", 1.0, MODEL, views))


def all_strangers(store: GalleryStore, embedder: Embedder) -> dict[int, bytes | None]:
    return {view: vector for some in embed_strangers(store, embedder) for view, vector in some.items()}


def test_strangers_are_embedded_again_as_well(store: GalleryStore) -> None:
    records = StrangerRecords(store.database)
    chip = store.chip_jpeg(1)
    stranger(records, "unknown-1", [chip])
    version = records.version()
    list(embed_again(store, NEW))
    assert is_behind(store, OTHER_MODEL)
    assert fuller_models(store, OTHER_MODEL) == [MODEL]
    finish(store, OTHER_MODEL, all_strangers(store, NEW))
    assert not is_behind(store, OTHER_MODEL)
    faces = records.faces(OTHER_MODEL)
    picture = cv2.imdecode(np.frombuffer(chip, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert np.allclose(faces.vectors, NEW.embed(picture[None]))
    assert records.version() > version


def test_views_that_go_or_cannot_be_read_meanwhile_are_left_out(store: GalleryStore) -> None:
    records = StrangerRecords(store.database)
    stranger(records, "unknown-1", [store.chip_jpeg(1)] * 10)
    stranger(records, "unknown-2", [store.chip_jpeg(12), b"no picture"])
    embedded = all_strangers(store, NEW)
    assert len(embedded) == 12
    records.forget("unknown-1")
    stranger(records, "unknown-3", [store.chip_jpeg(2)])
    finish(store, OTHER_MODEL, embedded)
    assert records.faces(OTHER_MODEL).stranger_ids == ["unknown-2"]
    assert records.faces(MODEL).stranger_ids == ["unknown-3"]


def test_others_write_while_strangers_are_embedded(store: GalleryStore) -> None:
    stranger(StrangerRecords(store.database), "unknown-1", [store.chip_jpeg(1)])

    class Watched(ColourEmbedder):
        def embed(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
            with GalleryStore(store.path) as beside:
                beside.add_faces("Cleo", [face(unit("Cleo", COLOUR_DIM))])
            return super().embed(chips)

    finish(store, OTHER_MODEL, all_strangers(store, Watched(OTHER_MODEL)))
    assert store.person("Cleo").faces == 1


def test_the_end_is_known_to_others_by_the_log_of_changes(store: GalleryStore) -> None:
    since = store.version()
    list(embed_again(store, NEW))
    assert not is_finished(store, OTHER_MODEL, since=since)
    finish(store, OTHER_MODEL, {})
    assert is_finished(store, OTHER_MODEL, since=since)
    assert not is_finished(store, MODEL, since=since)
    assert not is_finished(store, OTHER_MODEL, since=store.version())


def test_crops_are_laid_out_as_the_embedder_wants_them() -> None:
    class Wide(ColourEmbedder):
        alignment = Alignment(width=160, height=160)

    chips = [np.full((112, 112, 3), 200, np.uint8)]
    assert as_wanted(ColourEmbedder(), chips).shape == (1, 112, 112, 3)
    assert as_wanted(Wide(), chips).shape == (1, 160, 160, 3)
