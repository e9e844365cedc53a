"""The gallery's parts made from a configuration, for commands; loading the models takes about a second."""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass

from streamd.config import Config
from streamd.errors import GalleryError
from streamd.gallery.examiner import PhotoExaminer
from streamd.gallery.sharedwith import keep_shared, shared_otherwise
from streamd.gallery.store import GalleryStore
from streamd.gallery.vault import load_vault
from streamd.interfaces import Detector, Embedder
from streamd.vision.loading import load_detector, load_embedder


@dataclass(frozen=True, slots=True)
class PhotoModels:
    """The two models that photographs need."""

    detector: Detector
    embedder: Embedder

    def examiner(self) -> PhotoExaminer:
        return PhotoExaminer(self.detector, self.embedder)


def load_photo_models(config: Config) -> PhotoModels:
    """Raises ModelError: a model is missing or damaged, or the device cannot be used."""
    workers, models = config.workers, config.models_path
    detector = load_detector(config.detection.model, models=models, **workers.placement(config.detection.model))
    name = config.recognition.embedder
    embedder = load_embedder(name, models=models, **workers.placement(name))
    return PhotoModels(detector, embedder)


def open_store(config: Config, *, actor: str | None = None, adopt: bool = False) -> GalleryStore:
    """The configured gallery file.

    Args:
        actor: who makes changes, by default the user of this process.
        adopt: whether the file is shared as this configuration says from now on. Otherwise a file that is shared in
            another way can be read, and every change of it is refused.

    Raises:
        GalleryError: the file or its key cannot be used.
    """
    store = GalleryStore(config.gallery_file, vault=load_vault(config.gallery.key_file), actor=actor or _user())
    try:
        if adopt:
            keep_shared(store, config.gallery)
        store.database.refusal = shared_otherwise(store, config.gallery)
    except GalleryError:
        store.close()
        raise
    return store


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        return f"uid {os.getuid()}"
