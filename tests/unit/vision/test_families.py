"""Decoding of SCRFD, RetinaFace and CenterFace heads, against boxes that were computed by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from streamd.errors import ModelError
from streamd.vision.catalog import Manifest
from streamd.vision.centerface import CenterFace
from streamd.vision.mtcnn import _scales, _squared
from streamd.vision.profiles import manifest_from, profile_names, read_profile
from streamd.vision.retinaface import RetinaFace, prior_boxes
from streamd.vision.scrfd import Scrfd


class Fixed:
    """A session that answers every picture with the same outputs, and remembers what it was fed."""

    provider = "cpu"
    on_gpu = False

    def __init__(self, **outputs: np.ndarray) -> None:
        self.outputs = {name.strip("_"): value.shape for name, value in outputs.items()}
        self._values = {name.strip("_"): value for name, value in outputs.items()}
        self.inputs = {"data": (1, 3, 64, 64)}
        self.fed: list[np.ndarray] = []

    def run_rows(self, name: str, rows: np.ndarray) -> dict[str, np.ndarray]:
        self.fed.append(rows)
        return self._values


def manifest(profile: str, **anchors: Any) -> Manifest:
    body = read_profile(profile)
    changes = {
        "input": {**body["input"], "size": [64, 64]},
        "anchors": {**body["anchors"], **anchors},
    }
    return manifest_from(profile, name="own", file=SimpleNamespace(), sha256="0" * 64, changes=changes)  # type: ignore[arg-type]


def picture(width: int, height: int) -> np.ndarray:
    return np.full((height, width, 3), 100, np.uint8)


@pytest.fixture
def scrfd() -> tuple[Scrfd, Fixed]:
    """One face: stride 16, cell (2, 1), second anchor; 16 left, 8 up, 32 right and 24 down of the cell's corner."""
    outputs = {}
    for stride in (8, 16, 32):
        cells = (64 // stride) ** 2 * 2
        outputs[f"score_{stride}"] = np.zeros((1, cells, 1), np.float32)
        outputs[f"bbox_{stride}"] = np.zeros((1, cells, 4), np.float32)
        outputs[f"kps_{stride}"] = np.zeros((1, cells, 10), np.float32)
    anchor = (1 * 4 + 2) * 2 + 1
    outputs["score_16"][0, anchor] = 0.9
    outputs["bbox_16"][0, anchor] = [1.0, 0.5, 2.0, 1.5]
    outputs["kps_16"][0, anchor] = [-0.5, 0, 0.5, 0, 0, 0.5, -0.25, 1, 0.25, 1]
    session = Fixed(**outputs)
    return Scrfd(manifest("scrfd"), session), session  # type: ignore[arg-type]


def test_mtcnn_passes_over_boxes_that_are_no_numbers() -> None:
    boxes = np.array([[np.nan, 0, 10, 10], [0, 0, 9, 5], [0, 0, np.inf, 5]], np.float32)
    assert _squared(boxes).tolist() == [[0, -2, 9, 7]]


def test_scrfd_boxes_are_distances_from_the_cell(scrfd: tuple[Scrfd, Fixed]) -> None:
    (face,) = scrfd[0].detect([picture(64, 64)], min_score=0.5)[0]
    assert (face.box.x1, face.box.y1, face.box.x2, face.box.y2) == (16, 8, 64, 40)
    assert face.score == pytest.approx(0.9)
    assert face.landmarks is not None
    assert face.landmarks.tolist() == [[24, 16], [40, 16], [32, 24], [28, 32], [36, 32]]


def test_scrfd_letterboxes_and_tells_in_the_pictures_own_pixels(scrfd: tuple[Scrfd, Fixed]) -> None:
    (face,) = scrfd[0].detect([picture(128, 64)], min_score=0.5)[0]
    assert (face.box.x1, face.box.x2) == (32, 128)
    blob = scrfd[1].fed[-1]
    assert blob.shape == (1, 3, 64, 64)
    assert blob[0, 0, 40].max() == pytest.approx(-127.5 / 128)  # black below the picture: padded, not stretched
    assert blob[0, 0, 10].min() == pytest.approx((100 - 127.5) / 128)


def test_scrfd_below_the_score_finds_nobody(scrfd: tuple[Scrfd, Fixed]) -> None:
    assert scrfd[0].detect([picture(64, 64)], min_score=0.95) == [[]]


def test_a_graph_without_the_outputs_of_its_manifest_is_refused() -> None:
    with pytest.raises(ModelError, match="no output 'score_8'; it has other"):
        Scrfd(manifest("scrfd"), Fixed(other=np.zeros((1, 2))))  # type: ignore[arg-type]


def test_priors_lie_in_the_middle_of_their_cells() -> None:
    anchors = manifest("retinaface").anchors
    assert anchors is not None
    priors = prior_boxes(anchors, 64, 64)
    assert len(priors) == (64 + 16 + 4) * 2
    assert priors[0].tolist() == [4, 4, 16, 16]
    assert priors[1].tolist() == [4, 4, 32, 32]
    assert priors[2].tolist() == [12, 4, 16, 16]
    assert priors[-1].tolist() == [48, 48, 512, 512]


def test_retinaface_corrects_its_priors() -> None:
    count = (64 + 16 + 4) * 2
    boxes, scores, points = np.zeros((1, count, 4)), np.zeros((1, count, 2)), np.zeros((1, count, 10))
    row = 64 * 2 + 5 * 2  # stride 16, cell (1, 1), size 64: centre (24, 24)
    scores[0, row] = [0.2, 0.8]
    boxes[0, row] = [1.0, -0.5, np.log(0.5) / 0.2, 0]
    points[0, row] = [1, 1, 2, 1, 1.5, 1.5, 1, 2, 2, 2]
    session = Fixed(**{"output0": boxes, "_572_": scores, "_571_": points})
    detector = RetinaFace(manifest("retinaface"), session)  # type: ignore[arg-type]
    (face,) = detector.detect([picture(64, 64)], min_score=0.5)[0]
    middle = (24 + 1.0 * 0.1 * 64, 24 - 0.5 * 0.1 * 64)
    assert (face.box.x1, face.box.x2) == pytest.approx((middle[0] - 16, middle[0] + 16), abs=1e-4)
    assert (face.box.y1, face.box.y2) == pytest.approx((middle[1] - 32, middle[1] + 32), abs=1e-4)
    assert face.landmarks is not None
    assert face.landmarks[1].tolist() == pytest.approx([24 + 12.8, 24 + 6.4], abs=1e-4)


def test_retinaface_at_another_size_than_its_priors_is_refused() -> None:
    session = Fixed(**{"output0": np.zeros((1, 9, 4)), "_572_": np.zeros((1, 9, 2)), "_571_": np.zeros((1, 9, 10))})
    with pytest.raises(ModelError, match="gives 9 boxes at 64x64, its manifest 168"):
        RetinaFace(manifest("retinaface"), session).detect([picture(64, 64)], min_score=0.5)  # type: ignore[arg-type]


def test_centerface_boxes_lie_around_the_heat() -> None:
    heat, size, offset = np.zeros((1, 1, 16, 16)), np.zeros((1, 2, 16, 16)), np.zeros((1, 2, 16, 16))
    points = np.zeros((1, 10, 16, 16))
    heat[0, 0, 6, 8] = 0.7
    size[0, :, 6, 8] = np.log([5, 4])  # height, width in cells
    offset[0, :, 6, 8] = [0.25, -0.25]
    points[0, :, 6, 8] = [0.4, 0.3, 0.4, 0.7, 0.6, 0.5, 0.8, 0.35, 0.8, 0.65]  # y, x as shares
    session = Fixed(_537_=heat, _538_=size, _539_=offset, _540_=points)
    shipped = Manifest.model_validate(
        read_profile("scrfd") | {"anchors": None, "decoding": "centerface", "name": "c", "files": FILES}
    )
    fed = shipped.model_copy(update={"input": shipped.input.model_copy(update={"size": None, "stride": 32})})
    (face,) = CenterFace(fed, session).detect([picture(64, 64)], min_score=0.5)[0]  # type: ignore[arg-type]
    x, y = (8 - 0.25 + 0.5) * 4, (6 + 0.25 + 0.5) * 4
    assert (face.box.x1, face.box.y1) == pytest.approx((x - 8, y - 10), abs=1e-4)
    assert (face.box.x2, face.box.y2) == pytest.approx((x + 8, y + 10), abs=1e-4)
    assert face.landmarks is not None
    assert face.landmarks[0].tolist() == pytest.approx([x - 8 + 0.3 * 16, y - 10 + 0.4 * 20], abs=1e-4)


FILES = [{"name": "c.onnx", "sha256": "0" * 64, "sources": [{"file": "c.onnx"}]}]


def test_every_profile_is_a_manifest_once_it_has_a_file() -> None:
    for name in profile_names():
        assert Manifest.model_validate(read_profile(name) | {"files": FILES}).name == name


def test_the_pyramid_goes_from_the_smallest_face_to_the_whole_picture() -> None:
    scales = _scales(100, 200)
    assert scales[0] == 12 / 20
    assert 100 * scales[-1] >= 12 > 100 * scales[-1] * 0.709
    assert _scales(10, 10) == []


def test_squares_keep_the_centre_and_the_longer_side() -> None:
    assert _squared(np.array([[10, 10, 20, 40]], np.float32)).tolist() == [[0, 10, 30, 40]]
