"""The peers as children: who there is, which weights they get, and what they say about the clips."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamd.bench import peerloop
from streamd.bench.naming import Borne
from streamd.errors import ModelError
from streamd.vision.modelstore import ModelStore

OPENCV = {"opencv-ssd": "OpenCV loop, SSD", "opencv-yunet": "OpenCV loop, YuNet"}
DEEPFACE = {"deepface-ssd": "DeepFace, SSD", "deepface-yunet": "DeepFace, YuNet"}
TIMEOUT_S = 3600.0
_IMPORTED_FROM = "import importlib.util, sys; sys.exit(importlib.util.find_spec('deepface') is None)"


@dataclass(frozen=True, slots=True)
class Played:
    """What one contender did with all the clips."""

    cpu_s: float
    video_s: float
    frames: int
    faces: int
    without_face: int
    """Frames."""
    whole_named: int
    """Of those, to how many it gives a name where it is told to go on without a face."""
    borne: list[list[Borne]]
    """By clip."""
    versions: dict[str, str]
    resident_mb: float
    """At most."""


@dataclass(frozen=True, slots=True)
class Material:
    """What everybody gets."""

    clips: Sequence[Path]
    gallery: Mapping[str, Sequence[Path]]
    weights: Mapping[str, Path]


def originals(models: Path) -> dict[str, Path]:
    """The catalogue's files as they were fetched. Raises ModelError where they are not there."""
    store = ModelStore(models)
    found: list[Path] = []
    for name in ("yunet", "sface", "ssd"):
        manifest = store.manifest(name)
        store.ready(manifest)
        found += store.originals(manifest)
    if missing := [path for path in found if not path.exists()]:
        raise ModelError(f"{missing[0]}: is missing: delete the prepared models and run 'streamd models pull'")
    return dict(zip(("yunet", "sface", "ssd", "ssd_prototxt"), found, strict=True))


def has_deepface(python: str) -> bool:
    """Whether an interpreter can import it (it is only looked for, not loaded)."""
    try:
        return not subprocess.run([python, "-c", _IMPORTED_FROM], capture_output=True, timeout=60).returncode
    except OSError:
        return False


def deepface_home(weights: Mapping[str, Path], folder: Path) -> Path:
    """A folder in which DeepFace finds streamd's weights under the names it knows.

    It runs SFace by onnxruntime, which refuses block-quantised weights: they are written out as float32, and nothing
    else of the graph is changed.
    """
    import onnx

    from streamd.vision.graphs import fold_constants

    target = folder / ".deepface" / "weights"
    target.mkdir(parents=True)
    for key, name in (("yunet", "face_detection_yunet_2023mar.onnx"), ("sface", "face_recognition_sface_2021dec.onnx")):
        model = onnx.load(weights[key])
        fold_constants(model)
        onnx.save(model, target / name)
    shutil.copyfile(weights["ssd"], target / "res10_300x300_ssd_iter_140000.caffemodel")
    shutil.copyfile(weights["ssd_prototxt"], target / "deploy.prototxt")
    return folder


def play(contender: str, material: Material, folder: Path, *, python: str = sys.executable) -> Played:
    """Run one contender over all clips, each from its beginning to its end.

    Raises:
        ModelError: it failed; the message is its own.
    """
    out = folder / f"{contender}.json"
    job = {
        "contender": contender,
        "weights": {name: str(path) for name, path in material.weights.items()},
        "gallery": {name: [str(photo) for photo in photos] for name, photos in material.gallery.items()},
        "clips": [str(clip) for clip in material.clips],
        "out": str(out),
    }
    # Another interpreter has packages of its own.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {**peerloop.ONE, "DEEPFACE_HOME": str(folder)}
    done = subprocess.run(
        [python, str(Path(peerloop.__file__))],
        input=json.dumps(job).encode(),
        capture_output=True,
        env=environment,
        timeout=TIMEOUT_S,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise ModelError(f"{contender}: {said[-1] if said else f'ended with {done.returncode}'}")
    return _played(json.loads(out.read_text(encoding="utf-8")))


def _played(answer: Mapping[str, Any]) -> Played:
    clips = answer["clips"]

    def total(name: str) -> Any:
        return sum(clip[name] for clip in clips)

    return Played(
        cpu_s=total("cpu_s"),
        video_s=sum(clip["frames"] / clip["fps"] for clip in clips),
        frames=total("frames"),
        faces=total("faces"),
        without_face=total("without_face"),
        whole_named=total("whole_named"),
        borne=[[_borne(seen, clip["fps"]) for seen in clip["seen"]] for clip in clips],
        versions=answer["versions"],
        resident_mb=answer["resident_mb"],
    )


def _borne(seen: Sequence[Any], fps: float) -> Borne:
    """A name on one frame holds until the next."""
    at_s, name, _, (x1, y1, x2, y2) = seen
    return Borne(name, at_s, at_s + 1 / fps, ((x1 + x2) / 2, (y1 + y2) / 2))
