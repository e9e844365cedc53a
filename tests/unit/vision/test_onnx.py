from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from tinymodel import write_mean_model

from streamd.errors import ModelError
from streamd.vision import engines
from streamd.vision.engines import CPU, CUDA
from streamd.vision.onnx import Run, Session, batches, open_session, watch_runs


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_mean_model(tmp_path / "tiny.onnx")


def rows(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(1).uniform(0, 255, (count, 3, 112, 112)).astype(np.float32)


@pytest.fixture
def without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an onnxruntime without CUDA says, also where the tests run with another."""
    monkeypatch.setattr(engines.onnxruntime(), "get_available_providers", lambda: ["CPUExecutionProvider"])


@pytest.mark.parametrize("count", [1, 3, 8, 11, 40])
def test_any_number_of_rows_gives_as_many_answers_in_order(model: Path, count: int) -> None:
    session = open_session(model, device="cpu")
    fed = rows(count)
    got = session.run_rows("data", fed)["vector"]
    np.testing.assert_allclose(got, fed.mean(axis=(2, 3)), rtol=1e-4)


def test_a_cpu_gets_no_padding_and_no_more_than_eight_rows() -> None:
    assert [size for _, _, size in batches(13, 8, pad=False)] == [8, 4, 1]


def test_a_gpu_gets_the_next_larger_bucket() -> None:
    assert list(batches(45, 32, pad=True)) == [(0, 32, 32), (32, 45, 16)]


def test_a_model_with_a_fixed_batch_is_run_with_that_batch(tmp_path: Path) -> None:
    session = open_session(write_mean_model(tmp_path / "one.onnx", batch=1), device="cpu")
    assert session.largest_batch == 1
    assert session.run_rows("data", rows(3))["vector"].shape == (3, 3)


def test_the_provider_in_use_is_told(model: Path) -> None:
    session = open_session(model, device="cpu")
    assert (session.provider, session.on_gpu) == ("cpu", False)


@pytest.mark.usefixtures("without_cuda")
def test_a_gpu_that_cannot_be_used_is_refused(model: Path) -> None:
    with pytest.raises(ModelError, match=r"cuda:0 cannot be used: .*workers\.allow_cpu"):
        open_session(model, device="cuda:0")


@pytest.mark.usefixtures("without_cuda")
def test_allow_cpu_goes_on_without_the_gpu_and_says_so(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert open_session(model, device="cuda:0", allow_cpu=True).provider == "cpu"
    assert "cuda:0 cannot be used" in caplog.text


@pytest.mark.usefixtures("without_cuda")
def test_auto_takes_the_cpu_without_a_word_where_there_is_nothing_else(
    model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert open_session(model, device="auto").provider == "cpu"
    assert not caplog.records


def test_a_silent_fall_back_to_the_cpu_is_noticed(
    model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = engines.onnxruntime()
    opened = runtime.InferenceSession
    monkeypatch.setattr(runtime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(runtime, "InferenceSession", lambda path, options, **_: opened(path, options, [CPU]))
    with pytest.raises(ModelError, match="fell back to the CPU"):
        open_session(model, device="cuda:0")
    assert open_session(model, device="auto").provider == "cpu"
    assert "auto cannot be used: onnxruntime fell back" in caplog.text


def test_an_unknown_device_is_refused(model: Path) -> None:
    with pytest.raises(ModelError, match="'gpu' is none of"):
        open_session(model, device="gpu")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"\x00\x01\x02")
    with pytest.raises(ModelError, match=str(tmp_path / "bad.onnx")):
        open_session(tmp_path / "bad.onnx", device="cpu")


def test_shapes_that_do_not_fit_are_an_error_of_the_model(model: Path) -> None:
    with pytest.raises(ModelError, match=r"tiny\.onnx"):
        open_session(model, device="cpu").run({"data": np.zeros((1, 3, 10, 10), np.float32)})


@pytest.mark.parametrize("count", [1, 3, 11])
def test_buffers_that_stay_on_the_device_give_the_same(model: Path, count: int) -> None:
    bound = Session(engines.open_engine(model, [CPU], 1, bind_to=("cpu", 0)), model)
    for _ in range(2):
        fed = rows(count)
        np.testing.assert_array_equal(
            bound.run_rows("data", fed)["vector"], open_session(model, device="cpu").run_rows("data", fed)["vector"]
        )


def test_recorded_runs_give_the_same_with_other_pictures(model: Path) -> None:
    engine = engines.open_engine(model, [CPU], 1, bind_to=("cpu", 0), records=True)
    plain = open_session(model, device="cpu")
    for _ in range(4):
        fed = {"data": rows(4)}
        np.testing.assert_array_equal(engine.run(fed)[0], plain.run(fed)["vector"])
    assert _recordings(engine) == ["1"]
    engine.unbind()
    np.testing.assert_array_equal(engine.run(fed)[0], plain.run(fed)["vector"])


def test_one_shape_alone_is_recorded(model: Path) -> None:
    engine = engines.open_engine(model, [CPU], 1, bind_to=("cpu", 0), records=True)
    for count in (1, 2, 1, 2):
        engine.run({"data": rows(count)})
    assert _recordings(engine) == ["1", "-1"]


def _recordings(engine: engines.OnnxruntimeEngine) -> list[str]:
    return [bound.options.get_run_config_entry("gpu_graph_id") for bound in engine._bindings.values()]


def test_what_was_warmed_up_was_run_on_a_gpu_alone(model: Path) -> None:
    ran: list[tuple[int, ...]] = []
    engine = engines.open_engine(model, [CPU], 1)
    engine.run = lambda feed: ran.append(feed["data"].shape) or []  # type: ignore[method-assign, func-returns-value]
    Session(engine, model).warm_up("data", [(1, 3, 112, 112)])
    assert ran == []
    engine.provider = "cuda"
    Session(engine, model).warm_up("data", [(1, 3, 112, 112), (2, 3, 112, 112)])
    assert ran == [(1, 3, 112, 112)] * 3 + [(2, 3, 112, 112)] * 3


def test_threads_may_share_a_session_with_buffers(model: Path) -> None:
    bound = Session(engines.open_engine(model, [CPU], 1, bind_to=("cpu", 0)), model)
    wrong: list[int] = []

    def work(number: int) -> None:
        fed = np.full((4, 3, 112, 112), number, np.float32)
        for _ in range(50):
            if not np.array_equal(bound.run({"data": fed})["vector"], np.full((4, 3), number, np.float32)):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_buffers_of_shapes_that_come_no_more_are_given_up(model: Path) -> None:
    engine = engines.open_engine(model, [CPU], 1, bind_to=("cpu", 0))
    for count in range(1, 40):
        engine.run({"data": rows(count)})
    assert len(engine._bindings) == engines._BINDINGS


def test_one_thread_takes_rows_one_by_one(model: Path) -> None:
    assert open_session(model, device="cpu", threads=1).largest_batch == 1
    assert open_session(model, device="cpu", threads=2).largest_batch > 1


def test_every_run_is_told_to_whoever_watches(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamd.vision.onnx._watchers", [])
    seen: list[Run] = []
    watch_runs(seen.append)
    open_session(model, device="cpu", threads=2).run_rows("data", rows(3))
    assert [(run.model, run.shape) for run in seen] == [("tiny", (2, 3, 112, 112)), ("tiny", (1, 3, 112, 112))]
    assert all(run.seconds > 0 for run in seen)
