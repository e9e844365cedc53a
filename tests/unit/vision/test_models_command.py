from __future__ import annotations

import json
from pathlib import Path

import pytest
from tinymodel import write_manifest, write_mean_model

from streamd.cli import main
from streamd.errors import ExitCode
from streamd.vision import runtimes
from streamd.vision.catalog import catalogue
from streamd.vision.modelstore import ModelState


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "ROUND_S", 0.01)


@pytest.fixture
def models(tmp_path: Path) -> str:
    write_manifest(tmp_path / "models", write_mean_model(tmp_path / "original.onnx"))
    return str(tmp_path / "models")


def test_list_says_what_is_ready(models: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "pull", "tiny", "--models-dir", models]) == ExitCode.OK
    capsys.readouterr()
    assert main(["models", "list", "--models-dir", models]) == ExitCode.OK
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "ready" in lines["tiny"]
    assert "ready" not in lines["sface"]
    assert "Apache-2.0" in lines["sface"]


def test_a_second_pull_says_that_it_was_there(models: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["models", "pull", "tiny", "--models-dir", models])
    main(["models", "pull", "tiny", "--models-dir", models])
    assert [line.partition(";")[0] for line in capsys.readouterr().out.splitlines()] == [
        "tiny: ready",
        "tiny: was there already",
    ]


def test_verify_tells_damage_by_its_exit_code(models: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["models", "pull", "tiny", "--models-dir", models])
    assert main(["models", "verify", "--models-dir", models]) == ExitCode.OK
    (Path(models) / "tiny.onnx").write_bytes(b"x")
    assert main(["models", "verify", "tiny", "--models-dir", models]) == ExitCode.UNAVAILABLE
    assert "damaged" in capsys.readouterr().out


def test_verify_of_an_empty_folder_fails(models: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "verify", "--models-dir", models]) == ExitCode.UNAVAILABLE
    assert "streamd models pull" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["pull", "verify"])
def test_an_unknown_name_is_a_usage_error(models: str, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", verb, "yolo", "--models-dir", models]) == ExitCode.USAGE
    assert "no model is called 'yolo'" in capsys.readouterr().err


def test_json_has_the_model_id_and_the_problem(models: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["models", "list", "--json", "--models-dir", models])
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["sface"]["model_id"] == "sface@fb143eea0783"
    assert "is not in" in rows["tiny"]["problem"]


def test_the_folder_is_the_configurations(models: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "streamd.yaml"
    config.write_text(f"version: 1\nmodels_dir: {models}\n")
    assert main(["models", "pull", "tiny", "--config", str(config)]) == ExitCode.OK
    assert (Path(models) / "tiny.onnx").is_file()


def test_models_that_come_first_leave_the_state_directory_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "home" / "state"
    (tmp_path / "streamd.yaml").write_text(f"state_dir: {state}\n")
    monkeypatch.setenv("STREAMD_CONFIG", str(tmp_path / "streamd.yaml"))
    monkeypatch.setattr("streamd.commands.models.pull", _made)
    monkeypatch.setattr("streamd.commands.models._compare_runtimes", lambda *_: "")
    assert main(["models", "pull", "yunet"]) == ExitCode.OK
    assert (state / "models").is_dir()
    assert state.stat().st_mode & 0o777 == 0o700, "faces come to lie there"


def _made(names: list[str], folder: Path, progress: object) -> list[ModelState]:
    folder.mkdir(parents=True)
    return [ModelState(catalogue(None)[name], None) for name in names]
