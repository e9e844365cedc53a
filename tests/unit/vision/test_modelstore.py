from __future__ import annotations

import json
from pathlib import Path

import pytest
from tinymodel import write_manifest, write_mean_model

from streamd.errors import ModelError
from streamd.vision.modelstore import ModelStore, pull, verify


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder of models whose manifests know 'tiny', not pulled yet."""
    write_manifest(tmp_path / "models", write_mean_model(tmp_path / "original.onnx"))
    return tmp_path / "models"


def problem(models: Path) -> str | None:
    return verify(["tiny"], models)[0].problem


def test_a_model_that_was_not_pulled_is_told_with_the_command_that_mends_it(models: Path) -> None:
    store = ModelStore(models)
    with pytest.raises(ModelError) as caught:
        store.ready(store.manifest("tiny"))
    assert str(caught.value) == f"model 'tiny' is not in {models}: run 'streamd models pull tiny'"


def test_a_pulled_model_is_ready_and_intact(models: Path) -> None:
    assert [state.changed for state in pull(["tiny"], models)] == [True]
    store = ModelStore(models)
    assert store.ready(store.manifest("tiny")) == models / "tiny.onnx"
    assert problem(models) is None


def test_a_second_pull_changes_nothing(models: Path) -> None:
    pull(["tiny"], models)
    before = (models / "tiny.onnx").stat().st_mtime_ns
    assert [state.changed for state in pull(["tiny"], models)] == [False]
    assert (models / "tiny.onnx").stat().st_mtime_ns == before


def test_one_flipped_bit_is_found_and_mended_by_a_pull(models: Path) -> None:
    pull(["tiny"], models)
    content = bytearray((models / "tiny.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (models / "tiny.onnx").write_bytes(content)
    assert "is damaged" in (problem(models) or "")
    assert pull(["tiny"], models)[0].changed
    assert problem(models) is None


def test_a_new_hash_in_the_manifest_makes_the_prepared_file_old(models: Path, tmp_path: Path) -> None:
    pull(["tiny"], models)
    write_manifest(models, write_mean_model(tmp_path / "newer.onnx", gain=2.0))
    assert "made from other files" in (problem(models) or "")


def test_another_preparation_makes_the_prepared_file_old(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pull(["tiny"], models)
    monkeypatch.setattr("streamd.vision.modelstore.PREPARATION", 99)
    assert "another version of streamd" in (problem(models) or "")
    assert pull(["tiny"], models)[0].changed
    assert json.loads((models / "tiny.json").read_text())["version"] == 99


@pytest.mark.parametrize("record", ["", "[]", '{"recipe": "as_is"}', "\xff"])
def test_an_unreadable_record_is_a_problem(models: Path, record: str) -> None:
    pull(["tiny"], models)
    (models / "tiny.json").write_text(record, encoding="latin-1")
    assert "no readable tiny.json" in (problem(models) or "")


def test_a_file_that_is_no_model_is_refused_and_the_old_one_kept(models: Path, tmp_path: Path) -> None:
    pull(["tiny"], models)
    before = (models / "tiny.onnx").read_bytes()
    (tmp_path / "garbage").write_bytes(b"not a model")
    write_manifest(models, tmp_path / "garbage")
    with pytest.raises(ModelError, match="cannot load this model"):
        pull(["tiny"], models)
    assert (models / "tiny.onnx").read_bytes() == before
    assert not list(models.glob(".*"))


def test_verify_without_names_looks_at_what_is_there(models: Path) -> None:
    assert verify([], models) == []
    pull(["tiny"], models)
    assert [state.manifest.name for state in verify([], models)] == ["tiny"]
