"""dlib's recogniser against a stand-in of the library's interface: compiling the real one takes ten minutes."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from streamd.errors import ModelError
from streamd.vision.catalog import find_manifest
from streamd.vision.dlib_resnet import DlibResnet
from streamd.vision.embedding import alignment_of

CHIPS = np.zeros((2, 150, 150, 3), np.uint8)


class Network:
    """Its vectors are the first pixel's colours, and zeros."""

    def __init__(self, path: str) -> None:
        if "damaged" in path:
            raise RuntimeError("Error deserializing object")

    def compute_face_descriptor(self, chips: list[np.ndarray]) -> list[list[float]]:
        assert all(chip.flags.c_contiguous and chip.shape == (150, 150, 3) for chip in chips)
        return [[*map(float, chip[0, 0])] + [0.0] * 125 for chip in chips]


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", SimpleNamespace(face_recognition_model_v1=Network))  # type: ignore[arg-type]


def resnet(path: str = "weights.dat") -> DlibResnet:
    return DlibResnet(find_manifest("dlib_resnet"), Path(path))


@pytest.mark.usefixtures("library")
def test_rows_are_unit_ones_of_red_green_blue() -> None:
    chips = CHIPS.copy()
    chips[0, ..., 0], chips[1, ..., 1:] = 9, (3, 4)
    rows = resnet().embed(chips)
    np.testing.assert_allclose(rows[:, :3], [[0, 0, 1], [0.8, 0.6, 0]], atol=1e-6)
    assert rows.shape == (2, 128)
    assert resnet().embed(chips[:0]).shape == (0, 128)


@pytest.mark.usefixtures("library")
def test_eyes_nose_and_mouth_lie_where_dlibs_mean_face_has_them() -> None:
    """Eyes, nose and mouth corners of dlib's mean face with a padding of 0.25, in 150 pixels."""
    wanted = [[47.5, 46.6], [100.5, 46.6], [74.0, 76.6], [50.4, 103.0], [97.6, 103.0]]
    from streamd.vision.geometry import TEMPLATE

    homogeneous = np.column_stack([TEMPLATE, np.ones(5)])
    lie = (homogeneous @ alignment_of(resnet()).from_arcface().T)[:, :2]
    np.testing.assert_allclose(lie, wanted, atol=4.5)
    np.testing.assert_allclose(lie.mean(axis=0), np.mean(wanted, axis=0), atol=1.1)


@pytest.mark.usefixtures("library")
def test_what_is_no_direction_and_what_is_no_chip_is_refused() -> None:
    with pytest.raises(ModelError, match="gave a vector of length"):
        resnet().embed(CHIPS)
    with pytest.raises(ValueError, match="need uint8 of shape"):
        resnet().embed(CHIPS[:, :112, :112])


@pytest.mark.usefixtures("library")
def test_damaged_weights_are_named() -> None:
    with pytest.raises(ModelError, match=r"damaged\.dat: dlib cannot read it"):
        resnet("damaged.dat")


def test_without_the_extra_the_error_says_how_to_get_the_recogniser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(ModelError, match=r"pip install 'streamd\[dlib\]'"):
        resnet()
