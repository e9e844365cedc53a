"""The dlib detector against a stand-in of the library's interface: compiling the real one takes ten minutes."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from streamd.errors import ModelError
from streamd.vision.catalog import find_manifest
from streamd.vision.dlib_hog import DlibHog, score_of
from streamd.vision.loading import load_detector
from streamd.vision.modelstore import ModelStore


class Rectangle:
    def __init__(self, left: int, top: int, right: int, bottom: int) -> None:
        self._sides = (left, top, right, bottom)

    def left(self) -> int:
        return self._sides[0]

    def top(self) -> int:
        return self._sides[1]

    def right(self) -> int:
        return self._sides[2]

    def bottom(self) -> int:
        return self._sides[3]


class Frontal:
    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def run(self, rgb: np.ndarray, upsampled: int, lowest: float) -> tuple[list[Rectangle], list[float], list[int]]:
        self.seen.append(rgb)
        return [Rectangle(10, 20, 49, 59), Rectangle(100, 20, 139, 59)], [1.0, -0.2], [0, 0]


@pytest.fixture
def frontal(monkeypatch: pytest.MonkeyPatch) -> Frontal:
    found = Frontal()
    library = SimpleNamespace(__version__="19.24", get_frontal_face_detector=lambda: found)
    monkeypatch.setitem(sys.modules, "dlib", library)  # type: ignore[arg-type]
    return found


def test_boxes_end_behind_the_last_pixel_and_colours_are_swapped(frontal: Frontal) -> None:
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[..., 0] = 255
    faces = DlibHog(find_manifest("dlib")).detect([picture], min_score=0.1)[0]
    assert [(f.box.x1, f.box.y1, f.box.x2, f.box.y2) for f in faces] == [(10, 20, 50, 60), (100, 20, 140, 60)]
    assert frontal.seen[0][0, 0].tolist() == [0, 0, 255]


def test_what_the_library_itself_would_not_report_is_below_a_half(frontal: Frontal) -> None:
    (face,) = DlibHog(find_manifest("dlib")).detect([np.zeros((9, 9, 3), np.uint8)], min_score=0.5)[0]
    assert face.score == pytest.approx(score_of(1.0))
    assert score_of(0) == 0.5


def test_without_the_extra_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(ModelError, match=r"pip install 'streamd\[dlib\]'"):
        load_detector("dlib", models=tmp_path)


def test_the_catalogue_has_it_ready_where_the_library_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "dlib.py").write_text("")
    monkeypatch.delitem(sys.modules, "dlib", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert ModelStore(tmp_path).problem(find_manifest("dlib")) is None


def test_a_pull_without_the_library_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("streamd.vision.modelstore.importlib.util.find_spec", lambda name: None)
    store = ModelStore(tmp_path)
    with pytest.raises(ModelError, match=r"needs the Python package 'dlib': pip install 'streamd\[dlib\]'"):
        store.pull(find_manifest("dlib"))


def test_the_library_names_its_version(frontal: Frontal) -> None:
    assert DlibHog(find_manifest("dlib")).model_id == "dlib@19.24"
