"""Half precision on a GPU: a converted graph."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from streamd.errors import ModelError
from streamd.vision.engines import onnxruntime


def converted(path: Path) -> Path:
    """The model with its weights and arithmetic in half precision, beside it; inputs and outputs stay float32."""
    import onnx

    onnxruntime()
    from onnxruntime.transformers.float16 import convert_float_to_float16

    target = path.with_suffix(".fp16.onnx")
    if target.exists() and target.stat().st_mtime_ns >= path.stat().st_mtime_ns:
        return target
    aside = target.with_name(f".{target.name}.{os.getpid()}.preparing")  # workers start together
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of weights too small for it, one line each
            model = convert_float_to_float16(onnx.load(path), keep_io_types=True)
        onnx.save(model, aside)
        aside.replace(target)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be made half precision: {error}") from error
    finally:
        aside.unlink(missing_ok=True)
    return target
