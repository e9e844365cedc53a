from __future__ import annotations

from pathlib import Path

import pytest

from streamd.errors import ModelError
from streamd.vision.catalog import DEFAULT_MODELS, catalogue, find_manifest, read_manifest
from streamd.vision.fetch import PackageSource

GOOD = """\
name: tiny
kind: embedder
summary: a small one
licence: MIT
origin: https://example.org
files:
  - name: tiny.onnx
    sha256: "0000000000000000000000000000000000000000000000000000000000000000"
    sources: [{file: /models/tiny.onnx}]
input: {name: data, size: [112, 112], colour: rgb, mean: [127.5, 127.5, 127.5], scale: 0.0078}
decoding: embedding
dim: 16
threshold: 0.4
"""


def write(folder: Path, text: str, name: str = "tiny") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return path


def test_default_models_are_shipped_with_pinned_packages_first() -> None:
    for name in DEFAULT_MODELS:
        for file in catalogue()[name].files:
            assert isinstance(file.sources[0], PackageSource)


def test_shipped_embedder_asks_more_of_a_gallery_than_of_a_pair() -> None:
    sface = find_manifest("sface", kind="embedder")
    assert (sface.threshold, sface.pair_threshold, sface.dim) == (0.45, 0.363, 128)


def test_model_id_names_the_weights() -> None:
    assert find_manifest("sface").model_id == "sface@fb143eea0783"


def test_a_users_manifest_joins_the_catalogue(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    assert catalogue(tmp_path)["tiny"].input.mean == (127.5, 127.5, 127.5)
    assert set(DEFAULT_MODELS) < set(catalogue(tmp_path))


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("kind: embedder", "kind: oracle", "kind"),
        ("dim: 16\n", "", "dim"),
        ("dim: 16", "dim: 0", "dim"),
        ("threshold: 0.4", "threshold: 4", "threshold"),
        ("threshold: 0.4", "threshold: 0.4\ncolour: blue", "colour"),
        ("colour: rgb", "colour: gbr", "input.colour"),
        ("size: [112, 112]", "size: [0, 112]", "input.size.0"),
        ('sha256: "00', 'sha256: "0', "files.0.sha256"),
        ("[{file: /models/tiny.onnx}]", "[]", "files.0.sources"),
        ("[{file: /models/tiny.onnx}]", "[{path: /models/tiny.onnx}]", "files.0.sources"),
        ("decoding: embedding", "decoding: yunet", "decoding"),
        ("name: tiny\n", "name: other\n", "name"),
    ],
)
def test_wrong_manifest_is_told_with_file_and_key(tmp_path: Path, old: str, new: str, key: str) -> None:
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(ModelError) as caught:
        read_manifest(path)
    assert str(path) in str(caught.value)
    assert key in str(caught.value)


def test_every_problem_of_a_manifest_is_told_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace("kind: embedder", "kind: 3").replace("dim: 16", "dim: x"))
    with pytest.raises(ModelError) as caught:
        read_manifest(path)
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == ["kind", "dim"]


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", ""])
def test_text_that_is_no_manifest_is_refused_with_its_file(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ModelError, match=str(path)):
        read_manifest(path)


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"no model is called 'yolo'; there are: .*sface, ssd, yunet"):
        find_manifest("yolo")


def test_a_detector_is_no_embedder() -> None:
    with pytest.raises(ModelError, match="'yunet' has the kind 'detector', where 'embedder' is needed"):
        find_manifest("yunet", kind="embedder")
