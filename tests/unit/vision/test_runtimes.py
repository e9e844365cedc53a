from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tinymodel import write_mean_model

from streamd.errors import ModelError
from streamd.vision import openvino, runtimes
from streamd.vision.fetch import sha256_of
from streamd.vision.onnx import open_session


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = write_mean_model(tmp_path / "tiny.onnx")
    path.with_suffix(".json").write_text(json.dumps({"sha256": sha256_of(path)}))
    return path


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "ROUND_S", 0.01)


def choose(model: Path) -> runtimes.Measured:
    return runtimes.choose(model, sha256=sha256_of(model))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_openvino_gives_what_onnxruntime_gives(model: Path, threads: int) -> None:
    fed = np.random.default_rng(1).uniform(0, 255, (5, 3, 112, 112)).astype(np.float32)
    exact = open_session(model, device="cpu").run_rows("data", fed)["vector"]
    session = open_session(model, device="cpu", runtime="openvino", threads=threads)
    assert session.largest_batch == threads
    assert session.provider == "openvino"
    np.testing.assert_allclose(session.run_rows("data", fed)["vector"], exact, rtol=1e-4)


def test_every_runtime_that_is_there_is_measured(model: Path) -> None:
    measured = choose(model)
    assert {"onnxruntime", "openvino"} <= set(measured.ms)
    assert measured.best in measured.ms
    assert runtimes.read_record(model) == measured
    assert runtimes.chosen(model) == measured.best


def test_another_runtime_must_be_worth_it(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = {"onnxruntime": 10.0, "openvino": 9.5, "openvino-bf16": 9.9}
    monkeypatch.setattr(runtimes, "_compared", lambda running, feed: {name: times[name] for name in running})
    assert choose(model).best == "onnxruntime"
    times["openvino"] = 5.0
    assert choose(model).best == "openvino"


def test_a_runtime_that_computes_something_else_is_never_chosen(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "outputs_agree", lambda got, wanted, **_: False)
    measured = choose(model)
    assert measured.best == "onnxruntime"
    assert "openvino" in measured.disagree


def test_auto_takes_what_was_found(model: Path) -> None:
    measured = choose(model)
    record = runtimes.record_of(model)
    record.write_text(record.read_text().replace(f'"best": "{measured.best}"', '"best": "openvino"'))
    assert open_session(model, device="cpu", runtime="auto").provider == "openvino"


@pytest.mark.parametrize("key", ["machine", "sha256"])
def test_what_was_found_on_another_machine_or_for_another_model_is_not_believed(model: Path, key: str) -> None:
    choose(model)
    record = runtimes.record_of(model)
    record.write_text(json.dumps(json.loads(record.read_text()) | {key: "another", "best": "openvino"}))
    assert runtimes.read_record(model) is None
    assert open_session(model, device="cpu", runtime="auto").provider == "cpu"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"best": 1}', "\x00"])
def test_a_damaged_record_is_none(model: Path, text: str) -> None:
    runtimes.record_of(model).write_text(text)
    assert runtimes.read_record(model) is None


def test_without_openvino_the_extra_is_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openvino._core.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(ModelError, match=r"pip install 'streamd\[openvino\]'"):
        open_session(model, device="cpu", runtime="openvino")
    openvino._core.cache_clear()


def test_directions_agree_whatever_their_length() -> None:
    rows = np.random.default_rng(2).normal(size=(2, 64)).astype(np.float32)
    assert runtimes.outputs_agree([2 * rows], [rows])
    assert not runtimes.outputs_agree([rows[::-1]], [rows])
    assert not runtimes.outputs_agree([rows[:1]], [rows])


def test_one_probe_in_eight_that_differs_is_enough_to_refuse() -> None:
    random = np.random.default_rng(4)
    wanted = [[random.normal(size=(1, 64)).astype(np.float32)] for _ in range(8)]
    got = [[value.copy() for value in outputs] for outputs in wanted]
    assert runtimes.all_agree(got, wanted)
    got[5][0] += np.float32(0.1) * random.normal(size=(1, 64)).astype(np.float32)
    assert not runtimes.all_agree(got, wanted)


def test_many_small_differences_are_refused_too() -> None:
    random = np.random.default_rng(4)
    wanted = [[random.normal(size=(1, 512)).astype(np.float32)] for _ in range(8)]
    got = [[outputs[0] + np.float32(0.04) * random.normal(size=(1, 512)).astype(np.float32)] for outputs in wanted]
    assert all(runtimes.outputs_agree(some, those) for some, those in zip(got, wanted, strict=True))
    assert not runtimes.all_agree(got, wanted)


def test_a_vector_of_zeros_agrees_with_nothing() -> None:
    assert not runtimes.outputs_agree([np.zeros((1, 4), np.float32)], [np.ones((1, 4), np.float32)])


def test_eight_bits_must_be_worth_it_against_the_best_of_the_others() -> None:
    times: dict[runtimes.Library, float] = {"onnxruntime": 14.0, "openvino-bf16": 7.0, "openvino-int8": 6.5}
    assert runtimes._best(times) == "openvino-bf16"
    assert runtimes._best(times | {"openvino-int8": 6.0}) == "openvino-int8"
    assert runtimes._best({"onnxruntime": 14.0, "onnxruntime-int8": 8.0}) == "onnxruntime-int8"
