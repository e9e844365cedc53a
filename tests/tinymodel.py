"""Small ONNX files made on the spot, and manifests for them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_mean_model(path: Path, *, gain: float = 1.0, batch: str | int = "n") -> Path:
    """A network from (n, 3, 112, 112) to (n, 3): the mean of each channel, times ``gain``."""
    nodes = [
        helper.make_node("ReduceMean", ["data"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("Mul", ["means", "gain"], ["vector"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, [batch, 3, 112, 112])],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, [batch, 3])],
        [numpy_helper.from_array(np.array([gain], np.float32), "gain")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path


def write_manifest(models: Path, original: Path, *, name: str = "tiny", dim: int = 3) -> Path:
    """A manifest in the folder of models for an embedder that is used as it is."""
    path = models / "manifests" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(original.read_bytes()).hexdigest()
    path.write_text(
        f"name: {name}\nkind: embedder\nsummary: mean colours\nlicence: CC0-1.0\n"
        f"origin: https://example.org\nfiles:\n  - name: {name}.onnx\n    sha256: '{digest}'\n"
        f"    sources: [{{file: '{original}'}}]\n"
        "input: {name: data, size: [112, 112], colour: rgb}\n"
        f"decoding: embedding\ndim: {dim}\nthreshold: 0.5\n"
    )
    return path


class OwnDetector:
    """A user's class, as it may be named in the configuration."""

    has_landmarks = True

    def __init__(self, *, models: Path, device: str = "auto") -> None:
        self.given = (models, device)
