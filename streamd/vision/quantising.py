"""Making the 8-bit form of a network: after training, with ranges taken from pictures (onnxruntime's quantiser).

Which form was chosen by measurement (docs/adr/0015): weights per channel; ranges that leave out one value in ten
thousand, since the few largest would spoil the steps of all others.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import onnx

from streamd.errors import ModelError
from streamd.vision.engines import Array, first_line, onnxruntime, runtime_errors

PERCENTILE = 99.99
CALIBRATED_ON = 84
"""Pictures. Half as many gave the same accuracy within its noise."""
_AT_ONCE = 4
"""Pictures whose values are in memory together: some 25 MB each with SFace."""


def quantise(prepared: Path, target: Path, *, fed: str, pictures: Array) -> None:
    """Write the 8-bit form of ``prepared``, which takes its name when it is whole.

    Args:
        prepared: The network in single precision.
        target: What is written.
        fed: The name of its input.
        pictures: What to take the ranges from, as the network is fed them, ``CALIBRATED_ON`` rows or so.

    Raises:
        ModelError: the network cannot be quantised, or the file cannot be written.
    """
    onnxruntime()
    with tempfile.TemporaryDirectory(prefix="streamd-") as folder:
        fused, made = Path(folder) / "fused.onnx", Path(folder) / "made.onnx"
        try:
            _fuse(prepared, fused)
            _quantise(fused, made, _Pictures(fed, pictures[: len(pictures) // _AT_ONCE * _AT_ONCE]))
            aside = target.with_name(f".{target.name}.{os.getpid()}.preparing")
            aside.write_bytes(made.read_bytes())
            aside.replace(target)
        except runtime_errors() as error:
            raise ModelError(f"{prepared}: cannot be made 8 bits: {first_line(error)}") from error
        except OSError as error:
            raise ModelError(f"{target}: cannot be written: {error}") from error


class _Pictures:
    """What onnxruntime calls a data reader."""

    def __init__(self, fed: str, pictures: Array) -> None:
        self._fed = fed
        self._pictures = pictures
        self._left: Iterator[Array] = iter(())

    def __len__(self) -> int:
        return len(self._pictures)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._left = iter(self._pictures[start_index:end_index])

    def get_next(self) -> dict[str, Array] | None:
        picture = next(self._left, None)
        return None if picture is None else {self._fed: picture[None]}


def _fuse(prepared: Path, fused: Path) -> None:
    """Batch normalisations become part of their convolutions; every node gets the name that the quantiser wants."""
    options = onnxruntime().SessionOptions()
    options.graph_optimization_level = onnxruntime().GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(fused)
    options.log_severity_level = 3
    onnxruntime().InferenceSession(str(prepared), options, providers=["CPUExecutionProvider"])
    model = onnx.load(fused)
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    onnx.save(onnx.shape_inference.infer_shapes(model), fused)


def _quantise(fused: Path, made: Path, pictures: _Pictures) -> None:
    onnxruntime()
    # Late: it is a tool, which a worker never needs.
    from onnxruntime import quantization

    ranges = {"CalibPercentile": PERCENTILE, "CalibTensorRangeSymmetric": False, "CalibStridedMinMax": _AT_ONCE}
    with _quiet():
        quantization.quantize_static(
            str(fused),
            str(made),
            pictures,
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            # onnxruntime has no fast convolution of signed values on x86: 25 ms a face in place of 8.
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.Percentile,
            extra_options=ranges,
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser prints what it does, and warns of what is meant so on the root logger."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(level)
