from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tinymodel import write_manifest, write_mean_model

from streamd.errors import ModelError
from streamd.interfaces import Embedder
from streamd.vision.embedding import embed_each
from streamd.vision.loading import load_detector, load_embedder
from streamd.vision.modelstore import pull


def embedder(folder: Path, *, gain: float = 1.0, dim: int = 3) -> Embedder:
    """Mean red, green and blue of a chip as its vector."""
    models = folder / "models"
    write_manifest(models, write_mean_model(folder / "original.onnx", gain=gain), dim=dim)
    pull(["tiny"], models)
    return load_embedder("tiny", models=models, device="cpu")


def chips(*colours: tuple[int, int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.stack([np.full((112, 112, 3), colour, np.uint8) for colour in colours])


def test_rows_have_unit_length_and_the_models_colour_order(tmp_path: Path) -> None:
    rows = embedder(tmp_path).embed(chips((255, 0, 0), (0, 0, 10), (30, 40, 0)))
    np.testing.assert_allclose(rows, [[0, 0, 1], [1, 0, 0], [0, 0.8, 0.6]], atol=1e-5)
    assert rows.dtype == np.float32


def test_no_chips_give_no_rows(tmp_path: Path) -> None:
    assert embedder(tmp_path).embed(np.empty((0, 112, 112, 3), np.uint8)).shape == (0, 3)


def test_the_manifest_names_dimension_threshold_and_weights(tmp_path: Path) -> None:
    loaded = embedder(tmp_path)
    assert (loaded.dim, loaded.threshold, loaded.provider) == (3, 0.5, "cpu")
    assert loaded.model_id.startswith("tiny@")


@pytest.mark.parametrize("gain", [0.0, float("nan"), float("inf")])
def test_a_vector_without_direction_never_leaves(tmp_path: Path, gain: float) -> None:
    with pytest.raises(ModelError, match="gave a vector of length"):
        embedder(tmp_path, gain=gain).embed(chips((1, 2, 3)))


def test_a_face_of_which_nothing_is_made_does_not_spoil_the_others(tmp_path: Path) -> None:
    """The mean of black is zero, which is no direction."""
    rows, confidences = embed_each(embedder(tmp_path), chips((255, 0, 0), (0, 0, 0), (0, 0, 10)))
    np.testing.assert_allclose(rows, [[0, 0, 1], [np.nan] * 3, [1, 0, 0]], atol=1e-5)
    assert confidences == [None] * 3


@pytest.mark.parametrize("length", [0.0, 2.0, float("nan"), float("inf")])
def test_rows_that_are_not_of_unit_length_are_nothing(length: float) -> None:
    class Careless:
        dim = 2

        def embed(self, chips: np.ndarray) -> np.ndarray:
            return np.array([[1, 0], [length, 0]], np.float32)

    rows, _ = embed_each(Careless(), chips((1, 2, 3), (4, 5, 6)))  # type: ignore[arg-type]
    np.testing.assert_array_equal(rows, [[1, 0], [np.nan, np.nan]])


def test_a_dimension_other_than_the_manifests_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gave shape \(1, 3\), expected \(1, 4\)"):
        embedder(tmp_path, dim=4).embed(chips((1, 2, 3)))


def test_faces_that_are_not_aligned_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="need uint8 of shape"):
        embedder(tmp_path).embed(np.zeros((1, 96, 112, 3), np.uint8))


def test_a_class_of_ones_own_is_called_with_the_settings(tmp_path: Path) -> None:
    loaded = load_detector("tinymodel:OwnDetector", models=tmp_path, device="cpu")
    assert vars(loaded) == {"given": (tmp_path, "cpu")}


@pytest.mark.parametrize("name", ["no.such.module:X", "tinymodel:Missing", ":X"])
def test_a_class_that_cannot_be_imported_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match=f"model '{name}': cannot import"):
        load_embedder(name, models=tmp_path)


def test_a_model_that_is_not_there_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"model 'sface' is not in {tmp_path}: run 'streamd models pull"):
        load_embedder("sface", models=tmp_path)


def test_a_damaged_model_is_not_loaded(tmp_path: Path) -> None:
    embedder(tmp_path)
    path = tmp_path / "models" / "tiny.onnx"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ModelError, match="is damaged"):
        load_embedder("tiny", models=tmp_path / "models")
