"""Where and how a network runs."""

from __future__ import annotations

from typing import Literal, TypedDict

Library = Literal["onnxruntime", "openvino", "openvino-bf16", "onnxruntime-int8", "openvino-int8"]
Runtime = Literal["auto", "onnxruntime", "openvino", "openvino-bf16", "onnxruntime-int8", "openvino-int8"]
"""Which library runs a network on a CPU; ``auto`` is the one that ``streamd models pull`` found to be the fastest."""
LARGEST_ENGINE_SIDE_PX = 1280
"""Of pictures of any size, through TensorRT: an engine is built for a range of sizes."""


class Placement(TypedDict, total=False):
    """The keywords of ``streamd.vision.onnx.open_session``."""

    device: str
    threads: int
    allow_cpu: bool
    runtime: Runtime
    tensorrt: bool
    fp16: bool
    cuda_graphs: bool
