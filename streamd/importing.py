"""A user's own ONNX file becomes a model: tried on known faces first, and refused where it cannot tell them apart."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from streamd.domain import Bgr
from streamd.errors import ModelError, UsageError
from streamd.gallery.examiner import largest_landmarks
from streamd.interfaces import Detector, Embedder
from streamd.vision.catalog import Manifest
from streamd.vision.crops import cut_chip
from streamd.vision.embedding import OnnxEmbedder, alignment_of
from streamd.vision.fetch import sha256_of
from streamd.vision.loading import load_detector
from streamd.vision.modelstore import ModelStore
from streamd.vision.onnx import Session, open_session
from streamd.vision.profiles import manifest_from, read_profile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamd.domain import Image, Landmarks

LEAST_GAP = 0.05
"""The least similar photos of one person must be this much more similar than the most similar of two."""
_LARGEST_BYTES = 2 * 1024**3
"""What an ONNX file can hold."""
_OTHER_INPUTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("colour: bgr", {"colour": "bgr"}),
    ("colour: rgb", {"colour": "rgb"}),
    ("mean 127.5 and scale 1/127.5", {"mean": [127.5] * 3, "scale": 1 / 127.5, "standardise": False}),
    ("mean 0 and scale 1/255", {"mean": [0.0] * 3, "scale": 1 / 255, "standardise": False}),
    ("mean 0 and scale 1", {"mean": [0.0] * 3, "scale": 1.0, "standardise": False}),
)
"""What a refused model is tried with, to say what would have been right."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to import, and as what."""

    file: Path
    profile: str
    name: str
    accept_license: str | None = None
    replace: bool = False
    changes: Mapping[str, Any] | None = None
    """Keys of the manifest's ``input`` in place of the profile's."""


@dataclass(frozen=True, slots=True)
class Separation:
    """How well an embedder tells known faces apart."""

    genuine: tuple[float, ...]
    """Similarities of photos of one person."""
    impostor: tuple[float, ...]

    @property
    def gap(self) -> float:
        return min(self.genuine) - max(self.impostor)

    def __str__(self) -> str:
        return (
            f"photos of one person are similar from {min(self.genuine):.2f}, "
            f"of different people up to {max(self.impostor):.2f}"
        )


@dataclass(frozen=True, slots=True, eq=False)
class KnownFace:
    """A face found by the default detector."""

    person: str
    photo: Image
    landmarks: Landmarks


def known_faces(people: Mapping[str, Sequence[Image]], models: Path) -> list[KnownFace]:
    """The largest face of each photo. Raises UsageError where they are too few to compare."""
    detector = load_detector("yunet", models=models, device="cpu")
    found = []
    for person, photos in people.items():
        for photo in photos:
            landmarks = largest_landmarks(detector, photo)
            if landmarks is not None:
                found.append(KnownFace(person, photo, landmarks))
    names = [face.person for face in found]
    if len(set(names)) < 2 or len(set(names)) == len(names):
        raise UsageError("known faces: needs two photos of one person, and one of another, with a face on each")
    return found


def import_model(request: Request, store: ModelStore, faces: Sequence[KnownFace]) -> tuple[Manifest, str]:
    """Try the file, then add it to the store; nothing is written before it passed.

    Returns:
        The manifest, and a sentence on how it did.

    Raises:
        UsageError: the name, the profile or the licence's acceptance.
        ModelError: the file is not what the profile describes, or does not tell the faces apart.
    """
    _check_request(request, store)
    session = _open(request.file)
    manifest = _manifest(request, session)
    said = _try_detector(manifest, session, faces) if manifest.kind == "detector" else _try(manifest, session, faces)
    store.pull(manifest)
    _write(store.manifests / f"{manifest.name}.yaml", manifest)
    return manifest, said


def _check_request(request: Request, store: ModelStore) -> None:
    from streamd.vision.catalog import catalogue

    profile = read_profile(request.profile)
    wanted = profile.get("accept_license")
    if wanted is not None and request.accept_license != wanted:
        raise UsageError(
            f"profile '{request.profile}': its usual weights are for {wanted} use only; "
            f"if that holds for you, or yours have another licence, say --accept-license {wanted}"
        )
    if request.name in catalogue(store.manifests) and not request.replace:
        raise UsageError(f"there is a model '{request.name}' already; choose another --name, or say --force")
    if request.name in catalogue():
        raise UsageError(f"'{request.name}' is one of streamd's own models; choose another --name")


def _open(file: Path) -> Session:
    if not file.is_file():
        raise ModelError(f"{file}: {'not a file' if file.exists() else 'no such file'}")
    if not 0 < file.stat().st_size <= _LARGEST_BYTES:
        raise ModelError(f"{file}: {file.stat().st_size} bytes cannot be an ONNX file")
    session = open_session(file, device="cpu")
    if len(session.inputs) != 1:
        raise ModelError(f"{file}: has the inputs {', '.join(session.inputs)}; a model needs exactly one")
    return session


def _manifest(request: Request, session: Session) -> Manifest:
    """The profile with what the graph itself says: the input's name, and an embedder's dimension."""
    profile = read_profile(request.profile)
    (name, shape), *_ = session.inputs.items()
    fed = {**profile["input"], "name": name, **(request.changes or {})}
    _check_shape(request, fed, shape)
    changes: dict[str, Any] = {"input": fed, "accepted": request.accept_license is not None}
    if profile["kind"] == "embedder":
        changes["dim"] = _dimension(request.file, session)
    path = request.file.absolute()
    return manifest_from(request.profile, name=request.name, file=path, sha256=sha256_of(path), changes=changes)


def _check_shape(request: Request, fed: Mapping[str, Any], shape: tuple[Any, ...]) -> None:
    width, height = fed["size"] or (None, None)
    wanted = (None, height, width, 3) if fed.get("layout") == "NHWC" else (None, 3, height, width)
    fits = len(shape) == 4 and all(
        not isinstance(has, int) or must is None or has == must for has, must in zip(shape, wanted, strict=True)
    )
    if not fits:
        words = "x".join(str(side) if side is not None else "?" for side in wanted)
        raise ModelError(
            f"{request.file}: takes the shape {'x'.join(map(str, shape))}, profile '{request.profile}' feeds {words}"
        )


def _dimension(file: Path, session: Session) -> int:
    shape = next(iter(session.outputs.values()))
    if len(session.outputs) != 1 or len(shape) != 2 or not isinstance(shape[1], int):
        shapes = ", ".join(f"{key} {value}" for key, value in session.outputs.items())
        raise ModelError(f"{file}: an embedder has one output of shape (n, dim), this has {shapes}")
    return shape[1]


def _try(manifest: Manifest, session: Session, faces: Sequence[KnownFace]) -> str:
    separation = separate(OnnxEmbedder(manifest, session), faces)
    if separation.gap >= LEAST_GAP:
        return str(separation)
    better = _what_would_separate(manifest, session, faces)
    raise ModelError(
        f"{manifest.files[0].sources[0]}: cannot tell known faces apart as '{manifest.name}' is described: "
        f"{separation} (at least {LEAST_GAP} between them is needed){better}"
    )


def _what_would_separate(manifest: Manifest, session: Session, faces: Sequence[KnownFace]) -> str:
    best, words = LEAST_GAP, ""
    for said, change in _OTHER_INPUTS:
        other = manifest.model_copy(update={"input": manifest.input.model_copy(update=change)})
        try:
            gap = separate(OnnxEmbedder(other, session), faces).gap
        except ModelError:
            continue
        if gap > best:
            best, words = gap, f"; with {said} it would"
    return words


def separate(embedder: Embedder, faces: Sequence[KnownFace]) -> Separation:
    """Compare every face with every other. Raises ModelError where the network gives no direction."""
    alignment = alignment_of(embedder)
    chips: NDArray[np.uint8] = np.stack([cut_chip(Bgr(face.photo), face.landmarks, alignment) for face in faces])
    similarities = (vectors := embedder.embed(chips)) @ vectors.T
    genuine: list[float] = []
    impostor: list[float] = []
    for a in range(len(faces)):
        for b in range(a):
            kind = genuine if faces[a].person == faces[b].person else impostor
            kind.append(float(similarities[a, b]))
    return Separation(tuple(genuine), tuple(impostor))


def _try_detector(manifest: Manifest, session: Session, faces: Sequence[KnownFace]) -> str:
    """A detector must find the known faces where they are."""
    from streamd.vision.loading import detector_of

    detector: Detector = detector_of(manifest, session)
    found = sum(_finds(detector, manifest.threshold, face) for face in faces)
    if found < len(faces):
        raise ModelError(
            f"{manifest.files[0].sources[0]}: as '{manifest.name}' is described it finds {found} of {len(faces)} faces"
        )
    return f"finds all of {len(faces)} known faces"


def _finds(detector: Detector, min_score: float, face: KnownFace) -> bool:
    """Whether a box holds all five of the face's landmarks, and its own lie near them where it gives any."""
    for seen in detector.detect([face.photo], min_score=min_score)[0]:
        box, points = seen.box, face.landmarks
        eyes_px = float(np.hypot(*(points[1] - points[0])))
        inside = (points >= (box.x1, box.y1)).all() and (points <= (box.x2, box.y2)).all()
        near = seen.landmarks is None or float(np.abs(seen.landmarks - points).max()) < eyes_px / 2
        if inside and near:
            return True
    return False


def _write(path: Path, manifest: Manifest) -> None:
    """The manifest as a file, whole or not at all."""
    body = manifest.model_dump(mode="json", exclude_defaults=True)
    body["files"] = [
        {"name": file.name, "sha256": file.sha256, "sources": [{"file": str(source)} for source in file.sources]}
        for file in manifest.files
    ]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yaml.safe_dump(body, file, sort_keys=False, allow_unicode=True)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)  # the daemon may be another user
        Path(name).replace(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be written: {(error.strerror or str(error)).lower()}") from error
