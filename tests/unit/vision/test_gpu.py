"""A GPU as far as one without it gets: what is refused, what is compared, and what TensorRT is told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from tinymodel import write_mean_model

from streamd.errors import ModelError
from streamd.vision import engines, gpu, half
from streamd.vision.engines import CPU, CUDA, TENSORRT
from streamd.vision.gpu import ShapedEngine, Wish, open_on_gpu, tensorrt_options
from streamd.vision.loading import load_detector
from streamd.vision.onnx import Session, open_session
from streamd.vision.runtimes import outputs_agree

WISH = Wish(0, threads=1)
PICTURES = {"input": ("batch", 3, "height", "width")}
FACES = {"data": ("batch", 3, 112, 112)}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_mean_model(tmp_path / "tiny.onnx")


@pytest.fixture
def falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """An onnxruntime that promises a GPU, and takes the CPU without a word."""
    runtime = engines.onnxruntime()
    opened = runtime.InferenceSession
    monkeypatch.setattr(runtime, "get_available_providers", lambda: [TENSORRT, CUDA, CPU])
    monkeypatch.setattr(runtime, "InferenceSession", lambda path, options, **_: opened(path, options, [CPU]))


@pytest.mark.usefixtures("falls_back")
@pytest.mark.parametrize("tensorrt", [False, True])
def test_a_silent_fall_back_is_refused_with_what_is_missing(model: Path, tensorrt: bool) -> None:
    with pytest.raises(ModelError, match=r"fell back to the CPU \(.+\)"):
        open_on_gpu(model, Wish(0, threads=1, tensorrt=tensorrt))


def test_tensorrt_that_falls_back_to_cuda_is_refused() -> None:
    with pytest.raises(ModelError, match="fell back to the CUDA"):
        gpu._require_provider(_Engine("cuda"), Wish(0, threads=1, tensorrt=True))


def test_tensorrt_that_is_not_there_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines.onnxruntime(), "get_available_providers", lambda: [CUDA, CPU])
    with pytest.raises(ModelError, match="built without TensorRT"):
        open_session(model, device="cuda:0", tensorrt=True)


@pytest.mark.usefixtures("falls_back")
def test_a_models_folder_that_cannot_be_written_is_named(model: Path) -> None:
    (model.parent / "tensorrt").write_text("")
    with pytest.raises(ModelError, match=r"engines cannot be kept: .*tensorrt"):
        open_session(model, device="cuda:0", tensorrt=True)


def test_a_network_of_which_most_stays_on_the_cpu_is_refused() -> None:
    with pytest.raises(ModelError, match=r"too little of it on cuda \(10 on cuda, 30 on cpu of its nodes\)"):
        gpu._require_provider(_Engine("cuda", {"cuda": 10, "cpu": 30}), WISH)
    gpu._require_provider(_Engine("cuda", {"cuda": 30, "cpu": 4}), WISH)
    gpu._require_provider(_Engine("tensorrt", {"tensorrt": 1, "cuda": 3}), Wish(0, threads=1, tensorrt=True))


def test_onnxruntime_tells_who_runs_how_many_nodes(model: Path) -> None:
    options = engines.onnxruntime().SessionOptions()
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = engines.onnxruntime().InferenceSession(str(model), options, providers=[CPU])
    nodes = engines.OnnxruntimeEngine(session, model).nodes_by_provider()
    if hasattr(session, "get_provider_graph_assignment_info"):
        assert nodes is not None
        assert nodes["cpu"] >= 1
    else:
        assert nodes is None


def test_outputs_that_are_not_the_cpus_are_refused(model: Path) -> None:
    exact = engines.open_engine(model, [CPU], 1)
    gpu._require_agreement(exact, exact)
    with pytest.raises(ModelError, match=r"not the CPU's .*workers\.fp16"):
        gpu._require_agreement(_Off(exact), exact)  # type: ignore[arg-type]


def test_buffers_that_spoil_the_outputs_are_done_without(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    exact = engines.open_engine(model, [CPU], 1)
    engine = _OffWhileBound(exact)
    gpu._require_agreement(engine, exact)  # type: ignore[arg-type]
    assert not engine.bound
    assert "without buffers" in caplog.text


@pytest.mark.parametrize("name", ["yunet", "sface", "ssd"])
def test_models_of_half_precision_load_and_agree(name: str, models_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.onnx"
    path.write_bytes((models_dir / path.name).read_bytes())
    converted = half.converted(path)
    weights = {tensor.data_type for tensor in onnx.load(converted).graph.initializer if len(tensor.dims) > 1}
    assert onnx.TensorProto.FLOAT16 in weights
    assert onnx.TensorProto.FLOAT not in weights
    gpu._require_agreement(engines.open_engine(converted, [CPU], 1), engines.open_engine(path, [CPU], 1))


def test_a_model_of_half_precision_is_kept_until_the_model_changes(model: Path) -> None:
    first = half.converted(model).stat().st_mtime_ns
    assert half.converted(model).stat().st_mtime_ns == first
    write_mean_model(model)
    assert half.converted(model).stat().st_mtime_ns > first
    assert not list(model.parent.glob(".*"))


def test_agreement_is_measured_against_the_largest_of_an_output() -> None:
    wanted = [np.array([[[4.0, 0.01]]], np.float32)]
    assert outputs_agree([wanted[0] + 0.05], wanted, tolerance=gpu.TOLERANCE)
    assert not outputs_agree([wanted[0] + 0.1], wanted, tolerance=gpu.TOLERANCE)
    assert not outputs_agree([np.full_like(wanted[0], np.nan)], wanted, tolerance=gpu.TOLERANCE)


def test_one_tensorrt_engine_serves_every_batch_and_size(tmp_path: Path) -> None:
    options = tensorrt_options(tmp_path / "yunet.onnx", PICTURES, Wish(1, threads=1, tensorrt=True))
    assert options["device_id"] == "1"
    assert options["trt_profile_min_shapes"] == "input:1x3x32x32"
    assert options["trt_profile_opt_shapes"] == "input:8x3x384x640"
    assert options["trt_profile_max_shapes"] == "input:8x3x1280x1280"


def test_a_network_for_faces_gets_the_largest_batch(tmp_path: Path) -> None:
    options = tensorrt_options(tmp_path / "sface.onnx", FACES, Wish(0, threads=1, tensorrt=True, fp16=True))
    assert options["trt_profile_max_shapes"] == "data:32x3x112x112"
    assert options["trt_engine_cache_prefix"] == "sface-fp16"


def test_a_network_of_one_shape_needs_no_range(tmp_path: Path) -> None:
    options = tensorrt_options(tmp_path / "one.onnx", {"data": (1, 3, 112, 112)}, WISH)
    assert not [name for name in options if "profile" in name]


def test_a_free_number_of_pictures_is_cut_to_what_fills_a_gpu() -> None:
    assert engines._largest_batch(PICTURES["input"], "cuda") == engines.LARGEST_OF_PICTURES
    assert engines._largest_batch(FACES["data"], "cuda") == engines.BUCKETS[-1]
    assert engines._largest_batch(FACES["data"], "cpu") == 8


class TestShapes:
    """A session for each shape, on the CPU here."""

    @pytest.fixture
    def made(self) -> list[Any]:
        return []

    @pytest.fixture
    def shaped(self, model: Path, made: list[Any]) -> ShapedEngine:
        def make(shapes: Any) -> engines.OnnxruntimeEngine:
            made.append(dict(shapes))
            return engines.open_engine(model, [CPU], 1, bind_to=("cpu", 0), records=True)

        return ShapedEngine(make, {"data": (1, 3, 112, 112)})

    def test_each_has_its_own_and_keeps_it(self, shaped: ShapedEngine, made: list[Any]) -> None:
        for _ in range(3):
            for count in (1, 4, 2):
                fed = np.full((count, 3, 112, 112), count, np.float32)
                np.testing.assert_array_equal(shaped.run({"data": fed})[0], np.full((count, 3), count, np.float32))
        assert [shapes["data"][0] for shapes in made] == [1, 4, 2]

    def test_the_one_not_used_for_longest_is_closed(
        self, shaped: ShapedEngine, made: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gpu, "_SESSIONS", 2)
        for count in (1, 2, 1, 3, 1, 2):
            shaped.run({"data": np.zeros((count, 3, 112, 112), np.float32)})
        assert [shapes["data"][0] for shapes in made] == [1, 2, 3, 2]
        assert len(shaped.of_shapes) == 2

    def test_one_that_cannot_be_had_leaves_the_others(self, model: Path) -> None:
        def make(shapes: Any) -> engines.OnnxruntimeEngine:
            if shapes["data"][0] > 1:
                raise ModelError("no memory left")
            return engines.open_engine(model, [CPU], 1)

        shaped = ShapedEngine(make, {"data": (1, 3, 112, 112)})
        with pytest.raises(ModelError, match="no memory left"):
            shaped.run({"data": np.zeros((4, 3, 112, 112), np.float32)})
        assert shaped.run({"data": np.ones((1, 3, 112, 112), np.float32)})[0].tolist() == [[1, 1, 1]]

    def test_threads_share_it(self, shaped: ShapedEngine, made: list[Any]) -> None:
        def work(number: int) -> bool:
            fed = {"data": np.full((1 + number % 3, 3, 112, 112), number, np.float32)}
            return all(bool((shaped.run(fed)[0] == number).all()) for _ in range(30))

        with ThreadPoolExecutor(6) as pool:
            assert all(pool.map(work, range(1, 7)))
        assert len(made) == 3


def test_a_batch_whose_last_row_is_wrong_is_refused(model: Path) -> None:
    exact = engines.open_engine(model, [CPU], 4)

    class LastIsOff(_Off):
        def run(self, feed: engines.Feed) -> list[engines.Array]:
            (vectors,) = self._engine.run(feed)
            return [np.concatenate([vectors[:-1], -vectors[-1:]])]

    shapes = {"data": (8, 3, 112, 112)}
    gpu._require_agreement(exact, exact, shapes)
    with pytest.raises(ModelError, match="not the CPU's"):
        gpu._require_agreement(LastIsOff(exact), exact, shapes)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(360, 640), (180, 320), (160, 160), (300, 400)])
def test_a_detector_finds_the_same_in_a_room_of_a_gpu(
    models_dir: Path, faces_dir: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the CPU, with the black that a GPU would be given."""
    height, width = size
    picture = cv2.imread(str(faces_dir / "obama2.jpg"))
    face = cv2.resize(picture, (min(height, width),) * 2, interpolation=cv2.INTER_AREA)
    view = cv2.copyMakeBorder(face, 0, height - face.shape[0], 0, width - face.shape[1], cv2.BORDER_REPLICATE)
    detector = load_detector("yunet", models=models_dir, device="cpu")
    ((wanted, *_),) = detector.detect([view], min_score=0.7)
    monkeypatch.setattr(Session, "on_gpu", property(lambda session: True))
    ((got, *_),) = detector.detect([view], min_score=0.7)
    assert got.score == pytest.approx(wanted.score, abs=0.02)
    assert got.landmarks is not None
    assert wanted.landmarks is not None
    np.testing.assert_allclose(got.landmarks, wanted.landmarks, atol=0.02 * width)


def test_no_two_rows_of_a_probe_are_alike() -> None:
    feed, mirrored, again = gpu._probes(PICTURES, {"input": (3, 3, 64, 96)})
    assert feed["input"].shape == (3, 3, 64, 96)
    assert len({row.tobytes() for row in (*feed["input"], *mirrored["input"])}) == 6
    assert again is feed


class _Engine(SimpleNamespace):
    """What the checks ask of an engine."""

    def __init__(self, provider: str, nodes: dict[str, int] | None = None) -> None:
        super().__init__(provider=provider, nodes_by_provider=lambda: nodes)


class _Off:
    """An engine that says something else."""

    def __init__(self, engine: engines.OnnxruntimeEngine) -> None:
        self._engine = engine
        self.name = "tiny"

    def run(self, feed: engines.Feed) -> list[engines.Array]:
        return [-value for value in self._engine.run(feed)]

    def unbind(self) -> None:
        """It stays wrong."""


class _OffWhileBound(_Off):
    bound = True

    def run(self, feed: engines.Feed) -> Any:
        return super().run(feed) if self.bound else self._engine.run(feed)

    def unbind(self) -> None:
        self.bound = False
