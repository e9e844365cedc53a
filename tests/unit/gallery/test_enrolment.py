from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from galleryparts import MODEL, RED, ColourEmbedder, SquareDetector, photo_bytes, write_photo

from streamd.domain import Detection
from streamd.errors import GalleryError, PhotoRefused, UsageError
from streamd.gallery.enrolment import Enroller, PhotoResult
from streamd.gallery.examiner import PhotoExaminer
from streamd.gallery.store import GalleryStore, Mark
from streamd.vision.photos import decode_photo, read_photo


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GalleryStore]:
    with GalleryStore(tmp_path / "state" / "gallery.sqlite") as opened:
        yield opened


@pytest.fixture
def enroller(store: GalleryStore) -> Enroller:
    return Enroller(store, SquareDetector(), ColourEmbedder())


def enroll(enroller: Enroller, name: str, *paths: Path, dry_run: bool = False) -> list[PhotoResult]:
    return list(enroller.enroll(name, paths, dry_run=dry_run))


def refusal(image: bytes) -> PhotoRefused:
    with pytest.raises(PhotoRefused) as caught:
        PhotoExaminer(SquareDetector(), ColourEmbedder()).one_face(decode_photo(image), origin="a.jpg")
    assert str(caught.value).startswith("a.jpg: ")
    return caught.value


def test_a_portrait_is_enrolled_with_its_evidence(tmp_path: Path, store: GalleryStore, enroller: Enroller) -> None:
    (result,) = enroll(enroller, "Anna", write_photo(tmp_path / "anna.png"))
    assert (result.accepted, result.reason) == (True, "enrolled")
    (kept,) = store.faces_of(store.person("Anna").id)
    assert kept.source == "photo:anna.png"
    assert kept.model_id == MODEL
    assert kept.quality == result.quality
    chip = cv2.imdecode(np.frombuffer(store.chip_jpeg(kept.id), np.uint8), cv2.IMREAD_COLOR)
    assert chip is not None
    assert chip.shape == (112, 112, 3)


def test_a_photo_without_a_face_is_refused() -> None:
    blank = cv2.imencode(".png", np.zeros((200, 300, 3), np.uint8))[1].tobytes()
    assert refusal(blank).reason == "no_face"


def test_two_faces_of_similar_size_are_refused() -> None:
    error = refusal(photo_bytes(RED, sides_px=(120, 60)))
    assert error.reason == "several_faces"
    assert "2 faces of similar size" in str(error)


def test_a_small_bystander_is_no_matter() -> None:
    examiner = PhotoExaminer(SquareDetector(), ColourEmbedder())
    face = examiner.one_face(decode_photo(photo_bytes(RED, sides_px=(44, 120))), origin="a.jpg")
    assert face.detection.box.width == 120


def test_a_tiny_face_is_refused_with_its_size() -> None:
    error = refusal(photo_bytes(RED, sides_px=(30,)))
    assert error.reason == "too_small"
    assert "30 pixels" in str(error)
    assert "at least 40" in str(error)


def test_a_poor_face_is_refused_in_words() -> None:
    image = np.zeros((300, 300, 3), np.uint8)
    image[60:180, 60:180] = 200
    error = refusal(cv2.imencode(".png", image)[1].tobytes())
    assert error.reason == "low_contrast"
    assert "the face has too little contrast" in str(error)


def test_a_detector_without_points_is_told_about() -> None:
    class Boxes(SquareDetector):
        def _detection(self, x: float, y: float, width: float, height: float) -> Detection:
            found = super()._detection(x, y, width, height)
            return Detection(found.box, found.score, None)

    with pytest.raises(PhotoRefused) as caught:
        PhotoExaminer(Boxes(), ColourEmbedder()).one_face(decode_photo(photo_bytes(RED)), origin="a.jpg")
    assert caught.value.reason == "no_landmarks"


def test_boxes_are_in_the_photos_own_pixels_however_large_it_is() -> None:
    image = np.zeros((3000, 4000, 3), np.uint8)
    small = decode_photo(photo_bytes(RED))[60:180, 30:150]
    image[1000:2200, 400:1600] = cv2.resize(small, (1200, 1200), interpolation=cv2.INTER_NEAREST)
    (face,) = PhotoExaminer(SquareDetector(), ColourEmbedder()).all_faces(image)
    box = face.detection.box
    assert [box.x1, box.y1, box.x2, box.y2] == pytest.approx([400, 1000, 1600, 2200], abs=4)


def test_refused_photos_store_nothing(tmp_path: Path, store: GalleryStore, enroller: Enroller) -> None:
    crowd, text = tmp_path / "crowd.png", tmp_path / "notes.jpg"
    crowd.write_bytes(photo_bytes(RED, sides_px=(100, 100)))
    text.write_text("not a photo")
    results = enroll(enroller, "Anna", crowd, text, tmp_path / "none.jpg")
    assert [r.reason for r in results] == ["several_faces", "unreadable", "unreadable"]
    assert store.people() == []
    assert store.version() == 0


def test_good_photos_beside_refused_ones_are_kept(tmp_path: Path, store: GalleryStore, enroller: Enroller) -> None:
    good = write_photo(tmp_path / "good.png")
    results = enroll(enroller, "Anna", tmp_path / "none.jpg", good)
    assert [r.accepted for r in results] == [False, True]
    assert store.person("Anna").faces == 1


def test_a_dry_run_examines_and_stores_nothing(tmp_path: Path, store: GalleryStore, enroller: Enroller) -> None:
    (result,) = enroll(enroller, "Anna", write_photo(tmp_path / "a.png"), dry_run=True)
    assert (result.accepted, result.reason) == (True, "would_enroll")
    assert store.version() == 0


def test_the_same_photo_twice_is_one_face(tmp_path: Path, store: GalleryStore, enroller: Enroller) -> None:
    first, copy = write_photo(tmp_path / "a.png"), write_photo(tmp_path / "copy.png")
    results = enroll(enroller, "Anna", first, copy)
    assert [r.reason for r in results] == ["enrolled", "duplicate"]
    assert store.person("Anna").faces == 1


def test_one_photo_is_not_two_people(tmp_path: Path, store: GalleryStore, enroller: Enroller) -> None:
    photo = write_photo(tmp_path / "a.png")
    enroll(enroller, "Anna", photo)
    (result,) = enroll(enroller, "Bert", photo)
    assert result.reason == "other_person"
    assert "enrolled as 'Anna'" in result.message
    assert [p.name for p in store.people()] == ["Anna"]


def test_a_photo_known_to_another_model_is_enrolled_again(
    tmp_path: Path, store: GalleryStore, enroller: Enroller
) -> None:
    photo = write_photo(tmp_path / "a.png")
    enroll(enroller, "Anna", photo)
    other = Enroller(store, SquareDetector(), ColourEmbedder("other@000000000000"))
    assert enroll(other, "Anna", photo)[0].accepted
    assert set(store.faces_by_model()) == {MODEL, "other@000000000000"}


def test_a_name_that_cannot_be_is_refused_before_any_photo(
    tmp_path: Path, store: GalleryStore, enroller: Enroller
) -> None:
    with pytest.raises(UsageError):
        enroll(enroller, "../Anna", write_photo(tmp_path / "a.png"))
    assert store.version() == 0


def test_photos_before_a_failure_stay(tmp_path: Path, store: GalleryStore, enroller: Enroller) -> None:
    photos = [write_photo(tmp_path / f"{i}.png", seed=i) for i in range(3)]
    results = enroller.enroll("Anna", photos)
    next(results)
    store.close()
    with pytest.raises(GalleryError):
        next(results)
    with GalleryStore(store.path) as again:
        assert again.person("Anna").faces == 1


def test_real_faces_are_told_apart(models_dir: Path, faces_dir: Path, store: GalleryStore) -> None:
    from streamd.vision.loading import load_detector, load_embedder

    detector = load_detector("yunet", models=models_dir, device="cpu")
    embedder = load_embedder("sface", models=models_dir, device="cpu")
    enroller = Enroller(store, detector, embedder)
    assert enroll(enroller, "Obama", faces_dir / "obama.jpg", faces_dir / "obama2.jpg")[0].accepted
    examiner = PhotoExaminer(detector, embedder)
    known = store.delta(embedder.model_id, Mark()).vectors
    similarities = {
        name: float((known @ examiner.all_faces(read_photo(faces_dir / name))[0].vector).max())
        for name in ("obama3.jpg", "biden.jpg", "astronaut.png")
    }
    assert similarities["obama3.jpg"] > embedder.threshold
    assert max(similarities["biden.jpg"], similarities["astronaut.png"]) < 0.3


def test_a_real_face_that_fills_the_photo_is_found(models_dir: Path, faces_dir: Path) -> None:
    from streamd.vision.loading import load_detector, load_embedder

    examiner = PhotoExaminer(
        load_detector("yunet", models=models_dir, device="cpu"),
        load_embedder("sface", models=models_dir, device="cpu"),
    )
    photo = read_photo(faces_dir / "obama2.jpg")
    whole = examiner.all_faces(photo)[0]
    box = whole.detection.box
    close = photo[int(box.y1) : int(box.y2), int(box.x1) : int(box.x2)]
    for side_px in (100, 1200, 2400):
        scale = side_px / max(close.shape[:2])
        scaled = np.asarray(cv2.resize(close, None, fx=scale, fy=scale), dtype=np.uint8)
        faces = examiner.all_faces(scaled)
        assert len(faces) == 1
        assert float(faces[0].vector @ whole.vector) > 0.6
