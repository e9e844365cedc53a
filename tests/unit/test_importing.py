"""Importing a user's file: the prepared SFace under another name on real faces, and mean colours on coloured ones."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tinymodel import write_mean_model

from streamd.errors import ModelError, UsageError
from streamd.importing import Request, import_model, known_faces
from streamd.vision.geometry import TEMPLATE
from streamd.vision.loading import load_embedder
from streamd.vision.modelstore import ModelStore
from streamd.vision.photos import read_photo
from streamd.vision.separation import KnownFace

PLAIN = {"mean": [0.0, 0.0, 0.0], "scale": 1.0}
"""What SFace is fed; the profile's own normalisation is another."""
CENTRED = {"mean": [127.5, 127.5, 127.5], "scale": 1 / 127.5}
"""Mean colours point in opposite directions only around a grey."""


@pytest.fixture(scope="module")
def faces(models_dir: Path, faces_dir: Path) -> list[KnownFace]:
    people = {
        "obama": ("obama.jpg", "obama2.jpg", "obama3.jpg"),
        "biden": ("biden.jpg",),
        "collins": ("astronaut.png",),
    }
    photos = {person: [read_photo(faces_dir / name) for name in names] for person, names in people.items()}
    return known_faces(photos, models_dir)


@pytest.fixture
def sface(models_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copyfile(models_dir / "sface.onnx", tmp_path / "mine.onnx"))


@pytest.fixture
def coloured() -> list[KnownFace]:
    """Three people whom the mean of their colours tells apart."""
    landmarks = np.asarray(TEMPLATE, np.float32)
    shades = {"red": (40, 40, 220), "green": (40, 220, 40), "blue": (220, 40, 40)}
    return [
        KnownFace(person, np.clip(np.full((112, 112, 3), shade, np.uint8) + shot, 0, 255), landmarks)
        for person, shade in shades.items()
        for shot in (np.uint8(0), np.uint8(10))
    ]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_mean_model(tmp_path / "mine.onnx")


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def is_empty(store: ModelStore) -> bool:
    return not store.folder.exists() or not any(store.folder.rglob("*.*"))


def test_a_file_that_tells_people_apart_becomes_a_model(sface: Path, store: ModelStore, faces: list[KnownFace]) -> None:
    manifest, said = import_model(Request(sface, "mobilefacenet", "mine", changes=PLAIN), store, faces)
    assert manifest.dim == 128
    assert manifest.input.name == "data"
    assert "of different people up to" in said
    sface.unlink()
    embedder = load_embedder("mine", models=store.folder, device="cpu")
    assert embedder.embed(np.zeros((1, 112, 112, 3), np.uint8)).shape == (1, 128)


def test_a_wrong_normalisation_is_refused_and_the_right_one_named(
    sface: Path, store: ModelStore, faces: list[KnownFace]
) -> None:
    with pytest.raises(ModelError, match=r"cannot tell known faces apart.*with --normalisation raw it would"):
        import_model(Request(sface, "mobilefacenet", "mine"), store, faces)
    assert is_empty(store)


def test_a_network_that_sees_no_faces_is_refused_with_the_figures(
    tmp_path: Path, store: ModelStore, faces: list[KnownFace]
) -> None:
    colours = write_mean_model(tmp_path / "colours.onnx")
    with pytest.raises(ModelError, match=r"photos of one person are similar from .* of different people up to"):
        import_model(Request(colours, "mobilefacenet", "mine"), store, faces)
    assert is_empty(store)


def test_the_licence_of_a_profile_must_be_accepted(tiny: Path, store: ModelStore, coloured: list[KnownFace]) -> None:
    with pytest.raises(UsageError, match="--accept-license non-commercial"):
        import_model(Request(tiny, "arcface", "mine", changes=CENTRED), store, coloured)
    request = Request(tiny, "arcface", "mine", accept_license="non-commercial", changes=CENTRED)
    manifest, _ = import_model(request, store, coloured)
    assert manifest.accepted


def test_a_name_is_taken_once_unless_forced(tiny: Path, store: ModelStore, coloured: list[KnownFace]) -> None:
    request = Request(tiny, "mobilefacenet", "mine", changes=CENTRED)
    import_model(request, store, coloured)
    with pytest.raises(UsageError, match="there is a model 'mine' already"):
        import_model(request, store, coloured)
    import_model(Request(tiny, "mobilefacenet", "mine", replace=True, changes=CENTRED), store, coloured)
    with pytest.raises(UsageError, match="one of streamd's own"):
        import_model(Request(tiny, "mobilefacenet", "sface", replace=True, changes=CENTRED), store, coloured)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such file"), (b"", "0 bytes cannot be an ONNX file"), (b"\x00\x01words", "cannot load this model")],
)
def test_what_is_no_model_is_refused_in_one_line(
    tmp_path: Path, store: ModelStore, faces: list[KnownFace], content: bytes | None, message: str
) -> None:
    file = tmp_path / "file.onnx"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ModelError, match=message) as refusal:
        import_model(Request(file, "mobilefacenet", "mine"), store, faces)
    assert "\n" not in str(refusal.value)
    assert is_empty(store)


def test_another_size_than_the_profiles_is_refused(sface: Path, store: ModelStore, faces: list[KnownFace]) -> None:
    with pytest.raises(ModelError, match=r"profile 'facenet128' feeds \?x160x160x3"):
        import_model(Request(sface, "facenet128", "mine"), store, faces)


def test_a_detector_that_finds_no_faces_is_refused(models_dir: Path, store: ModelStore, faces: list[KnownFace]) -> None:
    with pytest.raises(ModelError, match="feeds"):
        import_model(Request(models_dir / "sface.onnx", "scrfd", "mine"), store, faces)


def test_too_few_known_faces_say_nothing(models_dir: Path, faces_dir: Path) -> None:
    photo = read_photo(faces_dir / "biden.jpg")
    with pytest.raises(UsageError, match="two photos of one person, and one of another"):
        known_faces({"a": [photo], "b": [photo]}, models_dir)


def test_a_manifest_whose_terms_are_not_accepted_is_neither_pulled_nor_loaded(
    tiny: Path, store: ModelStore, coloured: list[KnownFace]
) -> None:
    request = Request(tiny, "arcface", "mine", accept_license="non-commercial", changes=CENTRED)
    import_model(request, store, coloured)
    path = store.manifests / "mine.yaml"
    assert path.stat().st_mode & 0o777 == 0o644
    path.write_text(path.read_text().replace("accepted: true\n", ""))
    with pytest.raises(ModelError, match="for non-commercial use only"):
        load_embedder("mine", models=store.folder, device="cpu")
    with pytest.raises(ModelError, match="for non-commercial use only"):
        store.pull(store.manifest("mine"))


def graph(path: Path, *, inputs: int = 1, kind: int = TensorProto.FLOAT, nhwc: bool = False, side: int = 112) -> Path:
    """The mean of each channel of the last input; vectors of length three."""
    shape = [1, side, side, 3] if nhwc else [1, 3, side, side]
    fed = [helper.make_tensor_value_info(f"in{number}", kind, shape) for number in range(inputs)]
    nodes = [
        helper.make_node("Cast", [fed[-1].name], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["out"], axes=[1, 2] if nhwc else [2, 3], keepdims=0),
    ]
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    model = helper.make_model(
        helper.make_graph(nodes, "odd", fed, [out]), opset_imports=[helper.make_opsetid("", 13)], ir_version=8
    )
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("odd", "message"),
    [({"inputs": 2}, "has the inputs in0, in1; a model needs exactly one"), ({"kind": TensorProto.INT64}, "(?i)int64")],
)
def test_inputs_that_no_profile_feeds_are_refused(
    tmp_path: Path, store: ModelStore, faces: list[KnownFace], odd: dict[str, int], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        import_model(Request(graph(tmp_path / "odd.onnx", **odd), "mobilefacenet", "mine"), store, faces)
    assert is_empty(store)


@pytest.mark.parametrize("nhwc", [False, True])
def test_layout_dimension_and_a_fixed_batch_are_taken_from_the_graph(
    tmp_path: Path, store: ModelStore, faces: list[KnownFace], nhwc: bool
) -> None:
    """It comes as far as the faces, which mean colours cannot tell apart."""
    file = graph(tmp_path / "odd.onnx", nhwc=nhwc)
    with pytest.raises(ModelError, match="cannot tell known faces apart"):
        import_model(Request(file, "mobilefacenet", "mine"), store, faces)


def test_a_network_that_gives_no_numbers_is_refused_for_that(
    tmp_path: Path, store: ModelStore, faces: list[KnownFace]
) -> None:
    broken = write_mean_model(tmp_path / "broken.onnx", gain=float("nan"))
    with pytest.raises(ModelError, match="gave a vector of length nan"):
        import_model(Request(broken, "mobilefacenet", "mine"), store, faces)
    assert is_empty(store)


def test_another_dimension_than_the_profiles_is_refused(
    tmp_path: Path, store: ModelStore, faces: list[KnownFace]
) -> None:
    file = graph(tmp_path / "odd.onnx", side=160)
    with pytest.raises(ModelError, match="gives 3 dimensions, profile 'facenet512' has 512"):
        import_model(Request(file, "facenet512", "mine"), store, faces)


def test_colours_in_the_wrong_order_are_remarked_on(
    sface: Path, store: ModelStore, faces: list[KnownFace], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SFace bears them well: its d' falls by a twentieth only."""
    monkeypatch.setattr("streamd.importing._CLEARLY", 1.02)
    _, wrong = import_model(Request(sface, "mobilefacenet", "w", changes={**PLAIN, "colour": "bgr"}), store, faces)
    _, right = import_model(Request(sface, "mobilefacenet", "r", changes=PLAIN), store, faces)
    assert "better with --colour rgb" in wrong
    assert "better with" not in right


def test_photos_are_read_one_by_one_and_no_more_than_are_looked_at(models_dir: Path, faces_dir: Path) -> None:
    read = []

    def photos(*names: str) -> Iterator[np.ndarray]:
        for name in names:
            read.append(name)
            yield read_photo(faces_dir / name)

    many = ["obama.jpg"] * 10
    found = known_faces({"obama": photos(*many), "biden": photos("biden.jpg")}, models_dir)
    assert len(read) == 4
    assert [face.person for face in found] == ["obama"] * 3 + ["biden"]
    assert max(max(face.photo.shape) for face in found) <= 960
