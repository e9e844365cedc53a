"""From one embedding model to the next without a moment in which nobody is known.

A worker that is started with another embedder than the gallery was made with goes on with the old one, while a thread
embeds the kept crops again. Once that is complete the worker ends, and is started again with the new one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager

from streamd.background import Background
from streamd.config import Config
from streamd.errors import GalleryError, ModelError
from streamd.gallery.opening import open_store
from streamd.gallery.reembedding import (
    embed_again,
    embed_strangers,
    finish,
    fuller_models,
    is_behind,
    is_finished,
    missing_faces,
    missing_stranger_views,
)
from streamd.gallery.store import GalleryStore
from streamd.interfaces import Embedder
from streamd.metrics import Metrics
from streamd.vision.loading import load_embedder

logger = logging.getLogger(__name__)

_POLL_S = 1.0


class Handover:
    """What is to be done before the new embedder knows everybody."""

    def __init__(self, config: Config, embedder: Embedder, metrics: Metrics, *, leads: bool) -> None:
        """``leads``: whether this worker does the work (one of several does). Raises GalleryError."""
        self._config = config
        self._embedder = embedder
        self._leads = leads
        self._done = threading.Event()
        self._background = Background("handover", self._step, metrics)
        with open_store(config, actor="daemon") as store:
            self._since = store.version()
            faces = missing_faces(store, embedder.model_id)
            views = missing_stranger_views(store, embedder.model_id)
            others = fuller_models(store, embedder.model_id)
        self.previous = _installed(config, others)
        """Answers meanwhile; None where no model that knows more can be had: the new one knows people one by one."""
        logger.info(
            "%d faces and %d views of strangers are embedded again with %s; until then: %s",
            faces,
            views,
            embedder.model_id,
            self.previous.model_id if self.previous else "no other model knows more, so people are known one by one",
        )

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
        model_id = self._embedder.model_id
        with open_store(self._config, actor="daemon") as store:
            if self._leads:
                if self._embed(store):
                    logger.info("everybody is known to %s", model_id)
                    self._done.set()
            elif is_finished(store, model_id, since=self._since):
                self._done.set()

    def _embed(self, store: GalleryStore) -> bool:
        """False where the worker is told to end meanwhile."""
        stopping = self._background.stopping
        for _ in embed_again(store, self._embedder):
            if stopping.is_set():
                return False
        strangers: dict[int, bytes | None] = {}
        for views in embed_strangers(store, self._embedder):
            if stopping.is_set():
                return False
            strangers |= views
        finish(store, self._embedder.model_id, strangers)
        return True


def handover(config: Config, embedder: Embedder, metrics: Metrics, *, leads: bool) -> Handover | None:
    """None where the embedder knows everybody whom it can know. Raises GalleryError."""
    with open_store(config, actor="daemon") as store:
        if not is_behind(store, embedder.model_id):
            return None
    return Handover(config, embedder, metrics, leads=leads)


def _installed(config: Config, model_ids: Sequence[str]) -> Embedder | None:
    """The first of these models that can be had."""
    for model_id in model_ids:
        name = model_id.partition("@")[0]
        try:
            found = load_embedder(name, models=config.models_path, **config.workers.placement(name))
        except ModelError as error:
            logger.debug("%s: %s", model_id, error)
            continue
        if found.model_id == model_id:
            return found
    return None
