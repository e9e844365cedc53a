"""Prepared models on real faces against OpenCV on the originals: boxes, landmarks, vectors, colours."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamd.domain import Bgr, Detection
from streamd.errors import ModelError
from streamd.interfaces import Detector, Embedder
from streamd.vision import agreement
from streamd.vision.crops import crop_bgr, cut_chip
from streamd.vision.embedding import OnnxEmbedder
from streamd.vision.loading import load_detector, load_embedder
from streamd.vision.modelstore import ModelStore
from streamd.vision.onnx import open_session
from streamd.vision.prepare import prepare
from streamd.vision.quality import assess

Image = NDArray[np.uint8]
PEOPLE = {"obama": ("obama.jpg", "obama2.jpg", "obama3.jpg"), "biden": ("biden.jpg",), "collins": ("astronaut.png",)}


@pytest.fixture(scope="module")
def photos(faces_dir: Path) -> dict[str, Image]:
    """Photographs at 640 px, by file name."""
    read = {}
    for name in [name for names in PEOPLE.values() for name in names]:
        image = cv2.imread(str(faces_dir / name))
        scale = 640 / max(image.shape[:2])
        read[name] = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    return read


@pytest.fixture(scope="module")
def yunet(models_dir: Path) -> Detector:
    return load_detector("yunet", models=models_dir, device="cpu")


@pytest.fixture(scope="module")
def sface(models_dir: Path) -> Embedder:
    return load_embedder("sface", models=models_dir, device="cpu")


@pytest.fixture(scope="module")
def found(yunet: Detector, photos: dict[str, Image]) -> dict[str, Detection]:
    """The best face of each photograph."""
    return {name: yunet.detect([image], min_score=0.6)[0][0] for name, image in photos.items()}


@pytest.fixture(scope="module")
def chips(photos: dict[str, Image], found: dict[str, Detection]) -> dict[str, Image]:
    cut = {}
    for name, detection in found.items():
        assert detection.landmarks is not None
        cut[name] = cut_chip(Bgr(photos[name]), detection.landmarks)
    return cut


def test_yunet_finds_what_opencv_finds_to_a_thousandth_of_a_pixel(
    models_dir: Path, yunet: Detector, photos: dict[str, Image]
) -> None:
    original = models_dir / "sources" / "face_detection_yunet_2023mar_int8bq.onnx"
    for image in photos.values():
        height, width = image.shape[:2]
        reference = cv2.FaceDetectorYN.create(str(original), "", (width, height), 0.6, 0.3)
        rows = reference.detect(image)[1]
        faces = yunet.detect([image], min_score=0.6)[0]
        assert len(faces) == len(rows) >= 1
        for face, row in zip(faces, rows, strict=True):
            assert face.landmarks is not None
            np.testing.assert_allclose(face.landmarks.ravel(), row[4:14], atol=1e-3)
            box = face.box
            np.testing.assert_allclose([box.x1, box.y1, box.width, box.height], row[:4], atol=1e-3)
            assert face.score == pytest.approx(float(row[14]), abs=1e-4)


def test_a_batch_of_pictures_gives_what_each_gives_alone(yunet: Detector, photos: dict[str, Image]) -> None:
    images = [photos["obama.jpg"], np.ascontiguousarray(photos["obama.jpg"][:, ::-1]), photos["biden.jpg"]]
    alone = [yunet.detect([image], min_score=0.6)[0] for image in images]
    for single, batched in zip(alone, yunet.detect(images, min_score=0.6), strict=True):
        assert len(single) == len(batched) >= 1
        for a, b in zip(single, batched, strict=True):
            assert a.landmarks is not None
            assert b.landmarks is not None
            np.testing.assert_allclose(a.landmarks, b.landmarks, atol=1e-4)
            assert a.score == pytest.approx(b.score, abs=1e-4)


def opencv_vector(models_dir: Path, chip: Image) -> NDArray[np.float32]:
    original = models_dir / "sources" / "face_recognition_sface_2021dec_int8bq.onnx"
    row = cv2.FaceRecognizerSF.create(str(original), "").feature(chip)[0]
    return np.asarray(row / np.linalg.norm(row), np.float32)


def test_vectors_are_opencvs(models_dir: Path, sface: Embedder, chips: dict[str, Image]) -> None:
    for chip in chips.values():
        np.testing.assert_allclose(sface.embed(chip[None])[0], opencv_vector(models_dir, chip), atol=1e-5)


def test_red_and_blue_swapped_would_show(models_dir: Path, sface: Embedder, chips: dict[str, Image]) -> None:
    for chip in chips.values():
        swapped = sface.embed(np.ascontiguousarray(chip[None, ..., ::-1]))[0]
        assert float(swapped @ opencv_vector(models_dir, chip)) < 0.98


def test_another_normalisation_would_show(models_dir: Path, chips: dict[str, Image]) -> None:
    """The usual one of other recognisers: -1..1."""
    store = ModelStore(models_dir)
    manifest = store.manifest("sface")
    usual = manifest.input.model_copy(update={"mean": (127.5, 127.5, 127.5), "scale": 1 / 127.5})
    session = open_session(store.ready(manifest), device="cpu")
    wrong = OnnxEmbedder(manifest.model_copy(update={"input": usual}), session)
    for chip in chips.values():
        assert float(wrong.embed(chip[None])[0] @ opencv_vector(models_dir, chip)) < 0.98


def test_vectors_do_not_depend_on_the_batch(sface: Embedder, chips: dict[str, Image]) -> None:
    stack = np.stack(list(chips.values()) * 3)[:13]
    together = sface.embed(stack)
    np.testing.assert_allclose(together, np.concatenate([sface.embed(c[None]) for c in stack]), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_one_person_is_similar_and_two_are_not(sface: Embedder, chips: dict[str, Image]) -> None:
    vectors = {name: sface.embed(chip[None])[0] for name, chip in chips.items()}
    person = {file: name for name, files in PEOPLE.items() for file in files}
    for a in vectors:
        for b in vectors:
            if a < b:
                similar = float(vectors[a] @ vectors[b]) >= sface.threshold
                assert similar == (person[a] == person[b]), (a, b)


def test_portraits_are_good_enough_to_decide(
    photos: dict[str, Image], found: dict[str, Detection], chips: dict[str, Image]
) -> None:
    for name, detection in found.items():
        height, width = photos[name].shape[:2]
        quality = assess(detection, chips[name], (width, height), 40)
        assert quality.usable, (name, quality)
        assert quality.score > 0.5, (name, quality)


def test_a_portrait_out_of_focus_is_blurred(
    photos: dict[str, Image], found: dict[str, Detection], chips: dict[str, Image]
) -> None:
    for name, detection in found.items():
        height, width = photos[name].shape[:2]
        out_of_focus = np.asarray(cv2.GaussianBlur(chips[name], (0, 0), 5), np.uint8)
        assert assess(detection, out_of_focus, (width, height), 40).reason == "blurred"


def test_ssd_finds_what_opencv_finds(models_dir: Path, photos: dict[str, Image]) -> None:
    """OpenCV's own suppression (at another overlap) and decoding, on the same 300 x 300 pixels."""
    sources = models_dir / "sources"
    net = cv2.dnn.readNetFromCaffe(
        str(sources / "res10_300x300_ssd.prototxt"), str(sources / "res10_300x300_ssd_iter_140000.caffemodel")
    )
    ssd = load_detector("ssd", models=models_dir, device="cpu")
    for image in photos.values():
        square = np.zeros((640, 640, 3), np.uint8)
        square[: image.shape[0], : image.shape[1]] = image
        fitted = np.asarray(cv2.resize(square, (300, 300), interpolation=cv2.INTER_AREA))
        net.setInput(cv2.dnn.blobFromImage(fitted, 1.0, (300, 300), (104, 177, 123)))
        rows = [row for row in net.forward()[0, 0] if row[2] >= 0.5]
        faces = ssd.detect([fitted], min_score=0.5)[0]
        assert len(faces) == len(rows) >= 1
        for face, row in zip(faces, rows, strict=True):
            box = face.box
            np.testing.assert_allclose([box.x1, box.y1, box.x2, box.y2], row[3:] * 300, atol=0.01)
            assert face.score == pytest.approx(float(row[2]), abs=1e-4)


def test_ssd_boxes_get_the_landmarks_that_yunet_gives(
    models_dir: Path, photos: dict[str, Image], found: dict[str, Detection]
) -> None:
    ssd = load_detector("ssd", models=models_dir, device="cpu")
    assert ssd.has_landmarks
    assert ssd.model_id.startswith("ssd@")
    for name, image in photos.items():
        face = ssd.detect([image], min_score=0.5)[0][0]
        reference = found[name]
        assert face.landmarks is not None, name
        assert reference.landmarks is not None
        off = np.abs(face.landmarks - reference.landmarks).max()
        assert off < 0.06 * reference.box.width, (name, off)


def test_a_face_is_found_at_any_place_of_a_large_picture(
    yunet: Detector, photos: dict[str, Image], found: dict[str, Detection]
) -> None:
    face = crop_bgr(Bgr(photos["obama.jpg"]), found["obama.jpg"].box)
    face = np.asarray(cv2.resize(face, (90, 110), interpolation=cv2.INTER_AREA), np.uint8)
    for x, y in ((0, 0), (270, 125), (549, 249)):
        scene = np.full((360, 640, 3), 90, np.uint8)
        scene[y : y + 110, x : x + 90] = face
        (detection,) = yunet.detect([scene], min_score=0.5)[0]
        assert detection.box.centre == pytest.approx((x + 45, y + 55), abs=15)


@pytest.mark.parametrize("name", ["yunet", "sface", "ssd"])
def test_a_prepared_model_of_other_weights_is_refused(
    models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The comparison sees a change of one part in a thousand in what the prepared model answers."""
    store = ModelStore(models_dir)
    manifest = store.manifest(name)
    run = agreement.Session.run
    monkeypatch.setattr(
        agreement.Session,
        "run",
        lambda self, feed: {key: value * np.float32(1.001) for key, value in run(self, feed).items()},
    )
    with pytest.raises(ModelError, match="differs from the original's"):
        prepare(manifest.prepared, store.originals(manifest), tmp_path / "prepared.onnx")
    assert list(tmp_path.iterdir()) == []
