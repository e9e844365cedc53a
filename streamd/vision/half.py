"""Half precision on a GPU: a converted graph, and whether it still says the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from streamd.errors import ModelError
from streamd.vision.probing import probe
from streamd.vision.runtimes import outputs_agree

if TYPE_CHECKING:
    from streamd.vision.onnx import Session


def converted(path: Path) -> Path:
    """The model with its weights and arithmetic in half precision, beside it; inputs and outputs stay float32."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    target = path.with_suffix(".fp16.onnx")
    if target.exists() and target.stat().st_mtime_ns >= path.stat().st_mtime_ns:
        return target
    aside = target.with_name(f".{target.name}.preparing")
    try:
        model = convert_float_to_float16(onnx.load(path), keep_io_types=True)
        onnx.save(model, aside)
        aside.replace(target)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be made half precision: {error}") from error
    finally:
        aside.unlink(missing_ok=True)
    return target


def require_agreement(session: Session, reference: Session) -> None:
    """Compare both on a fixed input. Raises ModelError where they disagree."""
    feed = probe(reference.inputs)
    got, wanted = session.run(feed), reference.run(feed)
    if not outputs_agree(list(got.values()), list(wanted.values())):
        worst = max(float(np.abs(got[name] - wanted[name]).max()) for name in wanted)
        raise ModelError(f"half precision changes its outputs (by up to {worst:.2g}): set workers.fp16 to false")
