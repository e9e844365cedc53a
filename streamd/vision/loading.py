"""Detectors and embedders by name: a model of the catalogue, or ``package.module:Class``."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Unpack, cast

from streamd.errors import ModelError
from streamd.interfaces import Detector, Embedder
from streamd.placement import Placement
from streamd.vision.catalog import Manifest
from streamd.vision.centerface import CenterFace
from streamd.vision.dlib_hog import DlibHog
from streamd.vision.dlib_resnet import DlibResnet
from streamd.vision.embedding import OnnxEmbedder
from streamd.vision.haar import Haar
from streamd.vision.landmarks import WithLandmarks
from streamd.vision.modelstore import ModelStore
from streamd.vision.mtcnn import Mtcnn
from streamd.vision.onnx import Session, open_bundle, open_session
from streamd.vision.retinaface import RetinaFace
from streamd.vision.scrfd import Scrfd
from streamd.vision.ssd import Ssd
from streamd.vision.yunet import YuNet

LANDMARK_MODEL = "yunet"
"""Gives points to detectors that have none."""

_DETECTORS: dict[str, Callable[..., Detector]] = {
    "yunet": YuNet,
    "ssd": Ssd,
    "centerface": CenterFace,
    "retinaface": RetinaFace,
    "scrfd": Scrfd,
}
"""By the manifest's ``decoding``."""


def load_detector(name: str, *, models: Path, landmarks: bool = True, **placement: Unpack[Placement]) -> Detector:
    """The detector ``name``, with landmarks: where it has none of its own, YuNet finds them in its boxes.

    Args:
        name: A detector of the catalogue, or ``package.module:Class``, which is called with ``models`` and
            the keywords of ``Placement`` that were given.
        models: The folder of model files.
        landmarks: False leaves a detector without landmarks as it is.
        **placement: ``device`` (``auto``, ``cpu``, ``cuda:N``), ``threads``, ``allow_cpu``, ``runtime``, ``tensorrt``,
            ``fp16``.

    Raises:
        ModelError: the model is unknown, missing, damaged, or the device cannot be used.
    """
    detector = _detector(name, models, placement)
    if detector.has_landmarks or not landmarks:
        return detector
    return WithLandmarks(detector, _detector(LANDMARK_MODEL, models, placement))


def load_embedder(name: str, *, models: Path, **placement: Unpack[Placement]) -> Embedder:
    """The embedder ``name``; arguments and errors as with ``load_detector``."""
    if ":" in name:
        return cast(Embedder, _own_class(name)(models=models, **placement))
    store = ModelStore(models)
    manifest = store.manifest(name, kind="embedder")
    if manifest.prepared == "weights":
        return DlibResnet(manifest, store.ready(manifest))
    return OnnxEmbedder(manifest, _session(store.ready(manifest), manifest.input.name, placement))


def _detector(name: str, models: Path, placement: Placement) -> Detector:
    if ":" in name:
        return cast(Detector, _own_class(name)(models=models, **placement))
    store = ModelStore(models)
    manifest = store.manifest(name, kind="detector")
    if manifest.decoding == "dlib":
        return DlibHog(manifest)
    path = store.ready(manifest)
    if manifest.decoding == "haar":
        return Haar(manifest, path)
    if manifest.decoding == "mtcnn":
        return Mtcnn(manifest, open_bundle(path, **placement))
    return detector_of(manifest, _session(path, manifest.input.name, placement))


def detector_of(manifest: Manifest, session: Session) -> Detector:
    """The detector of one network that the manifest describes."""
    return _DETECTORS[manifest.decoding](manifest, session)


def _session(path: Path, input_name: str, placement: Placement) -> Session:
    session = open_session(path, **placement)
    if list(session.inputs) != [input_name]:
        raise ModelError(f"{path}: has inputs {', '.join(session.inputs)}, its manifest says '{input_name}'")
    return session


def _own_class(name: str) -> Callable[..., object]:
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ModelError(f"model '{name}': cannot import it: {error}") from error
    if not callable(found):
        raise ModelError(f"model '{name}': is not a class")
    return cast(Callable[..., object], found)
