"""``streamd models quantize``: makes the 8-bit form of an embedder, and measures whether it loses anything."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamd.errors import ExitCode, UsageError
from streamd.vision import openvino, quantised, runtimes
from streamd.vision.catalog import Manifest
from streamd.vision.modelstore import ModelStore
from streamd.vision.progress import terminal_progress

if TYPE_CHECKING:
    from streamd.bench.precision import Loss
    from streamd.domain import Image
    from streamd.interfaces import Detector, Embedder
    from streamd.placement import Library

_FRAMES_APART = 10
"""Of the demonstration's clip, whose neighbouring frames show the same."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="an embedder that is ready, like sface")
    parser.add_argument(
        "--faces", type=Path, metavar="DIR", help="photographs to take ranges from (default: the demonstration's)"
    )
    parser.add_argument("--pairs", type=Path, metavar="CSV", help="labelled pairs to measure it on: columns a,b,same")
    parser.add_argument("--root", type=Path, metavar="DIR", help="what the paths in it are relative to")


def run(args: argparse.Namespace, folder: Path) -> int:
    if (args.pairs is None) != (args.root is None):
        raise UsageError("--pairs and --root go together")
    store = ModelStore(folder)
    manifest = store.manifest(args.name)
    if manifest.kind != "embedder" or manifest.prepared == "weights":
        raise UsageError(f"model '{args.name}' is no network that makes vectors of faces: 8 bits are for those")
    path = store.ready(manifest)
    detector, exact = _models(folder, manifest)
    record = _made(path, manifest, list(_faces(args.faces, detector, exact)))
    losses = _measured(args, folder, manifest.name, detector, exact) if args.pairs else {}
    lossless = [library for library, loss in losses.items() if loss.lossless]
    said = f"on the pairs of {args.pairs.name}" if args.pairs else None
    quantised.write_record(path, quantised.Quantised(record.of, record.sha256, record.calibrated_on, lossless, said))
    chosen = runtimes.choose(path, sha256=record.of)
    body = {"name": manifest.name, "losses": losses, "runtime": chosen.best, "ms": chosen.ms}
    print(json.dumps(_as_json(body), indent=2) if args.json else "\n".join(_lines(manifest.name, losses, chosen)))
    return ExitCode.OK


def _models(folder: Path, manifest: Manifest) -> tuple[Detector, Embedder]:
    from streamd.vision.loading import load_detector, load_embedder

    detector = load_detector("yunet", models=folder, device="cpu", runtime="onnxruntime")
    return detector, load_embedder(manifest.name, models=folder, device="cpu", runtime="onnxruntime")


def _faces(folder: Path | None, detector: Detector, embedder: Embedder) -> Iterator[Image]:
    """Faces to calibrate on, as the embedder wants them."""
    from itertools import islice

    from streamd.bench.photographs import photos_under
    from streamd.bench.precision import face_in, face_of
    from streamd.vision.quantising import CALIBRATED_ON

    if folder is None:
        found = (face_in(photo, detector, embedder) for photo in _demonstration())
    else:
        found = (face_of(path, detector, embedder) for path in photos_under(folder))
    yield from islice((face for face in found if face is not None), CALIBRATED_ON)


def _demonstration() -> Iterator[Image]:
    import av
    import numpy as np

    from streamd.config import default_state_dir
    from streamd.demo.faces import pull_faces
    from streamd.vision.photos import read_photo

    for path in pull_faces(default_state_dir() / "demo" / "faces", progress=terminal_progress()).values():
        if path.suffix != ".mp4":
            yield read_photo(path)
            continue
        with av.open(str(path)) as clip:
            for number, frame in enumerate(clip.decode(video=0)):
                if number % _FRAMES_APART == 0:
                    yield np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)


def _made(path: Path, manifest: Manifest, faces: list[Image]) -> quantised.Quantised:
    """Make the file; what is written of it says that nothing was measured yet."""
    from streamd.bench.precision import varied
    from streamd.vision.blobs import to_blob
    from streamd.vision.fetch import sha256_of
    from streamd.vision.quantising import CALIBRATED_ON, quantise

    if not faces:
        raise UsageError("no face in any of the photographs to take ranges from")
    pictures = to_blob(varied(faces, CALIBRATED_ON), manifest.input)
    quantised.record_of(path).unlink(missing_ok=True)
    quantise(path, quantised.file_of(path), fed=manifest.input.name, pictures=pictures)
    sha256 = sha256_of(quantised.file_of(path))
    record = quantised.Quantised(sha256_of(path), sha256, f"{len(faces)} faces, {len(pictures)} pictures", [])
    quantised.write_record(path, record)
    return record


def _measured(
    args: argparse.Namespace, folder: Path, name: str, detector: Detector, exact: Embedder
) -> dict[Library, Loss]:
    from streamd.bench.accuracy import read_pairs
    from streamd.bench.precision import measure
    from streamd.vision.loading import load_embedder

    usable = [each for each in quantised.LIBRARIES if openvino.version() or not each.startswith("openvino")]
    judged: dict[str, Embedder] = {
        each: load_embedder(name, models=folder, device="cpu", runtime=each) for each in usable
    }
    losses = measure(read_pairs(args.pairs, args.root), detector, exact, judged)
    return {library: losses[library] for library in usable}


def _lines(name: str, losses: dict[Library, Loss], chosen: runtimes.Measured) -> Iterator[str]:
    for library, loss in losses.items():
        yield f"{library}: {'loses nothing' if loss.lossless else 'loses too much for auto'}: {loss}"
    if not losses:
        yield "not measured on labelled pairs (--pairs, --root): 'auto' will not take it"
    times = ", ".join(f"{library} {ms:.1f} ms" for library, ms in sorted(chosen.ms.items(), key=lambda item: item[1]))
    yield f"{name}: auto takes {chosen.best} ({times})"


def _as_json(body: dict[str, Any]) -> dict[str, Any]:
    from dataclasses import asdict

    losses = {library: asdict(loss) | {"lossless": loss.lossless} for library, loss in body["losses"].items()}
    return body | {"losses": losses}
