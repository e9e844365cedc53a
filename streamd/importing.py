"""A user's own ONNX file becomes a model: tried on known faces first, and refused where it cannot tell them apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from streamd.errors import ModelError, UsageError
from streamd.gallery.examiner import largest_landmarks
from streamd.interfaces import Detector
from streamd.vision.catalog import Manifest, ModelInput
from streamd.vision.embedding import OnnxEmbedder
from streamd.vision.fetch import sha256_of
from streamd.vision.loading import load_detector
from streamd.vision.modelstore import ModelStore
from streamd.vision.onnx import Session, open_session
from streamd.vision.photos import shrink_for_detection
from streamd.vision.profiles import ANY_DIMENSION, alternatives, manifest_from, read_profile, swapped_option
from streamd.vision.separation import LEAST_D_PRIME, LEAST_GAP, KnownFace, Separation, pairs_of, separate
from streamd.wholefile import write_whole

if TYPE_CHECKING:
    from streamd.domain import Image

_LARGEST_BYTES = 2 * 1024**3
"""What an ONNX file can hold."""
_CLEARLY = 1.1
"""From this factor of d' on, another order of the colours is worth a word."""
_PHOTO_SIDE_PX = 960
"""Known photos are kept at this longer side: hundreds of them must fit into memory."""
_MOST_PEOPLE, _MOST_PHOTOS = 80, 3
"""So many people, and photos of each, are looked at; more would say nothing new."""


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


def known_faces(people: Mapping[str, Iterable[Image]], models: Path) -> list[KnownFace]:
    """The largest face of each photo, of the first people and photos where there are many.

    Args:
        people: Photos by person; read one after the other, so an iterator need not hold them all.
        models: The folder of model files, with ``yunet``.

    Raises:
        UsageError: they are too few to compare.
    """
    detector = load_detector("yunet", models=models, device="cpu")
    found = []
    for person, photos in islice(people.items(), _MOST_PEOPLE):
        for photo in islice(photos, _MOST_PHOTOS):
            small, _ = shrink_for_detection(photo, _PHOTO_SIDE_PX)
            landmarks = largest_landmarks(detector, small)
            if landmarks is not None:
                found.append(KnownFace(person, small, landmarks))
    pairs_of(found)
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
    if manifest.kind == "detector":
        said = _try_detector(manifest, session, faces)
    else:
        manifest, said = _try(manifest, session, faces)
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
    """The profile with what the graph itself says: its input's name and layout, and the dimension."""
    profile = read_profile(request.profile)
    (name, shape), *_ = session.inputs.items()
    fed = {**profile["input"], "name": name, **(request.changes or {})}
    fed["layout"] = _layout(request, fed, shape)
    changes: dict[str, Any] = {"input": fed, "accepted": request.accept_license is not None}
    if profile["kind"] == "embedder":
        changes["dim"] = _dimension(request, session, fed)
    path = request.file.absolute()
    return manifest_from(request.profile, name=request.name, file=path, sha256=sha256_of(path), changes=changes)


def _layout(request: Request, fed: Mapping[str, Any], shape: tuple[Any, ...]) -> str:
    """The profile's where the graph takes it, else the other one. Raises ModelError where it takes neither."""
    width, height = fed["size"] or (None, None)
    shapes = {"NCHW": (None, 3, height, width), "NHWC": (None, height, width, 3)}
    own: str = fed.get("layout", "NCHW")
    for layout in sorted(shapes, key=lambda known: known != own):
        if _fits(shape, shapes[layout]):
            return layout
    words = "x".join(str(side) if side is not None else "?" for side in shapes[own])
    raise ModelError(
        f"{request.file}: takes the shape {'x'.join(map(str, shape))}, profile '{request.profile}' feeds {words}"
    )


def _fits(shape: tuple[Any, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == 4 and all(
        not isinstance(has, int) or must is None or has == must for has, must in zip(shape, wanted, strict=True)
    )


def _dimension(request: Request, session: Session, fed: Mapping[str, Any]) -> int:
    """Found by running it once: a graph need not state the sizes of its outputs."""
    width, height = fed["size"]
    shape = (1, height, width, 3) if fed["layout"] == "NHWC" else (1, 3, height, width)
    outputs = session.run_rows(str(fed["name"]), np.zeros(shape, np.float32))
    shapes = [value.shape for value in outputs.values()]
    if len(shapes) != 1 or len(shapes[0]) != 2:
        said = ", ".join(f"{key} {value.shape}" for key, value in outputs.items())
        raise ModelError(f"{request.file}: an embedder has one output of shape (n, dim), this has {said}")
    dim, wanted = int(shapes[0][1]), read_profile(request.profile)["dim"]
    if dim != wanted and request.profile not in ANY_DIMENSION:
        raise ModelError(f"{request.file}: gives {dim} dimensions, profile '{request.profile}' has {wanted}")
    return dim


def _try(manifest: Manifest, session: Session, faces: Sequence[KnownFace]) -> tuple[Manifest, str]:
    """The manifest with measured spreads, where there were faces enough, and how it did."""
    measured = _measure(manifest, session, faces)
    if isinstance(measured, str) or not measured.good:
        raise ModelError(
            f"{manifest.files[0].sources[0]}: cannot tell known faces apart as '{manifest.name}' is described: "
            f"{measured} (needed: a gap of {LEAST_GAP:.0%} of the distance between people, d' {LEAST_D_PRIME})"
            f"{_remedy(manifest, session, faces)}"
        )
    option = swapped_option(manifest.input)
    swapped = _measure(_fed(manifest, alternatives(manifest.input)[option]), session, faces)
    said = str(measured)
    if isinstance(swapped, Separation) and swapped.d_prime > _CLEARLY * measured.d_prime:
        said += f"; it tells them apart better with {option}: d' {swapped.d_prime:.1f}"
    scores = measured.scores()
    if scores is None:
        said += (
            "; its thresholds are guesses until 'streamd gallery calibrate', or an import with --faces of many people"
        )
    return manifest.model_copy(update={"scores": scores}), said


def _measure(manifest: Manifest, session: Session, faces: Sequence[KnownFace]) -> Separation | str:
    """Or why it cannot be measured."""
    try:
        return separate(OnnxEmbedder(manifest, session), faces)
    except ModelError as error:
        return str(error)


def _remedy(manifest: Manifest, session: Session, faces: Sequence[KnownFace]) -> str:
    """The options with which the faces would be told apart best, as the end of a sentence; empty for none."""
    best, words = 0.0, ""
    for option, fed in alternatives(manifest.input).items():
        measured = _measure(_fed(manifest, fed), session, faces)
        if isinstance(measured, Separation) and measured.good and measured.d_prime > best:
            best = measured.d_prime
            words = f"; with {option} it would (d' {best:.1f})"
    return words


def _fed(manifest: Manifest, fed: ModelInput) -> Manifest:
    return manifest.model_copy(update={"input": fed})


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
        text = yaml.safe_dump(body, sort_keys=False, allow_unicode=True)
        write_whole(path, text, mode=0o644)  # the daemon may be another user
    except OSError as error:
        raise ModelError(f"{path}: cannot be written: {(error.strerror or str(error)).lower()}") from error
