"""From the files that were fetched to the file that runs: built, compared with the original, then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no types

from streamd.errors import ModelError
from streamd.vision import agreement
from streamd.vision.graphs import fold_constants, make_batch_dynamic, make_size_free, split_prelu
from streamd.vision.ssd_graph import ssd_from_caffe


@dataclass(frozen=True, slots=True)
class _Recipe:
    build: Callable[[Sequence[Path], Path], None]
    """Writes the prepared file from the originals."""
    check: Callable[[Path, Sequence[Path]], None]
    """Raises ModelError where the prepared file disagrees with the originals."""


def prepare(recipe: str, originals: Sequence[Path], target: Path) -> None:
    """Make ``target`` from ``originals`` (in the manifest's order).

    The file is written aside and takes its name only when its outputs agree with the original's.

    Raises:
        ModelError: an original cannot be read, or the outputs disagree; an older ``target`` is kept.
    """
    steps = RECIPES[recipe]
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".preparing", dir=target.parent)
    os.close(descriptor)
    aside = Path(name)
    try:
        steps.build(originals, aside)
        steps.check(aside, originals)
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.chmod(0o644)
        aside.replace(target)
    except (DecodeError, UnicodeDecodeError, onnx.checker.ValidationError) as error:
        raise ModelError(f"cannot prepare {target.name}: {error}") from error
    finally:
        aside.unlink(missing_ok=True)


def _build_yunet(originals: Sequence[Path], target: Path) -> None:
    model = onnx.load(originals[0])
    fold_constants(model)
    make_batch_dynamic(model, size_too=True)
    _save(model, target)


def _build_sface(originals: Sequence[Path], target: Path) -> None:
    model = onnx.load(originals[0])
    fold_constants(model)
    make_batch_dynamic(model)
    split_prelu(model)
    _save(model, target)


def _build_ssd(originals: Sequence[Path], target: Path) -> None:
    _save(ssd_from_caffe(originals[0].read_bytes(), originals[1].read_text(encoding="utf-8")), target)


def _build_centerface(originals: Sequence[Path], target: Path) -> None:
    model = onnx.load(originals[0])
    fold_constants(model)
    make_size_free(model)
    _save(model, target)


def _bundle(originals: Sequence[Path], target: Path) -> None:
    """Several networks in one file, so that one hash stands for all of them."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in originals:
            archive.writestr(zipfile.ZipInfo(path.stem), path.read_bytes())


def _copy(originals: Sequence[Path], target: Path) -> None:
    shutil.copyfile(originals[0], target)


def _save(model: onnx.ModelProto, target: Path) -> None:
    onnx.checker.check_model(model)
    target.write_bytes(model.SerializeToString(deterministic=True))


RECIPES: Mapping[str, _Recipe] = {
    "yunet": _Recipe(_build_yunet, agreement.check_yunet),
    "sface": _Recipe(_build_sface, agreement.check_sface),
    "ssd": _Recipe(_build_ssd, agreement.check_ssd),
    "centerface": _Recipe(_build_centerface, agreement.check_centerface),
    "cascade": _Recipe(_copy, agreement.check_cascade),
    "bundle": _Recipe(_bundle, agreement.check_bundle),
    "weights": _Recipe(_copy, agreement.check_same),
    "as_is": _Recipe(_copy, agreement.check_loads),
}
