"""From one embedding model to the next without a moment in which nobody is known.

A worker that is started with another embedder than the gallery was made with goes on with the old one, while a thread
embeds the kept crops again. Once that is complete the worker ends, and is started again with the new one.
"""

from __future__ import annotations

import logging
import threading
from contextlib import AbstractContextManager

from streamd.background import Background
from streamd.config import Config
from streamd.errors import GalleryError, ModelError
from streamd.gallery.opening import open_store
from streamd.gallery.reembedding import embed_again, finish, missing_faces, other_models
from streamd.interfaces import Embedder
from streamd.metrics import Metrics
from streamd.vision.loading import load_embedder

logger = logging.getLogger(__name__)

_POLL_S = 1.0


class Handover:
    """What is to be done before the new embedder knows everybody."""

    def __init__(self, config: Config, embedder: Embedder, metrics: Metrics, *, missing: int, leads: bool) -> None:
        """``leads``: whether this worker does the work (one of several does)."""
        self._config = config
        self._embedder = embedder
        self._leads = leads
        self._done = threading.Event()
        self._background = Background("handover", self._step, metrics)
        self.previous = _previous(config, embedder)
        """Answers meanwhile; None where the old model cannot be had, and the new one knows people one by one."""
        using = (
            self.previous.model_id if self.previous else "no other model is installed, so people are known one by one"
        )
        logger.info("%d faces are embedded again with %s; until then: %s", missing, embedder.model_id, using)

    @property
    def is_due(self) -> bool:
        """Whether the worker should end, to be started again with the new embedder."""
        return self._done.is_set() and self.previous is not None

    def running(self) -> AbstractContextManager[None]:
        return self._background.running()

    def _step(self) -> float | None:
        """One try; None once everybody is known to the new embedder."""
        try:
            self._try()
        except GalleryError as error:
            logger.error("embedding again waits: %s", error)
        return None if self._done.is_set() else _POLL_S

    def _try(self) -> None:
        with open_store(self._config, actor="daemon") as store:
            if self._leads:
                for _ in embed_again(store, self._embedder):
                    if self._background.stopping.is_set():
                        return
                finish(store, self._embedder)
                logger.info("every face is embedded with %s", self._embedder.model_id)
                self._done.set()
            elif not missing_faces(store, self._embedder.model_id) and not other_models(store, self._embedder.model_id):
                self._done.set()


def handover(config: Config, embedder: Embedder, metrics: Metrics, *, leads: bool) -> Handover | None:
    """None where the embedder knows everybody already. Raises GalleryError."""
    with open_store(config, actor="daemon") as store:
        missing = missing_faces(store, embedder.model_id)
    return Handover(config, embedder, metrics, missing=missing, leads=leads) if missing else None


def _previous(config: Config, embedder: Embedder) -> Embedder | None:
    with open_store(config, actor="daemon") as store:
        others = other_models(store, embedder.model_id)
    for model_id in others:
        name = model_id.partition("@")[0]
        try:
            found = load_embedder(name, models=config.models_path, **config.workers.placement(name))
        except ModelError as error:
            logger.debug("%s: %s", model_id, error)
            continue
        if found.model_id == model_id:
            return found
    return None
